//! The outcome of each rule, for `explain`. `rules` decides; this file only reports.

use std::time::Duration;

use serde_json::Value;

use super::claim_rule::kind;
use super::rules::{Rule, excerpt, one_of};
use super::{ActiveToken, Claims, ClaimsError, Expectation, ExpectedAudience};
use crate::oauth::UnixTime;
use crate::oauth::scope::{MAX_GRANTED_SCOPES, ScopeSet};

/// The outcome of one rule.
#[derive(Debug)]
pub struct ClaimCheck {
    /// The claim at fault. A rule about several claims has a name of its own if none is at fault.
    pub claim: String,
    /// The value of the claim.
    pub found: FoundValue,
    /// What the rule accepts.
    pub expected: String,
    /// Why the rule refuses the claims, if it does.
    pub broken: Option<ClaimsError>,
}

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundValue {
    /// The claim is missing.
    Nothing,
    /// The value as JSON, truncated.
    Json(String),
    /// The type of the value, which is not shown.
    Kind(&'static str),
    /// A time, and its distance from now.
    Time {
        /// The time.
        at: UnixTime,
        /// The time until then; zero if it has passed.
        ahead: Duration,
        /// The time since then; zero if it is in the future.
        ago: Duration,
        /// Whether the rule accepts the time only by the leeway.
        leeway: LeewayUse,
    },
}

/// Whether a time is accepted only by the leeway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeewayUse {
    /// It would be accepted without it.
    NotNeeded,
    /// It is accepted by this leeway.
    Within(Duration),
    /// It is refused.
    Exceeded {
        /// How much is missing.
        by: Duration,
    },
}

impl Claims {
    /// The outcome of every rule, also of those after the first broken one.
    ///
    /// The first `broken` is the error that [`Claims::check`] returns; if there is none, it
    /// succeeds.
    #[must_use]
    pub fn checks(&self, expected: &Expectation, now: UnixTime) -> Vec<ClaimCheck> {
        let rules = Rule::ALL.into_iter();
        // Each rule of the issuer has a check of its own below.
        let by_rule = rules.filter(|rule| *rule != Rule::ClaimRules);
        let by_rule = by_rule.map(|rule| ClaimCheck {
            claim: rule.claim_at_fault(self, expected).to_owned(),
            found: rule.found(self, expected, now),
            expected: rule.expected(expected),
            broken: rule.check(self, expected, now).err(),
        });
        let claim_rules = self.unmet_rules(expected).map(|(rule, unmet)| ClaimCheck {
            claim: rule.to_string(),
            found: FoundValue::Kind(kind(rule.claim().find(&self.members))),
            expected: format!("a value that meets {}", rule.operator()),
            broken: unmet.map(ClaimsError::ClaimNotMet),
        });
        by_rule
            .chain(claim_rules)
            .chain(self.scope_checks(expected))
            .collect()
    }

    // One check for the plain name that counts, and one for each further claim that is present.
    fn scope_checks(&self, expected: &Expectation) -> Vec<ClaimCheck> {
        let sources = &expected.scope_claims;
        let text = format!(
            "at most {MAX_GRANTED_SCOPES} scopes, in {}",
            sources.listed()
        );
        let named = sources.first_present(&self.members);
        let first = ClaimCheck {
            claim: named.map_or("scope", |(name, _)| name).to_owned(),
            found: named.map_or(FoundValue::Nothing, |(_, value)| FoundValue::json(value)),
            expected: text.clone(),
            broken: self.scopes(expected).err(),
        };
        let additional = sources.additional.iter().filter_map(|source| {
            Some(ClaimCheck {
                claim: source.claim.to_string(),
                found: FoundValue::json(source.claim.find(&self.members)?),
                expected: text.clone(),
                broken: None,
            })
        });
        [first].into_iter().chain(additional).collect()
    }

    /// The scopes, whether the claims are valid or not; empty if there are too many.
    #[must_use]
    pub fn granted(&self, expected: &Expectation) -> ScopeSet {
        self.scopes(expected).unwrap_or(ScopeSet::empty())
    }

    /// The claims of an active token, to be checked against another expectation.
    #[must_use]
    pub fn from_token(token: &ActiveToken) -> Self {
        Self {
            members: token.claims.clone(),
            size: token.size,
        }
    }

    fn value_of(&self, claim: &str) -> FoundValue {
        self.members
            .get(claim)
            .map_or(FoundValue::Nothing, FoundValue::json)
    }
}

impl FoundValue {
    fn json(value: &Value) -> Self {
        Self::Json(excerpt(Some(value)))
    }
}

