//! What the rules find in claims, told one by one: for whoever asks why a token is refused. Nothing is judged here.

use std::time::Duration;

use super::rules::{Rule, one_of, shown};
use super::{ActiveToken, Claims, ClaimsError, Expectation, ExpectedAudience};
use crate::oauth::UnixTime;
use crate::oauth::scope::{MAX_GRANTED_SCOPES, ScopeSet};

/// What one rule has found.
#[derive(Debug)]
pub struct ClaimCheck {
    /// The claim that it is about, or where it is about several and none of them is wrong, what they are.
    pub claim: String,
    /// What stands there.
    pub found: FoundValue,
    /// What should.
    pub expected: String,
    /// The rule that is broken, where it is.
    pub broken: Option<ClaimsError>,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundValue {
    /// It is not there.
    Nothing,
    /// Its value as JSON; the beginning of a long one.
    Json(String),
    /// A point in time, `ahead` of now or that long ago.
    Time {
        /// The time.
        at: UnixTime,
        /// How long it is until then; zero where it has passed.
        ahead: Duration,
        /// How long ago it was; zero where it is to come.
        ago: Duration,
    },
}

impl Claims {
    /// What each rule finds, those after the first broken one as well. The first `broken` is what [`Claims::check`] answers;
    /// where there is none, the claims are good.
    #[must_use]
    pub fn checks(&self, expected: &Expectation, now: UnixTime) -> Vec<ClaimCheck> {
        let by_rule = Rule::ALL.into_iter().map(|rule| ClaimCheck {
            claim: rule.about(self, expected).to_owned(),
            found: rule.found(self, expected, now),
            expected: rule.expected(expected),
            broken: rule.judge(self, expected, now).err(),
        });
        let claim = expected
            .scope_claims
            .iter()
            .find(|claim| self.members.contains_key(*claim));
        let scopes = ClaimCheck {
            claim: claim.map_or("scope", String::as_str).to_owned(),
            found: claim.map_or(FoundValue::Nothing, |claim| self.told(claim)),
            expected: format!(
                "at most {MAX_GRANTED_SCOPES} scopes, in {}",
                expected.scope_claims.join(" or ")
            ),
            broken: self.scopes(expected).err(),
        };
        by_rule.chain([scopes]).collect()
    }

    /// What they grant, good or not; nothing where that cannot be read.
    #[must_use]
    pub fn granted(&self, expected: &Expectation) -> ScopeSet {
        self.scopes(expected).unwrap_or(ScopeSet::empty())
    }

    /// The claims of a good token, to be looked at once more.
    #[must_use]
    pub fn of(token: &ActiveToken) -> Self {
        Self {
            members: token.claims.clone(),
            size: token.size,
        }
    }

    fn told(&self, claim: &str) -> FoundValue {
        match self.members.get(claim) {
            None => FoundValue::Nothing,
            value => FoundValue::Json(shown(value)),
        }
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
        }
    }

    // Of several claims the one that is wrong.
    fn about<'c>(self, claims: &Claims, expected: &'c Expectation) -> &'c str {
        match self {
            Self::Kind => claims.claim_of_another_kind().unwrap_or(self.claim()),
            Self::RequiredClaims => claims.missing(expected).unwrap_or(self.claim()),
            Self::TokenType
            | Self::Issuer
            | Self::Audience
            | Self::Expiry
            | Self::NotBefore
            | Self::IssuedAt
            | Self::Binding => self.claim(),
        }
    }

    fn found(self, claims: &Claims, expected: &Expectation, now: UnixTime) -> FoundValue {
        match self {
            Self::Kind => claims
                .claim_of_another_kind()
                .map_or(FoundValue::Nothing, |claim| claims.told(claim)),
            Self::Expiry | Self::NotBefore | Self::IssuedAt => {
                match claims.time(self.claim(), expected.expiry_unit) {
                    Ok(Some(at)) => FoundValue::Time {
                        at,
                        ahead: at.since(now),
                        ago: now.since(at),
                    },
                    Ok(None) | Err(_) => claims.told(self.claim()),
                }
            }
            Self::RequiredClaims => claims
                .missing(expected)
                .map_or(FoundValue::Nothing, |claim| claims.told(claim)),
            Self::TokenType | Self::Issuer | Self::Audience | Self::Binding => {
                claims.told(self.claim())
            }
        }
    }

    fn expected(self, expected: &Expectation) -> String {
        let or_none = |needed: bool| if needed { "" } else { ", or none" };
        match self {
            Self::Kind => {
                "no claim that other kinds of token have, such as nonce or token_use".to_owned()
            }
            Self::TokenType => "Bearer, or none".to_owned(),
            Self::Issuer => one_of(&expected.issuers) + or_none(expected.issuer_required),
            Self::Audience => match &expected.audience {
                ExpectedAudience::Any => "anything (audience = \"any\")".to_owned(),
                ExpectedAudience::OneOf { names, required } => one_of(names) + or_none(*required),
            },
            Self::Expiry => format!(
                "a time to come, at most ten years ahead{}, with a leeway of {} s{}",
                if expected.accept_unbounded_expiry {
                    " or for ever"
                } else {
                    ""
                },
                expected.leeway.as_secs(),
                or_none(expected.expiry_required)
            ),
            Self::NotBefore | Self::IssuedAt => {
                format!(
                    "a time that has come, with a leeway of {} s, or none",
                    expected.leeway.as_secs()
                )
            }
            Self::RequiredClaims if expected.required_claims.is_empty() => {
                "nothing more".to_owned()
            }
            Self::RequiredClaims => format!(
                "something for each of {}",
                expected.required_claims.join(", ")
            ),
            Self::Binding if expected.ignore_cnf => "anything (insecure_ignore_cnf)".to_owned(),
            Self::Binding => "none: scopegate cannot ask for the proof".to_owned(),
        }
    }
}
