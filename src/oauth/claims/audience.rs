//! The audience of a token (RFC 7519 §4.1.3).
//!
//! It is checked with the other claims, or by the routes, where some of them are for a resource: a
//! token has one issuer, but the resources of that issuer's routes differ.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::rules::{excerpt, one_of};
use super::{ClaimReference, Claims, ClaimsError, Expectation};
use crate::text::truncated;

/// What `aud` must contain (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedAudience {
    /// `aud` is not checked.
    Any,
    /// `aud` must name one of these.
    OneOf {
        /// The audiences that identify this gateway. Without any, no token has the right one.
        names: Vec<String>,
        /// Whether `aud` must be present. A wrong one is refused either way.
        required: bool,
    },
}

/// Where the audience of a token is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceCheck {
    /// With its other claims: a token with another audience is not active.
    WithClaims,
    /// By each route, because a resource of some route decides instead of the issuer.
    ByRoute,
}

/// What an active token remembers of the check.
#[derive(Clone, Default)]
pub(super) struct JudgedAudience {
    is_of_issuer: bool,
    /// The claims that name the audience if there is no `aud`; none if no route asks.
    claims: Option<Arc<[ClaimReference]>>,
    /// The audience that a JWT names which was introspected instead of verified. It must fit, too.
    also: Option<Box<Value>>,
}

impl Expectation {
    /// What a route expects that accepts these audiences instead of the issuer's; none for a route
    /// that goes by the issuer.
    #[must_use]
    pub fn on_route(&self, audiences: Option<&[String]>) -> Self {
        let audience = audiences.map(|names| ExpectedAudience::OneOf {
            names: names.to_vec(),
            required: true,
        });
        Self {
            audience: audience.unwrap_or_else(|| self.audience.clone()),
            audience_check: AudienceCheck::WithClaims,
            ..self.clone()
        }
    }
}

impl Claims {
    pub(super) fn check_audience_with_claims(
        &self,
        expected: &Expectation,
    ) -> Result<(), ClaimsError> {
        match expected.audience_check {
            AudienceCheck::WithClaims => self.check_audience(expected),
            AudienceCheck::ByRoute => Ok(()),
        }
    }

    pub(super) fn judged_audience(&self, expected: &Expectation) -> JudgedAudience {
        match expected.audience_check {
            AudienceCheck::WithClaims => JudgedAudience {
                is_of_issuer: true,
                claims: None,
                also: None,
            },
            AudienceCheck::ByRoute => JudgedAudience {
                is_of_issuer: self.check_audience(expected).is_ok(),
                claims: Some(Arc::clone(&expected.audience_claims)),
                also: None,
            },
        }
    }

    fn check_audience(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        let ExpectedAudience::OneOf { names, required } = &expected.audience else {
            return Ok(());
        };
        match self.audience(expected) {
            None if *required => Err(ClaimsError::MissingAudience),
            None => Ok(()),
            Some((claim, audience)) => check_value(claim, audience, names),
        }
    }

    /// The claim that names the audience, and its value.
    pub(super) fn audience<'e>(&self, expected: &'e Expectation) -> Option<(&'e str, &Value)> {
        find(&self.members, &expected.audience_claims)
    }
}

impl JudgedAudience {
    /// Whether it is one that the issuer's table accepts.
    pub(super) fn is_of_issuer(&self) -> bool {
        self.is_of_issuer
    }

    /// Checks whether the audience in `members` is one of `names`. There must be one.
    pub(super) fn check(
        &self,
        members: &Map<String, Value>,
        names: &[String],
    ) -> Result<(), ClaimsError> {
        let (claim, audience) = self.find(members).ok_or(ClaimsError::MissingAudience)?;
        check_value(claim, audience, names)?;
        let also = self.also.as_ref();
        also.map_or(Ok(()), |audience| check_value("aud", audience, names))
    }

    /// The same, where the audience that `unverified` has in `members` must fit, too.
    pub(super) fn limited_to(self, unverified: &Self, members: &Map<String, Value>) -> Self {
        let also = unverified.find(members).filter(|_| self.claims.is_some());
        Self {
            is_of_issuer: self.is_of_issuer && unverified.is_of_issuer,
            claims: self.claims,
            also: also.map(|(_, audience)| Box::new(audience.clone())),
        }
    }

    /// What it owns beside its claims.
    pub(super) fn also(&self) -> Option<&Value> {
        self.also.as_deref()
    }

    fn find<'c>(&self, members: &'c Map<String, Value>) -> Option<(&str, &'c Value)> {
        find(members, self.claims.as_deref().unwrap_or_default())
    }

    /// Why the audience in `members` is none of the issuer's.
    pub(super) fn refusal(&self, members: &Map<String, Value>, issuer: &str) -> ClaimsError {
        let Some((claim, audience)) = self.find(members) else {
            return ClaimsError::MissingAudience;
        };
        ClaimsError::WrongAudience {
            claim: claim.to_owned(),
            expected: format!("an audience of issuer {issuer:?}"),
            found: excerpt(Some(audience)),
        }
    }
}

// `aud` takes precedence: another claim must not help a token that was issued for somebody else.
fn find<'c, 'e>(
    members: &'c Map<String, Value>,
    others: &'e [ClaimReference],
) -> Option<(&'e str, &'c Value)> {
    if let Some(audience) = members.get("aud") {
        return Some(("aud", audience));
    }
    others
        .iter()
        .find_map(|claim| Some((claim.as_str(), claim.find(members)?)))
}

fn check_value(claim: &str, audience: &Value, names: &[String]) -> Result<(), ClaimsError> {
    let is_ours = |audience: &str| names.iter().any(|name| name == audience);
    let fits = match audience {
        Value::String(audience) => is_ours(audience),
        // An array that holds anything but strings is malformed, so no element of it counts.
        Value::Array(audiences) => {
            audiences.iter().all(Value::is_string)
                && audiences.iter().filter_map(Value::as_str).any(is_ours)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if fits {
        return Ok(());
    }
    Err(ClaimsError::WrongAudience {
        claim: claim.to_owned(),
        expected: truncated(&one_of(names)),
        found: excerpt(Some(audience)),
    })
}
