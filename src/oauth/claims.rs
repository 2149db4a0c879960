//! Validates the claims of a token (RFC 7519 §4.1, RFC 9068 §4, RFC 8725 §3).
//!
//! The claims come from a JWT whose signature was verified, or from an introspection response. A
//! claim with value `null` is present: in a token, `null` does not omit a claim.
//!
//! 1. Claims of another kind of token are refused: an ID token is signed by the same keys.
//! 2. `iss` and `aud` are compared as strings, byte for byte (RFC 7519 §2, StringOrURI).
//! 3. A token is valid from `nbf` - leeway until, but not at, `exp` + leeway. `iat` is at most the
//!    leeway ahead. Fractions of a second are cut off.
//! 4. Times are numbers from 0 to 2^63 - 1. A string that looks like a number is refused.
//! 5. `cnf` binds a token to a key. Scopegate cannot verify a proof of possession, so it refuses
//!    the token (RFC 7800 §3, RFC 9449 §7.1).
//! 6. A scope that cannot be parsed is not granted.
//!
//! `reference` refers to a claim, or to a value within one. `scope_claims` finds the scopes.
//! `claim_rule` and `rule_value` are the rules that an operator writes, `rule_set` remembers their
//! outcomes.
//! `rules` checks each rule by itself. `checks` uses that to report all of them to `explain`,
//! and `unread_claims` names the other claims.

mod active;
mod audience;
mod checks;
mod claim_rule;
mod error;
mod exact;
mod kinds;
mod memory;
mod reference;
mod rule_set;
mod rule_value;
mod rules;
mod scope_claims;
mod unread_claims;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::UnixTime;
use super::json;
use super::scope::{GrantedWildcards, ScopeSet};
use super::tenant::Tenant;
use crate::values::ExpiryUnit;

pub use active::ActiveToken;
pub(crate) use active::CLIENT_ID_CLAIMS;
pub use audience::{AudienceCheck, ExpectedAudience};
pub use checks::{ClaimCheck, FoundValue, LeewayUse};
pub use claim_rule::{ClaimRule, ClaimTest, UnmetRule};
pub use error::ClaimsError;
pub use exact::InexactClaim;
pub(crate) use memory::{allocated, allocated_arc, allocated_slice};
pub use reference::{ClaimReference, ClaimReferenceError};
pub use rule_set::RuleSet;
pub use rule_value::{
    NoParameters, ParameterValues, RuleValue, Template, TextPattern, UnpairedBrace,
};
pub use scope_claims::{AdditionalScopes, ScopeClaims};
pub use unread_claims::{UnreadClaims, UnreadScopeClaim};

use rules::Rule;

/// An `exp` further ahead than ten years means "never", or milliseconds.
const MAX_EXPIRY_AHEAD: Duration = Duration::from_secs(3653 * 24 * 60 * 60);

/// Claims that no rule has checked yet.
pub struct Claims {
    members: Map<String, Value>,
    /// Length of the JSON text in bytes.
    size: usize,
}

/// What the claims of an issuer's tokens must be.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The issuer's name in gateway.toml.
    pub issuer_name: Arc<str>,
    /// The values of `iss` that are accepted.
    pub issuers: Vec<String>,
    /// Whether `iss` must be present. A wrong one is refused either way.
    pub issuer_required: bool,
    /// What `aud` must contain.
    pub audience: ExpectedAudience,
    /// The claims that name the audience if there is no `aud`; the first that is present counts.
    pub audience_claims: Arc<[ClaimReference]>,
    /// Where the audience is checked.
    pub audience_check: AudienceCheck,
    /// Claims that must be present and not `null`.
    pub required_claims: Vec<String>,
    /// The claims that hold the scopes.
    pub scope_claims: ScopeClaims,
    /// Rules that the claims must all meet. A parameter without a value meets none.
    pub claim_rules: Vec<ClaimRule>,
    /// The tenant whose tokens they are, if the issuer has tenants.
    pub tenant: Option<Arc<Tenant>>,
    /// The unit of `exp`, `nbf` and `iat`.
    pub expiry_unit: ExpiryUnit,
    /// Whether `exp` must be present.
    pub expiry_required: bool,
    /// Whether an `exp` more than ten years ahead means "never" instead of being refused.
    pub accept_unbounded_expiry: bool,
    /// What its tokens need so that they can be revoked; none if nothing is revoked.
    pub revocable: Option<Revocable>,
    /// How far the issuer's clock may differ from ours, either way.
    pub leeway: Duration,
    /// Whether the claims of an ID token are refused.
    pub refuse_id_tokens: bool,
    /// Whether `*` in a granted scope is a wildcard.
    pub granted_wildcards: GrantedWildcards,
    /// Whether a token bound to a key is accepted without a proof of possession.
    pub ignore_cnf: bool,
}

/// What tokens need so that they can be revoked before they expire: a revocation is remembered for a
/// bounded time, so every token must end within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocable {
    /// A token expires this long after `iat` at the latest.
    pub max_token_lifetime: Duration,
    /// Tokens issued this long after a revocation are revoked as well.
    pub skew: Duration,
    /// Whether `iat` must be present.
    pub iat_required: bool,
}

impl Claims {
    /// Parses a claims set: one JSON object without duplicate members (RFC 7519 §4).
    ///
    /// # Errors
    /// [`ClaimsError::DuplicateMember`] or [`ClaimsError::NotAnObject`].
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsError> {
        Ok(Self {
            members: json::parse_object(payload)?,
            size: payload.len(),
        })
    }