impl Rule {
    fn claim(self) -> &'static str {
        match self {
            Self::Kind => "kind of token",
            Self::TokenType => "token_type",
            Self::Issuer => "iss",
            Self::Audience => "aud",
            Self::Expiry => "exp",
            Self::NotBefore => "nbf",
            Self::IssuedAt => "iat",
            Self::RequiredClaims => "required_claims",
            Self::Binding => "cnf",
            Self::ClaimRules => "claims",
        }
    }

    fn claim_at_fault<'c>(self, claims: &Claims, expected: &'c Expectation) -> &'c str {
        match self {
            Self::Kind => claims
                .claim_of_another_kind(expected)
                .unwrap_or(self.claim()),
            Self::RequiredClaims => claims.missing(expected).unwrap_or(self.claim()),
            Self::Audience => claims
                .audience(expected)
                .map_or(self.claim(), |(claim, _)| claim),
            Self::TokenType
            | Self::Issuer
            | Self::Expiry
            | Self::NotBefore
            | Self::IssuedAt
            | Self::Binding
            | Self::ClaimRules => self.claim(),
        }
    }

    fn found(self, claims: &Claims, expected: &Expectation, now: UnixTime) -> FoundValue {
        match self {
            Self::Kind => claims
                .claim_of_another_kind(expected)
                .map_or(FoundValue::Nothing, |claim| claims.value_of(claim)),
            Self::Expiry | Self::NotBefore | Self::IssuedAt => {
                match claims.time(self.claim(), expected.expiry_unit) {
                    Ok(Some(at)) => FoundValue::Time {
                        at,
                        ahead: at.since(now),
                        ago: now.since(at),
                        leeway: self.leeway_use(at, now, expected.leeway),
                    },
                    Ok(None) | Err(_) => claims.value_of(self.claim()),
                }
            }
            Self::RequiredClaims => claims
                .missing(expected)
                .map_or(FoundValue::Nothing, |claim| claims.value_of(claim)),
            Self::Audience => claims
                .audience(expected)
                .map_or(FoundValue::Nothing, |(_, value)| FoundValue::json(value)),
            Self::TokenType | Self::Issuer | Self::Binding | Self::ClaimRules => {
                claims.value_of(self.claim())
            }
        }
    }

    // `exp` may lie in the past, and less far than the leeway; `nbf` and `iat` in the future, and at
    // most as far.
    fn leeway_use(self, at: UnixTime, now: UnixTime, leeway: Duration) -> LeewayUse {
        let (is_accepted_without, distance, is_within) = match self {
            Self::Expiry => {
                let ago = now.since(at);
                (at > now, ago, ago < leeway)
            }
            Self::Kind
            | Self::TokenType
            | Self::Issuer
            | Self::Audience
            | Self::NotBefore
            | Self::IssuedAt
            | Self::RequiredClaims
            | Self::Binding
            | Self::ClaimRules => {
                let ahead = at.since(now);
                (at <= now, ahead, ahead <= leeway)
            }
        };
        match (is_accepted_without, is_within) {
            (true, _) => LeewayUse::NotNeeded,
            (false, true) => LeewayUse::Within(leeway),
            (false, false) => LeewayUse::Exceeded {
                by: distance.saturating_sub(leeway),
            },
        }
    }

    fn expected(self, expected: &Expectation) -> String {
        let or_none = |needed: bool| if needed { "" } else { ", or none" };
        match self {
            Self::Kind => {
                "no claim of another kind of token, such as nonce or token_use".to_owned()
            }
            Self::TokenType => "Bearer, or none".to_owned(),
            Self::Issuer => one_of(&expected.issuers) + or_none(expected.issuer_required),
            Self::Audience => match &expected.audience {
                ExpectedAudience::Any => "anything (audience = \"any\")".to_owned(),
                ExpectedAudience::OneOf { names, required } => one_of(names) + or_none(*required),
            },
            Self::Expiry => format!(
                "a time in the future, at most ten years ahead{}, with a leeway of {} s{}",
                if expected.accept_unbounded_expiry {
                    ", or without an end"
                } else {
                    ""
                },
                expected.leeway.as_secs(),
                or_none(expected.expiry_required)
            ),
            Self::NotBefore | Self::IssuedAt => {
                format!(
                    "a time in the past, with a leeway of {} s, or none",
                    expected.leeway.as_secs()
                )
            }
            Self::RequiredClaims if expected.required_claims.is_empty() => {
                "nothing more".to_owned()
            }
            Self::RequiredClaims => format!(
                "a value for each of {}",
                expected.required_claims.join(", ")
            ),
            Self::Binding if expected.ignore_cnf => "anything (insecure_ignore_cnf)".to_owned(),
            Self::ClaimRules => "claims that meet each rule".to_owned(),
            Self::Binding => "none: scopegate cannot verify a proof of possession".to_owned(),
        }
    }
}
