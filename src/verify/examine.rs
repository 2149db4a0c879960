//! Explains a token without the network, valid or not: for `scopegate explain`.
//!
//! Nothing is decided here. The steps are those of [`Verifier::verify`] with the current keys. But
//! `verify` stops at the first failure, and this continues as far as it can.

use std::sync::Arc;

use super::issuer::Issuer;
use super::issuer_keys::IssuerKeys;
use super::jwt::{SignatureError, Signer};
use super::key_ring::NoKeys;
use super::verifier::Verifier;
use crate::oauth::UnixTime;
use crate::oauth::claims::{
    ActiveToken, ClaimCheck, Claims, ClaimsError, Expectation, UnreadClaims,
};
use crate::oauth::jose::{CompactJws, JoseHeader, JwsError, TokenShape, classify};
use crate::oauth::scope::ScopeSet;
use crate::oauth::tenant::Tenant;

/// What is known of a token.
#[derive(Debug)]
pub struct Examined {
    /// Its form.
    pub shape: Shape,
    /// The issuers that the route accepts.
    pub accepted: Vec<Arc<Issuer>>,
    /// The one that would verify it.
    pub issuer: Option<Arc<Issuer>>,
    /// Whether the issuer accepts its `typ`; none without an issuer.
    pub token_type: Option<Result<(), JwsError>>,
    /// What is known of its signature.
    pub signed: Signed,
    /// The outcome of each check of its claims.
    pub checks: Vec<ClaimCheck>,
    /// The scopes that it claims.
    pub granted: Option<ScopeSet>,
    /// The claims that no rule reads.
    pub unread: UnreadClaims,
    /// Its claims, verified or not.
    pub claims: Option<Claims>,
}

/// The form of a token.
#[derive(Debug)]
pub enum Shape {
    /// Longer than `max_token_size`.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// `max_token_size`.
        limit: usize,
    },
    /// A malformed JWT.
    Malformed(JwsError),
    /// A JWT without claims.
    NoClaims(JoseHeader, ClaimsError),
    /// A JWT; `iss` is only a claim so far.
    Jwt {
        /// Its header.
        header: JoseHeader,
        /// `iss`, if it is a string.
        iss: Option<String>,
    },
    /// A token that only its issuer can read.
    Opaque,
}

/// What is known of a token's signature.
#[derive(Debug)]
pub enum Signed {
    /// There is no signature, or no issuer to verify it.
    Unknown,
    /// The token is introspected instead.
    NotVerified,
    /// There are no keys.
    NoKeys {
        /// The reason, as far as is known.
        why: String,
    },
    /// It does not verify with the current keys.
    Bad {
        /// Why.
        error: SignatureError,
        /// The names of those keys.
        kids: Vec<String>,
    },
    /// It is valid.
    Good(Signer),
}

impl Examined {
    /// The tenant that the token names, if its issuer has tenants. Not verified.
    #[must_use]
    pub fn tenant(&self) -> Option<&Tenant> {
        let issuer = self.issuer.as_ref()?;
        issuer.settings.expectation.tenant.as_deref()
    }
}

impl Verifier {
    /// Examines a token as the accepted issuers would, on a route that accepts these `audiences`
    /// instead of the issuer's, if any. Uses no network and no cache.
    #[must_use]
    pub fn examine(
        &self,
        token: &str,
        accepts: &impl Fn(&str) -> bool,
        audiences: Option<&[String]>,
        now: UnixTime,
    ) -> Examined {
        let mut examined = Examined {
            shape: Shape::Opaque,
            accepted: self.accepted(accepts).cloned().collect(),
            issuer: None,
            token_type: None,
            signed: Signed::Unknown,
            checks: Vec::new(),
            granted: None,
            unread: UnreadClaims::default(),
            claims: None,
        };
        if token.len() > self.max_token_size {
            examined.shape = Shape::TooLong {
                bytes: token.len(),
                limit: self.max_token_size,
            };
            return examined;
        }
        match classify(token) {
            Ok(TokenShape::Opaque) => {
                examined.issuer = self
                    .issuer_to_introspect(token, accepts)
                    .map(|(issuer, _)| Arc::clone(issuer));
            }
            Ok(TokenShape::Jwt(jws)) => {
                self.examine_jwt(&jws, accepts, audiences, now, &mut examined)
            }
            Err(error) => examined.shape = Shape::Malformed(error),
        }
        examined
    }

    fn examine_jwt(
        &self,
        jws: &CompactJws<'_>,
        accepts: &impl Fn(&str) -> bool,
        audiences: Option<&[String]>,
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
            examined.unread = claims.unread(None);
            return;
        };
        let tenant = issuer.tenants().zip(claims.issuer());
        let tenant = tenant.and_then(|(tenants, iss)| tenants.examine(&tenants.tenant_of(iss)?));
        let issuer = match &tenant {
            Some(tenant) => &issuer.of_tenant(tenant),
            None => issuer,
        };
        examined.issuer = Some(Arc::clone(issuer));
        examined.token_type = Some(jws.check_type(&issuer.settings.token_types));
        examined.signed = issuer
            .jwt_keys()
            .map_or(Signed::NotVerified, |keys| signed(keys, jws));
        let expected = issuer.jwt_expectation().on_route(audiences);
        examined.checks = claims.checks(&expected, now);
        examined.granted = Some(claims.granted(&expected));
        examined.unread = claims.unread(Some(&expected));
        examined.claims = Some(claims);
    }
}

impl Issuer {
    /// The outcome of each check of the introspection response behind `token`; empty if the examined
    /// token is not introspected.
    #[must_use]
    pub fn checks_of_response(
        &self,
        examined: &Examined,
        token: &ActiveToken,
        audiences: Option<&[String]>,
        now: UnixTime,
    ) -> Vec<ClaimCheck> {
        let server = if matches!(examined.shape, Shape::Jwt { .. }) {
            self.jwt_introspection()
        } else {
            self.introspection()
        };
        server
            .map(|server| {
                let expected = server.expectation().on_route(audiences);
                Claims::from_token(token).checks(&expected, now)
            })
            .unwrap_or_default()
    }

    // The same choice as in `Verifier::verify_jwt`.
    fn jwt_expectation(&self) -> &Expectation {
        match self.jwt_introspection() {
            Some(server) if self.jwt_keys().is_none() => server.jwt_expectation(),
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
