//! A token whose claims passed every check.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::audience::JudgedAudience;
use super::rule_set::{RuleOutcomes, RuleSet};
use super::{ClaimReference, ClaimRule, ClaimsError, ParameterValues, UnmetRule, numeric_date};
use crate::oauth::UnixTime;
use crate::oauth::scope::ScopeSet;
use crate::oauth::tenant::Tenant;
use crate::values::ExpiryUnit;

/// The claims that name the client, by the servers that have them: RFC 9068, OpenID Connect, Okta, Entra.
pub(crate) const CLIENT_ID_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// An access token that is active: facts about it, no decisions.
///
/// Only [`super::Claims::check`] constructs one. It was active at the time of the check, and is so
/// until [`Self::expires_at`] plus the leeway.
#[derive(Clone)]
pub struct ActiveToken {
    pub(super) issuer_name: Arc<str>,
    pub(super) tenant: Option<Arc<Tenant>>,
    pub(super) claims: Map<String, Value>,
    pub(super) size: usize,
    pub(super) scopes: ScopeSet,
    pub(super) expires_at: Option<UnixTime>,
    pub(super) audience: JudgedAudience,
    pub(super) leeway: Duration,
    pub(super) outcomes: Option<RuleOutcomes>,
}

impl ActiveToken {
    /// The name, in gateway.toml, of the issuer whose checks the token passed.
    #[must_use]
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// The tenant whose issuer's checks the token passed; `None` if the issuer has no tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&Arc<Tenant>> {
        self.tenant.as_ref()
    }

    /// The same, to share it.
    #[must_use]
    pub fn shared_issuer_name(&self) -> &Arc<str> {
        &self.issuer_name
    }

    /// `iss`
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `sub`
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// The client that the token was issued to: `client_id` (RFC 9068 §2.2), else `azp`, `cid` or
    /// `appid`.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        CLIENT_ID_CLAIMS
            .into_iter()
            .find_map(|name| self.text(name))
    }

    /// The value of a claim.
    #[must_use]
    pub fn claim(&self, claim: &ClaimReference) -> Option<&Value> {
        claim.find(&self.claims)
    }

    /// `acr`: how the user signed in (OpenID Connect Core §2, RFC 9470 §6).
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.text("acr")
    }

    /// `auth_time`: when the user signed in, in seconds; none if it is no time.
    #[must_use]
    pub fn auth_time(&self) -> Option<UnixTime> {
        let value = self.claims.get("auth_time")?;
        numeric_date(value).map(UnixTime::from_seconds)
    }

    /// How far the issuer's clock may differ from ours.
    #[must_use]
    pub fn leeway(&self) -> Duration {
        self.leeway
    }

    /// The scopes that the token grants.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Whether its audience is one that its issuer's table accepts.
    #[must_use]
    pub fn has_audience_of_issuer(&self) -> bool {
        self.audience.is_of_issuer()
    }

    /// Checks whether its audience is one of these. It must have one.
    ///
    /// # Errors
    /// [`ClaimsError::MissingAudience`] or [`ClaimsError::WrongAudience`].
    pub fn check_audience(&self, names: &[String]) -> Result<(), ClaimsError> {
        self.audience.check(&self.claims, names)
    }

    /// Reports that its audience is none of its issuer's.
    #[must_use]
    pub fn other_audience(&self) -> ClaimsError {
        self.audience.refusal(&self.claims, &self.issuer_name)
    }

    /// `exp` without leeway; `None` if the token does not expire, or does not say when.
    #[must_use]
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// The same token, expiring at `at` at the latest; `None` changes nothing.
    #[must_use]
    pub fn ending_by(self, at: Option<UnixTime>) -> Self {
        let expires_at = match (self.expires_at, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { expires_at, ..self }
    }

    /// The same token, also limited to the audience of a JWT whose signature nobody verified.
    #[must_use]
    pub fn limited_to_audience_of(self, unverified: &Self) -> Self {
        let audience = self
            .audience
            .limited_to(&unverified.audience, &unverified.claims);
        Self { audience, ..self }
    }

    /// Length in bytes of the JSON text that the claims came from: an estimate of their memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the token meets a rule.
    #[must_use]
    pub fn meets(&self, rule: &ClaimRule, parameters: &impl ParameterValues) -> bool {
        rule.holds_for(&self.claims, parameters)
    }

    /// Reports that the token does not meet the rule at this position of its list.
    #[must_use]
    pub fn unmet(&self, rule: &ClaimRule, position: usize) -> UnmetRule {
        rule.unmet(&self.claims, position)
    }

    /// The same token with the outcomes of these rules.
    #[must_use]
    pub fn with_outcomes_of(self, rules: &Arc<RuleSet>) -> Self {
        if rules.is_empty() {
            return self;
        }
        let outcomes = Some(RuleOutcomes::of(rules, &self.claims));
        Self { outcomes, ..self }
    }

    /// A bit for each rule of this set that the token meets; `None` if they were not evaluated.
    #[must_use]
    pub fn outcomes_of(&self, rules: &Arc<RuleSet>) -> Option<u64> {
        self.outcomes.as_ref()?.met(rules)
    }

    /// The value of the first of these claims that has one: a string, or a number as servers with
    /// numeric identifiers write it.
    #[must_use]
    pub fn identifier(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        let mut values = names.iter().filter_map(|name| self.claims.get(*name));
        values.find_map(|value| match value {
            Value::String(text) => Some(Cow::Borrowed(text.as_str())),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }

    /// `iat`, which is in this unit; none if it is missing.
    #[must_use]
    pub fn issued_at(&self, unit: ExpiryUnit) -> Option<UnixTime> {
        let number = numeric_date(self.claims.get("iat")?)?;
        Some(UnixTime::from_seconds(match unit {
            ExpiryUnit::Seconds => number,
            ExpiryUnit::Milliseconds => number / 1000,
        }))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

// Claims name people. Deriving `Debug` could leak them into a log.
impl fmt::Debug for ActiveToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveToken")
            .field("issuer_name", &self.issuer_name)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
