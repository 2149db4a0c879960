//! The access tokens of the development authorization server.
//!
//! A JWT carries its claims; those of an opaque token are remembered here, by the SHA-256 of the token.
//!
//! A token is active from its issue until, and not at, its `exp`: this server's own clock made it, so there is no leeway.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};

use super::keys::{SigningAlgorithm, SigningKey};
use super::memory::Memory;
use super::request::RequestError;
use crate::oauth::UnixTime;
use crate::oauth::jose::{TokenShape, classify};

/// Opaque tokens that are remembered, at most.
const MAX_REMEMBERED: usize = 100_000;

/// What access tokens look like to those who do not issue them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenFormat {
    /// A JSON Web Token that says everything itself (RFC 9068).
    #[default]
    Jwt,
    /// A random text that says nothing: what it stands for is found out by introspection (RFC 7662).
    Opaque,
}

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Serialize, Deserialize)]
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
    format: TokenFormat,
    key: SigningKey,
    opaque: Mutex<Memory<Claims>>,
}

/// Text that nobody guesses: so many random bytes in base64url.
pub(super) fn random<const BYTES: usize>() -> Result<String, RequestError> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| RequestError::ServerError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl AccessTokens {
    /// Makes them with a fresh key.
    pub(super) fn new(format: TokenFormat, algorithm: SigningAlgorithm) -> io::Result<Self> {
        let key = SigningKey::generate(algorithm)?;
        Ok(Self { format, key, opaque: Mutex::new(Memory::new(MAX_REMEMBERED)) })
    }

    /// Issues a token that stands for `claims`.
    pub(super) fn issue(&self, claims: &Claims, now: UnixTime) -> Result<String, RequestError> {
        match self.format {
            TokenFormat::Jwt => self.key.sign(claims).map_err(|_| RequestError::ServerError),
            TokenFormat::Opaque => {
                let token = random::<32>()?;
                self.opaque().remember(&token, claims.clone(), claims.expires_at(), now);
                Ok(token)
            }
        }
    }

    /// What a token stands for, if it is one of these and active (RFC 7662 §2.2).
    pub(super) fn find_active(&self, token: &str, now: UnixTime) -> Option<Claims> {
        match classify(token) {
            Ok(TokenShape::Jwt(jws)) if self.key.has_signed(&jws) => {
                let claims: Claims = serde_json::from_slice(jws.payload()).ok()?;
                (now < claims.expires_at()).then_some(claims)
            }
            Ok(TokenShape::Opaque) => self.opaque().recall(token, now).cloned(),
            Ok(TokenShape::Jwt(_)) | Err(_) => None,
        }
    }

    /// The key that verifies them (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        self.key.jwks()
    }

    fn opaque(&self) -> MutexGuard<'_, Memory<Claims>> {
        // Nothing that holds the lock can panic halfway.
        self.opaque.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claims {
    fn expires_at(&self) -> UnixTime {
        UnixTime::from_seconds(self.exp)
    }
}
