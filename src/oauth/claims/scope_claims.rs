//! The claims that hold the scopes of a token: `scope_claims` of an issuer.
//!
//! 1. Of the plain names, the first claim that is present counts, even if it grants nothing.
//! 2. JSON Pointers and tables count in addition, always.
//! 3. A text is split at its spaces, or at its commas if the issuer separates with them. Each text in a list is one scope, and one with white space is
//!    none. For pointers and tables, the names of an object's members are scopes too, except members
//!    that are `null` or `false`.
//! 4. `*` in the values of pointers and tables is an ordinary character, unless the table says
//!    otherwise: roles are named by other people than scopes are.

use serde_json::{Map, Value};

use super::ClaimReference;
use crate::oauth::scope::{GrantedScopes, GrantedWildcards, ScopeSet, TooManyScopes};
use crate::values::ScopeSeparator;

/// The claims that hold the scopes of an issuer's tokens.
#[derive(Clone, Debug)]
pub struct ScopeClaims {
    /// Names of claims; the first that is present counts.
    pub names: Vec<String>,
    /// Claims that count in addition.
    pub additional: Vec<AdditionalScopes>,
    /// What separates the scopes in a string.
    pub separator: ScopeSeparator,
}

/// A claim whose scopes count beside those of other claims.
#[derive(Clone, Debug)]
pub struct AdditionalScopes {
    /// The claim.
    pub claim: ClaimReference,
    /// What is put before each of its scopes.
    pub prefix: String,
    /// Whether `*` in its scopes is a wildcard.
    pub wildcards: GrantedWildcards,
}

impl ScopeClaims {
    /// The first of these claims that is present.
    #[must_use]
    pub fn first_of<const N: usize>(names: [&str; N]) -> Self {
        Self {
            names: names.map(str::to_owned).to_vec(),
            additional: Vec::new(),
            separator: ScopeSeparator::Space,
        }
    }

    /// The scopes that these claims grant; `wildcards` holds for the plain names.
    pub(super) fn granted(
        &self,
        claims: &Map<String, Value>,
        wildcards: GrantedWildcards,
    ) -> Result<ScopeSet, TooManyScopes> {
        let mut granted = GrantedScopes::default();
        match self.first_present(claims).map(|(_, value)| value) {
            Some(Value::String(scopes)) => granted.add(self.split(scopes), "", wildcards)?,
            Some(Value::Array(scopes)) => {
                granted.add(scopes.iter().filter_map(Value::as_str), "", wildcards)?;
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
        }
        for source in &self.additional {
            if let Some(value) = source.claim.find(claims) {
                source.add_to(&mut granted, value, self)?;
            }
        }
        Ok(granted.into())
    }

    // Servers that separate with commas may put spaces around them. A scope with a space within is
    // none.
    fn split<'s>(&self, scopes: &'s str) -> impl Iterator<Item = &'s str> {
        let separator = match self.separator {
            ScopeSeparator::Space => ' ',
            ScopeSeparator::Comma => ',',
        };
        scopes.split(separator).map(|scope| scope.trim_matches(' '))
    }

    /// The plain name that counts, and its value.
    pub(super) fn first_present<'c>(
        &self,
        claims: &'c Map<String, Value>,
    ) -> Option<(&str, &'c Value)> {
        let mut present = self
            .names
            .iter()
            .map(|name| Some((&**name, claims.get(name)?)));
        present.find_map(|present| present)
    }

    /// Whether the claim of this name holds scopes, or has a value within it that does.
    pub(super) fn hold_scopes_in(&self, name: &str) -> bool {
        let mut additional = self.additional.iter();
        self.names.iter().any(|known| known == name)
            || additional.any(|source| source.claim.claim() == name)
    }

    /// The claims as written, for messages.
    pub(super) fn listed(&self) -> String {
        let names = self.names.join(" or ");
        let additional = self.additional.iter().map(|source| source.claim.as_str());
        let listed: Vec<_> = [names.as_str()].into_iter().chain(additional).collect();
        listed
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(", and in ")
    }
}

impl AdditionalScopes {
    fn add_to(
        &self,
        granted: &mut GrantedScopes,
        value: &Value,
        claims: &ScopeClaims,
    ) -> Result<(), TooManyScopes> {
        let (prefix, wildcards) = (&*self.prefix, self.wildcards);
        match value {
            Value::String(scopes) => granted.add(claims.split(scopes), prefix, wildcards),
            Value::Array(scopes) => {
                let scopes = scopes.iter().filter_map(Value::as_str);
                granted.add(scopes, prefix, wildcards)
            }
            Value::Object(members) => {
                let held = members.iter().filter(|(_, value)| is_held(value));
                granted.add(held.map(|(name, _)| &**name), prefix, wildcards)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

// Servers write a role that somebody does not have as `false` or `null`.
fn is_held(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}
