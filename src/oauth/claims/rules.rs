//! The rules over claims, one by one: [`Claims::check`] goes by this list, and [`Claims::checks`] tells it.

use std::time::Duration;

use serde_json::Value;

use super::{ActiveToken, Claims, ClaimsError, Expectation, ExpectedAudience};
use crate::oauth::UnixTime;
use crate::oauth::scope::{MAX_GRANTED_SCOPES, ScopeSet};
use crate::oauth::shortened;

/// One rule over claims.
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
}

/// What one rule has found, for whoever asks why a token is refused.
#[derive(Debug)]
pub struct Check {
    /// The claim that it is about, or where it is about several and none of them is wrong, what they are.
    pub claim: String,
    /// What stands there.
    pub found: Told,
    /// What should; empty where that is said by `found`.
    pub expected: String,
    /// The rule that is broken, where it is.
    pub broken: Option<ClaimsError>,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
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

/// Claims that access tokens do not have, and what does.
const FOREIGN: [&str; 7] = [
    "nonce",               // ID token, OpenID Connect Core §2
    "at_hash",             // ID token, OpenID Connect Core §3.1.3.6
    "c_hash",              // ID token, OpenID Connect Core §3.3.2.11
    "events",              // security event and logout tokens, RFC 8417 §2.2
    "htm",                 // DPoP proof, RFC 9449 §4.2
    "htu",                 // DPoP proof, RFC 9449 §4.2
    "token_introspection", // introspection response, RFC 9701 §5
];

/// Claims in which issuers name the kind of a token: Cognito, Keycloak and Aidbox, ForgeRock, Curity.
const NAMING: [&str; 4] = ["token_use", "typ", "tokenName", "purpose"];

impl Rule {
    /// All of them, in the order in which they are judged: the first that is broken gives the refusal its name.
    pub(super) const ALL: [Self; 9] = [
        Self::Kind,
        Self::TokenType,
        Self::Issuer,
        Self::Audience,
        Self::Expiry,
        Self::NotBefore,
        Self::IssuedAt,
        Self::RequiredClaims,
        Self::Binding,
    ];

    pub(super) fn judge(self, claims: &Claims, expected: &Expectation, now: UnixTime) -> Result<(), ClaimsError> {
        match self {
            Self::Kind => claims.check_kind(),
            Self::TokenType => claims.check_token_type(expected),
            Self::Issuer => claims.check_issuer(expected),
            Self::Audience => claims.check_audience(&expected.audience),
            Self::Expiry => claims.expiry(expected, now).map(|_| ()),
            Self::NotBefore => claims.check_not_before(expected, now),
            Self::IssuedAt => claims.check_issued_at(expected, now),
            Self::RequiredClaims => claims.check_required(expected),
            Self::Binding if !expected.ignore_cnf && claims.members.contains_key("cnf") => {
                Err(ClaimsError::SenderConstrained)
            }
            Self::Binding => Ok(()),
        }
    }

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
            Self::Kind => claims.naming_another_kind().unwrap_or(self.claim()),
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

    fn found(self, claims: &Claims, expected: &Expectation, now: UnixTime) -> Told {
        match self {
            Self::Kind => claims.naming_another_kind().map_or(Told::Nothing, |claim| claims.told(claim)),
            Self::Expiry | Self::NotBefore | Self::IssuedAt => match claims.time(self.claim(), expected.expiry_unit) {
                Ok(Some(at)) => Told::Time { at, ahead: at.since(now), ago: now.since(at) },
                Ok(None) | Err(_) => claims.told(self.claim()),
            },
            Self::RequiredClaims => claims.missing(expected).map_or(Told::Nothing, |claim| claims.told(claim)),
            Self::TokenType | Self::Issuer | Self::Audience | Self::Binding => claims.told(self.claim()),
        }
    }

