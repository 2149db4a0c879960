//! Presets of issuers: the keys that the tokens of one product need.
//!
//! A preset is a table of `gateway.toml` without its header. Before the file is read, each issuer
//! gets the keys of its preset that it does not set. The reader then reads them like written ones,
//! so a preset can contain nothing that a file cannot.
//!
//! 1. A key of the file replaces the key of the preset as a whole: lists are not merged. A
//!    reader of the file sees all of a key that it sets.
//! 2. A preset has no `issuer`, `audience` or secret: who is trusted stands in the file.
//! 3. A preset never accepts more tokens or grants more scopes than the page of its provider says.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::values::{Keyword, Provider};

/// The preset of one issuer of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedPreset {
    /// The name of the issuer.
    pub issuer: String,
    /// Whose preset it is.
    pub provider: Provider,
    /// Its keys, in its order.
    pub keys: Vec<PresetKey>,
    /// The value of `provider`. Each value of the preset has this location.
    span: Range<usize>,
}

/// A key of a preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresetKey {
    /// Its name.
    pub name: &'static str,
    /// Its value, as the preset has it.
    pub value: &'static str,
    /// Whether the file sets the key, so that the preset's value does not count.
    pub is_overridden: bool,
}

impl AppliedPreset {
    /// Whether a value at `span` with this key comes from the preset.
    pub(super) fn has_filled_in(&self, key: &str, span: &Range<usize>) -> bool {
        self.span == *span && !key.ends_with(".provider")
    }
}

fn text(provider: Provider) -> &'static str {
    match provider {
        Provider::Keycloak => include_str!("providers/keycloak.toml"),
        Provider::Entra => include_str!("providers/entra.toml"),
        Provider::Cognito => include_str!("providers/cognito.toml"),
        Provider::Auth0 => include_str!("providers/auth0.toml"),
        Provider::Okta => include_str!("providers/okta.toml"),
        Provider::Google => include_str!("providers/google.toml"),
        Provider::Kubernetes => include_str!("providers/kubernetes.toml"),
        Provider::GithubActions => include_str!("providers/github-actions.toml"),
        Provider::Dex => include_str!("providers/dex.toml"),
        Provider::Authentik => include_str!("providers/authentik.toml"),
        Provider::Zitadel => include_str!("providers/zitadel.toml"),
    }
}

/// The preset of a provider.
pub(super) fn preset(provider: Provider) -> DeTable<'static> {
    let preset = DeTable::parse(text(provider)).expect("a preset is TOML");
    preset.into_inner()
}

/// Fills in the presets of all issuers of a file.
///
/// Skips whatever is not an issuer with a known provider: the reader reports it.
pub(super) fn fill_in(document: &mut DeTable<'_>) -> Vec<AppliedPreset> {
    let Some(DeValue::Table(issuers)) = document.get_mut("issuers").map(Spanned::get_mut) else {
        return Vec::new();
    };
    let mut applied = Vec::new();
    for (name, issuer) in issuers.iter_mut() {
        let DeValue::Table(issuer) = issuer.get_mut() else {
            continue;
        };
        let Some(written) = issuer.get("provider") else {
            continue;
        };
        let known = written.get_ref().as_str().and_then(Provider::from_keyword);
        if let Some(provider) = known {
            let span = written.span();
            applied.push(AppliedPreset {
                issuer: name.get_ref().to_string(),
                provider,
                keys: apply(provider, issuer, &span),
                span,
            });
        }
    }
    applied.sort_by_key(|preset| preset.span.start);
    applied
}

fn apply(provider: Provider, issuer: &mut DeTable<'_>, span: &Range<usize>) -> Vec<PresetKey> {
    let text = text(provider);
    let mut entries: Vec<_> = preset(provider).into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut keys = Vec::new();
    for (name, value) in entries {
        let written = &text[name.span()];
        let key = PresetKey {
            name: written,
            value: &text[value.span()],
            is_overridden: issuer.contains_key(written),
        };
        if !key.is_overridden {
            issuer.insert(
                Spanned::new(span.clone(), name.into_inner()),
                located(value.into_inner(), span),
            );
        }
        keys.push(key);
    }
    keys
}

/// The value with `span` instead of its places in the preset, which are not places of the file.
fn located<'p>(value: DeValue<'p>, span: &Range<usize>) -> Spanned<DeValue<'p>> {
    let value = match value {
        DeValue::Array(mut elements) => {
            for element in elements.iter_mut() {
                let inner = std::mem::replace(element.get_mut(), DeValue::Boolean(false));
                *element = located(inner, span);
            }
            DeValue::Array(elements)
        }
        DeValue::Table(entries) => {
            let entries = entries.into_iter().map(|(name, value)| {
                let name = Spanned::new(span.clone(), name.into_inner());
                (name, located(value.into_inner(), span))
            });
            DeValue::Table(entries.collect())
        }
        scalar @ (DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)) => scalar,
    };
    Spanned::new(span.clone(), value)
}
