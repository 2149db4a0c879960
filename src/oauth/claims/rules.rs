//! The rules for claims. [`Claims::check`] stops at the first broken one; [`Claims::checks`]
//! reports all.

use serde_json::Value;

use super::kinds::{FOREIGN_CLAIMS, ID_TOKEN_CLAIMS, KIND_CLAIMS};
use super::{ClaimRule, Claims, ClaimsError, Expectation, NoParameters, UnmetRule};
use crate::oauth::{UnixTime, issuer_name};
use crate::text::{alternatives, truncated};

/// One rule for claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Kind,
    TokenType,
    Issuer,
    Audience,
    Expiry,
    NotBefore,
    IssuedAt,
    RequiredClaims,
    Binding,
    ClaimRules,
}

impl Rule {
    /// All rules in the order of their checks. The first broken one gives the reason of the
    /// refusal.
    pub(super) const ALL: [Self; 10] = [
        Self::Kind,
        Self::TokenType,
        Self::Issuer,
        Self::Audience,
        Self::Expiry,
        Self::NotBefore,
        Self::IssuedAt,
        Self::RequiredClaims,
        Self::Binding,
        Self::ClaimRules,
    ];

    pub(super) fn check(
        self,
        claims: &Claims,
        expected: &Expectation,
        now: UnixTime,
    ) -> Result<(), ClaimsError> {
        match self {
            Self::Kind => claims.check_kind(expected),
            Self::TokenType => claims.check_token_type(expected),
            Self::Issuer => claims.check_issuer(expected),
            Self::Audience => claims.check_audience_with_claims(expected),
            Self::Expiry => claims.expiry(expected, now).map(|_| ()),
            Self::NotBefore => claims.check_not_before(expected, now),
            Self::IssuedAt => claims.check_issued_at(expected, now),
            Self::RequiredClaims => claims.check_required(expected),
            Self::Binding if !expected.ignore_cnf && claims.members.contains_key("cnf") => {
                Err(ClaimsError::SenderConstrained)
            }
            Self::Binding => Ok(()),
            Self::ClaimRules => claims.check_claim_rules(expected),
        }
    }
}

impl Claims {
    pub(super) fn claim_of_another_kind(&self, expected: &Expectation) -> Option<&'static str> {
        // Most tokens have none of these. One pass finds that out at a tenth of the cost of a lookup
        // for each.
        let known = [&ID_TOKEN_CLAIMS[..], &FOREIGN_CLAIMS, &KIND_CLAIMS];
        let is_known = |name: &String| known.iter().any(|claims| claims.contains(&name.as_str()));
        if !self.members.keys().any(is_known) {
            return None;
        }
        let of_id_tokens = ID_TOKEN_CLAIMS
            .into_iter()
            .filter(|_| expected.refuse_id_tokens);
        if let Some(claim) = of_id_tokens
            .chain(FOREIGN_CLAIMS)
            .find(|claim| self.members.contains_key(*claim))
        {
            return Some(claim);
        }
        let names_another_kind = |claim: &str| {
            self.members
                .get(claim)
                .is_some_and(|kind| !kind.as_str().is_some_and(names_an_access_token))
        };
        KIND_CLAIMS
            .into_iter()
            .find(|claim| names_another_kind(claim))
    }

    fn check_kind(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.claim_of_another_kind(expected) {
            Some(claim) => Err(ClaimsError::OtherKindOfToken { claim }),
            None => Ok(()),
        }
    }

    // `token_type` states how a token is used (RFC 6749 §7.1, RFC 7662 §2.2). A server may report a
    // refresh token as active, and any type but Bearer requires a proof of possession.
    fn check_token_type(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.members.get("token_type") {
            None => Ok(()),
            Some(Value::String(kind)) if names_an_access_token(kind) => Ok(()),
            Some(Value::String(kind))
                if kind.eq_ignore_ascii_case("DPoP") && expected.ignore_cnf =>
            {
                Ok(())
            }
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") => {
                Err(ClaimsError::SenderConstrained)
            }
            Some(_) => Err(ClaimsError::OtherKindOfToken {
                claim: "token_type",
            }),
        }
    }

    fn check_issuer(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.members.get("iss") {
            None if !expected.issuer_required => Ok(()),
            None => Err(ClaimsError::MissingClaim("iss".to_owned())),
            Some(Value::String(issuer)) if expected.issuers.contains(issuer) => Ok(()),
            Some(other) => {
                let names = || expected.issuers.iter().map(String::as_str);
                Err(ClaimsError::WrongIssuer {
                    expected: alternatives(names()),
                    hint: issuer_name::hint(other.as_str(), names()),
                    found: other.as_str().map(truncated),
                })
            }
        }
    }

    fn check_not_before(&self, expected: &Expectation, now: UnixTime) -> Result<(), ClaimsError> {
        match self.time("nbf", expected.expiry_unit)? {
            Some(from) if now < from.earlier_by(expected.leeway) => {
                Err(ClaimsError::NotYetValid { from })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_issued_at(&self, expected: &Expectation, now: UnixTime) -> Result<(), ClaimsError> {
        match self.time("iat", expected.expiry_unit)? {
            Some(at) if at > now.later_by(expected.leeway) => {
                Err(ClaimsError::IssuedInFuture { at })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_claim_rules(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        let mut unmet = self.unmet_rules(expected);
        unmet
            .find_map(|(_, unmet)| unmet)
            .map_or(Ok(()), |unmet| Err(ClaimsError::ClaimNotMet(unmet)))
    }

    pub(super) fn unmet_rules<'e>(
        &self,
        expected: &'e Expectation,
    ) -> impl Iterator<Item = (&'e ClaimRule, Option<UnmetRule>)> {
        let rules = expected.claim_rules.iter().enumerate();
        rules.map(|(position, rule)| {
            let is_met = rule.holds_for(&self.members, &NoParameters);
            let unmet = (!is_met).then(|| rule.unmet(&self.members, position));
            (rule, unmet)
        })
    }

    pub(super) fn missing<'e>(&self, expected: &'e Expectation) -> Option<&'e str> {
        let mut names = expected.required_claims.iter().map(String::as_str);
        names.find(|name| self.members.get(*name).is_none_or(Value::is_null))
    }

    fn check_required(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.missing(expected) {
            Some(name) => Err(ClaimsError::MissingClaim(name.to_owned())),
            None => Ok(()),
        }
    }
}

fn names_an_access_token(kind: &str) -> bool {
    [
        "access_token",
        "access",
        "bearer",
        "at+jwt",
        "application/at+jwt",
        "at",
    ]
    .iter()
    .any(|name| kind.eq_ignore_ascii_case(name))
}

pub(super) fn excerpt(value: Option<&Value>) -> String {
    value.map_or_else(
        || "nothing".to_owned(),
        |value| truncated(&value.to_string()),
    )
}

pub(super) fn one_of(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(" or ")
}
