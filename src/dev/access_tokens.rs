//! The access tokens of the development authorization server.
//!
//! A token is active from its issue until, and not at, its `exp`: this server's own clock made it, so there is no leeway.

use std::io;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};

use super::keys::{SigningAlgorithm, SigningKey};
use super::request::RequestError;
use crate::oauth::UnixTime;
use crate::oauth::jose::{TokenShape, classify};

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) client_id: String,
    pub(super) aud: String,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) jti: String,
    pub(super) scope: String,
}

/// Makes access tokens and knows them again.
pub(super) struct AccessTokens {
    key: SigningKey,
}

/// Text that nobody guesses: so many random bytes in base64url.
pub(super) fn random<const BYTES: usize>() -> Result<String, RequestError> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| RequestError::ServerError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl AccessTokens {
    /// Makes them with a fresh key.
    pub(super) fn new(algorithm: SigningAlgorithm) -> io::Result<Self> {
        Ok(Self { key: SigningKey::generate(algorithm)? })
    }

    /// Issues a token that says `claims`.
    pub(super) fn issue(&self, claims: &Claims) -> Result<String, RequestError> {
        self.key.sign(claims).map_err(|_| RequestError::ServerError)
    }

    /// What a token says, if it is one of these and active (RFC 7662 §2.2).
    pub(super) fn find_active(&self, token: &str, now: UnixTime) -> Option<Claims> {
        let claims = match classify(token) {
            Ok(TokenShape::Jwt(jws)) if self.key.has_signed(&jws) => {
                serde_json::from_slice::<Claims>(jws.payload()).ok()
            }
            Ok(TokenShape::Jwt(_) | TokenShape::Opaque) | Err(_) => None,
        };
        claims.filter(|claims| now < UnixTime::from_seconds(claims.exp))
    }

    /// The key that verifies them (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        self.key.jwks()
    }
}
