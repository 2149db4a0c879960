//! What can be told of a token without asking anybody, good or not: for whoever wants to know why it was refused.
//!
//! Nothing is decided here. Each step is the one that [`Verifier::verify`] takes, by the keys that are there; but where that
//! ends with the first that fails, this goes on as far as there is something to tell.

use std::sync::Arc;

use super::issuer::Issuer;
use super::issuer_keys::IssuerKeys;
use super::jwt::{SignatureError, Signer};
use super::key_ring::NoKeys;
use super::verifier::Verifier;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimCheck, Claims, ClaimsError, Expectation};
use crate::oauth::jose::{CompactJws, JoseHeader, JwsError, TokenShape, classify};
use crate::oauth::scope::ScopeSet;

/// What can be told of a token.
#[derive(Debug)]
pub struct Examined {
    /// What it looks like.
    pub shape: Shape,
    /// The issuers that may vouch for it.
    pub accepted: Vec<Arc<Issuer>>,
    /// The one among them that it goes to.
    pub issuer: Option<Arc<Issuer>>,
    /// Whether `typ` is one of that issuer's access tokens, where that is known.
    pub token_type: Option<Result<(), JwsError>>,
    /// What is known of its signature.
    pub signed: Signed,
    /// What each rule finds in the claims that it brings along.
    pub checks: Vec<ClaimCheck>,
    /// What it says that it grants.
    pub granted: Option<ScopeSet>,
}

/// What a token looks like.
#[derive(Debug)]
pub enum Shape {
    /// Longer than `max_token_size`.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// The most that there may be.
        most: usize,
    },
    /// It is meant as a JWT, and is none.
    Malformed(JwsError),
    /// A JWT without claims.
    NoClaims(JoseHeader, ClaimsError),
    /// A JWT; `iss` is only a claim so far.
    Jwt {
        /// Its header.
        header: JoseHeader,
        /// `iss`, where it is a string.
        iss: Option<String>,
    },
    /// A text that only its issuer understands.
    Opaque,
}

/// What is known of a token's signature.
#[derive(Debug)]
pub enum Signed {
    /// There is none, or nobody to judge it.
    Unjudged,
    /// Its issuer's server is asked instead.
    NotVerified,
    /// There are no keys.
    NoKeys {
        /// As far as it is known.
        why: String,
    },
    /// The keys that are there do not make it good.
    Bad {
        /// Why.
        error: SignatureError,
        /// The names of those keys.
        kids: Vec<String>,
    },
    /// It is good.
    Good(Signer),
}

impl Verifier {
    /// Looks at a token as one of the issuers that are accepted would. Asks nobody, and remembers nothing.
    #[must_use]
    pub fn examine(&self, token: &str, accepts: &impl Fn(&str) -> bool, now: UnixTime) -> Examined {
        let mut examined = Examined {
            shape: Shape::Opaque,
            accepted: self.accepted(accepts).cloned().collect(),
            issuer: None,
            token_type: None,
            signed: Signed::Unjudged,
            checks: Vec::new(),
            granted: None,
        };
        if token.len() > self.max_token_size {
            examined.shape = Shape::TooLong {
                bytes: token.len(),
                most: self.max_token_size,
            };
            return examined;
        }
        match classify(token) {
            Ok(TokenShape::Opaque) => {
                examined.issuer = self
                    .issuer_to_introspect(token, accepts)
                    .map(|(issuer, _)| Arc::clone(issuer));
            }
            Ok(TokenShape::Jwt(jws)) => self.examine_jwt(&jws, accepts, now, &mut examined),
            Err(error) => examined.shape = Shape::Malformed(error),
        }
        examined
    }

    fn examine_jwt(
        &self,
        jws: &CompactJws<'_>,
        accepts: &impl Fn(&str) -> bool,
        now: UnixTime,
        examined: &mut Examined,
    ) {
        let header = jws.header().clone();
        let claims = match Claims::parse(jws.payload()) {
            Ok(claims) => claims,
            Err(error) => return examined.shape = Shape::NoClaims(header, error),
        };
        examined.shape = Shape::Jwt {
            header,
            iss: claims.issuer().map(str::to_owned),
        };
        let Some(issuer) = self.issuer_named_in(&claims, accepts) else {
            return;
        };
        examined.issuer = Some(Arc::clone(issuer));
        examined.token_type = Some(jws.check_type(&issuer.settings.token_types));
        examined.signed = issuer
            .jwt_keys()
            .map_or(Signed::NotVerified, |keys| signed(keys, jws));
        let expected = issuer.expected_of_jwt();
        examined.checks = claims.checks(expected, now);
        examined.granted = Some(claims.granted(expected));
    }
}

impl Issuer {
    /// What each rule finds in the answer of its server that made `token` a good one; nothing where nobody is asked.
    #[must_use]
    pub fn checks_of_answer(&self, token: &ActiveToken, now: UnixTime) -> Vec<ClaimCheck> {
        let asked = self.introspection();
        asked
            .map(|server| Claims::from_token(token).checks(server.expectation(), now))
            .unwrap_or_default()
    }

    // As `Verifier::verify_jwt` has it.
    fn expected_of_jwt(&self) -> &Expectation {
        match self.introspection() {
            Some(server) if self.jwt_keys().is_none() => server.expected_of_jwt(),
            Some(_) | None => &self.settings.expectation,
        }
    }
}

fn signed(keys: &IssuerKeys, jws: &CompactJws<'_>) -> Signed {
    let current = match keys.current() {
        Ok(current) => current,
        Err(NoKeys) => {
            return Signed::NoKeys {
                why: keys.explain_missing(),
            };
        }
    };
    match current.verify(jws) {
        Ok(signer) => Signed::Good(signer),
        Err(error) => Signed::Bad {
            error,
            kids: current.kids().map(str::to_owned).collect(),
        },
    }
}