    /// A claims set that was nested in a JSON text of `size` bytes.
    pub(super) fn from_members(members: Map<String, Value>, size: usize) -> Self {
        Self { members, size }
    }

    /// Adds the claims of `token` that these claims lack.
    ///
    /// An introspection response overrides the JWT that it is about. If it names a claim that holds
    /// scopes, no such claim of the JWT is added: under another name, it could grant more.
    #[must_use]
    pub fn complete_from(mut self, token: &ActiveToken, scope_claims: &ScopeClaims) -> Self {
        let mut names = self.members.keys();
        let names_scope = names.any(|name| scope_claims.hold_scopes_in(name));
        for (name, value) in &token.claims {
            let is_named = self.members.contains_key(name)
                || (names_scope && scope_claims.hold_scopes_in(name));
            if !is_named {
                self.members.insert(name.clone(), value.clone());
            }
        }
        self.size += token.size;
        self
    }

    #[cfg(test)]
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether `iss` is present, whatever its type.
    #[must_use]
    pub fn has_issuer(&self) -> bool {
        self.members.contains_key("iss")
    }

    /// `iss`, if it is a string: selects the issuer whose rules the claims must meet. Not verified.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// A claim, if it is a string. Not verified.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.members.get(claim).and_then(Value::as_str)
    }

    /// Checks the claims. A signature or an introspection response must have proven their origin.
    ///
    /// # Errors
    /// [`ClaimsError`] names the first rule that is broken.
    pub fn check(self, expected: &Expectation, now: UnixTime) -> Result<ActiveToken, ClaimsError> {
        Rule::ALL
            .into_iter()
            .try_for_each(|rule| rule.check(&self, expected, now))?;
        let expires_at = match expected.revocable {
            Some(revocable) => self.bounded_expiry(expected, revocable, now)?,
            None => self.expiry(expected, now)?,
        };
        let scopes = self.scopes(expected)?;
        let audience = self.judged_audience(expected);
        Ok(ActiveToken {
            issuer_name: expected.issuer_name.clone(),
            tenant: expected.tenant.clone(),
            claims: self.members,
            size: self.size,
            scopes,
            expires_at,
            audience,
            leeway: expected.leeway,
            outcomes: None,
        })
    }

    // `None`: the token does not expire, or does not say when.
    fn expiry(
        &self,
        expected: &Expectation,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, ClaimsError> {
        match self.time("exp", expected.expiry_unit)? {
            None if expected.expiry_required => Err(ClaimsError::MissingClaim("exp".to_owned())),
            None => Ok(None),
            Some(at) if at > now.later_by(MAX_EXPIRY_AHEAD) && expected.accept_unbounded_expiry => {
                Ok(None)
            }
            Some(at) if at > now.later_by(MAX_EXPIRY_AHEAD) => {
                Err(ClaimsError::UnboundedExpiry { at })
            }
            Some(at) if now >= at.later_by(expected.leeway) => Err(ClaimsError::Expired { at }),
            Some(at) => Ok(Some(at)),
        }
    }

    // Beyond the lifetime of a revocation, a revoked token would pass again.
    fn bounded_expiry(
        &self,
        expected: &Expectation,
        revocable: Revocable,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, ClaimsError> {
        let expiry = self.expiry(expected, now)?;
        match self.time("iat", expected.expiry_unit)? {
            None if revocable.iat_required => Err(ClaimsError::MissingIssuedAt),
            None => Ok(expiry),
            Some(issued) => {
                let end = issued.later_by(revocable.max_token_lifetime);
                if now >= end.later_by(expected.leeway) {
                    return Err(ClaimsError::TooOld { issued });
                }
                Ok(Some(expiry.map_or(end, |expiry| expiry.min(end))))
            }
        }
    }

    /// `exp`, which is in this unit. Not verified.
    #[must_use]
    pub fn expires_at(&self, unit: ExpiryUnit) -> Option<UnixTime> {
        self.time("exp", unit).ok().flatten()
    }

    fn time(&self, claim: &'static str, unit: ExpiryUnit) -> Result<Option<UnixTime>, ClaimsError> {
        let Some(value) = self.members.get(claim) else {
            return Ok(None);
        };
        match numeric_date(value) {
            Some(number) => Ok(Some(UnixTime::from_seconds(match unit {
                ExpiryUnit::Seconds => number,
                ExpiryUnit::Milliseconds => number / 1000,
            }))),
            None => Err(ClaimsError::NotANumericDate { claim }),
        }
    }

    fn scopes(&self, expected: &Expectation) -> Result<ScopeSet, ClaimsError> {
        let granted = expected
            .scope_claims
            .granted(&self.members, expected.granted_wildcards);
        granted.map_err(|_| ClaimsError::TooManyScopes)
    }
}

// Claims name people. Deriving `Debug` could leak them into a log.
impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// A number from 0 to 2^63 - 1, without its fraction.
pub(super) fn numeric_date(value: &Value) -> Option<i64> {
    let number = match value.as_i64() {
        Some(whole) => Some(whole),
        None if value.is_f64() => value.as_f64().and_then(whole_number),
        None => None,
    };
    number.filter(|number| *number >= 0)
}

// The bound is 2^63, the first whole number beyond an `i64`. Each smaller `f64` fits after
// truncation.
fn whole_number(number: f64) -> Option<i64> {
    (0.0..9_223_372_036_854_775_808.0)
        .contains(&number)
        .then_some(number as i64)
}

#[cfg(test)]
mod tests;