    fn expected(self, expected: &Expectation) -> String {
        let or_none = |needed: bool| if needed { "" } else { ", or none" };
        match self {
            Self::Kind => "no claim that other kinds of token have, such as nonce or token_use".to_owned(),
            Self::TokenType => "Bearer, or none".to_owned(),
            Self::Issuer => one_of(&expected.issuers) + or_none(expected.issuer_required),
            Self::Audience => match &expected.audience {
                ExpectedAudience::Any => "anything (audience = \"any\")".to_owned(),
                ExpectedAudience::OneOf { names, required } => one_of(names) + or_none(*required),
            },
            Self::Expiry => format!(
                "a time to come, at most ten years ahead{}, with a leeway of {} s{}",
                if expected.accept_unbounded_expiry { " or for ever" } else { "" },
                expected.leeway.as_secs(),
                or_none(expected.expiry_required)
            ),
            Self::NotBefore | Self::IssuedAt => {
                format!("a time that has come, with a leeway of {} s, or none", expected.leeway.as_secs())
            }
            Self::RequiredClaims if expected.required_claims.is_empty() => "nothing more".to_owned(),
            Self::RequiredClaims => format!("something for each of {}", expected.required_claims.join(", ")),
            Self::Binding if expected.ignore_cnf => "anything (insecure_ignore_cnf)".to_owned(),
            Self::Binding => "none: scopegate cannot ask for the proof".to_owned(),
        }
    }
}

impl Claims {
    /// What each rule finds, those after the first broken one as well. The first `broken` is what [`Claims::check`] answers;
    /// where there is none, the claims are good.
    #[must_use]
    pub fn checks(&self, expected: &Expectation, now: UnixTime) -> Vec<Check> {
        let by_rule = Rule::ALL.into_iter().map(|rule| Check {
            claim: rule.about(self, expected).to_owned(),
            found: rule.found(self, expected, now),
            expected: rule.expected(expected),
            broken: rule.judge(self, expected, now).err(),
        });
        let claim = expected.scope_claims.iter().find(|claim| self.members.contains_key(*claim));
        let scopes = Check {
            claim: claim.map_or("scope", String::as_str).to_owned(),
            found: claim.map_or(Told::Nothing, |claim| self.told(claim)),
            expected: format!("at most {MAX_GRANTED_SCOPES} scopes, in {}", expected.scope_claims.join(" or ")),
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
        Self { members: token.claims.clone(), size: token.size }
    }

    fn told(&self, claim: &str) -> Told {
        match self.members.get(claim) {
            None => Told::Nothing,
            value => Told::Json(shown(value)),
        }
    }

    fn naming_another_kind(&self) -> Option<&'static str> {
        if let Some(claim) = FOREIGN.into_iter().find(|claim| self.members.contains_key(*claim)) {
            return Some(claim);
        }
        let names_another_kind = |claim: &str| {
            self.members.get(claim).is_some_and(|kind| !kind.as_str().is_some_and(is_name_of_an_access_token))
        };
        NAMING.into_iter().find(|claim| names_another_kind(claim))
    }

    fn check_kind(&self) -> Result<(), ClaimsError> {
        match self.naming_another_kind() {
            Some(claim) => Err(ClaimsError::OtherKindOfToken { claim }),
            None => Ok(()),
        }
    }

    // How the token is to be used (RFC 6749 §7.1, RFC 7662 §2.2). A server that is asked about a refresh token may well say
    // that it is active. Anything but Bearer asks for a proof.
    fn check_token_type(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.members.get("token_type") {
            None => Ok(()),
            Some(Value::String(kind)) if is_name_of_an_access_token(kind) => Ok(()),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") && expected.ignore_cnf => Ok(()),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("DPoP") => Err(ClaimsError::SenderConstrained),
            Some(_) => Err(ClaimsError::OtherKindOfToken { claim: "token_type" }),
        }
    }

    fn check_issuer(&self, expected: &Expectation) -> Result<(), ClaimsError> {
        match self.members.get("iss") {
            None if !expected.issuer_required => Ok(()),
            None => Err(ClaimsError::MissingClaim("iss".to_owned())),
            Some(Value::String(issuer)) if expected.issuers.contains(issuer) => Ok(()),
            Some(other) => Err(ClaimsError::WrongIssuer { found: other.as_str().map(shortened) }),
        }
    }

    fn check_audience(&self, expected: &ExpectedAudience) -> Result<(), ClaimsError> {
        let ExpectedAudience::OneOf { names, required } = expected else { return Ok(()) };
        let is_ours = |audience: &str| names.iter().any(|name| name == audience);
        let audience = match self.members.get("aud") {
            None if *required => return Err(ClaimsError::MissingAudience),
            None => return Ok(()),
            Some(audience) => audience,
        };
        let fits = match audience {
            Value::String(audience) => is_ours(audience),
            // An array is good as a whole or not at all: a number in it means that somebody else wrote it.
            Value::Array(audiences) => {
                audiences.iter().all(Value::is_string) && audiences.iter().filter_map(Value::as_str).any(is_ours)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        if fits { Ok(()) } else { Err(ClaimsError::WrongAudience { found: shown(Some(audience)) }) }
    }

    fn check_not_before(&self, expected: &Expectation, now: UnixTime) -> Result<(), ClaimsError> {
        match self.time("nbf", expected.expiry_unit)? {
            Some(from) if now < from.earlier_by(expected.leeway) => Err(ClaimsError::NotYetValid { from }),
            Some(_) | None => Ok(()),
        }
    }

    fn check_issued_at(&self, expected: &Expectation, now: UnixTime) -> Result<(), ClaimsError> {
        match self.time("iat", expected.expiry_unit)? {
            Some(at) if at > now.later_by(expected.leeway) => Err(ClaimsError::IssuedInFuture { at }),
            Some(_) | None => Ok(()),
        }
    }

    fn missing<'e>(&self, expected: &'e Expectation) -> Option<&'e str> {
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

fn is_name_of_an_access_token(kind: &str) -> bool {
    ["access_token", "access", "bearer", "at+jwt", "application/at+jwt", "at"]
        .iter()
        .any(|name| kind.eq_ignore_ascii_case(name))
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| shortened(&value.to_string()))
}

fn one_of(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" or ")
}
