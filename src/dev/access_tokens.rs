//! The access tokens of the development authorization server.
//!
//! A JWT carries its claims; those of an opaque token are remembered here, by the SHA-256 of the token. To revoke an
//! opaque token is to forget it; of a revoked JWT the `jti` is remembered.
//!
//! A token is active until, and not at, its `exp`: this server's own clock made it, so there is no leeway.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};

use super::keys::SigningKey;
use super::memory::Memory;
use super::request::RequestError;
use crate::oauth::UnixTime;
use crate::oauth::jose::{TokenShape, classify};
use crate::values::{SigningAlgorithm, TokenFormat};

/// How many opaque tokens are remembered, and how many revoked JWTs.
const MAX_REMEMBERED: usize = 100_000;

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
    /// By `jti`.
    revoked: Mutex<Memory<()>>,
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
        let (opaque, revoked) = (Memory::new(MAX_REMEMBERED), Memory::new(MAX_REMEMBERED));
        Ok(Self {
            format,
            key,
            opaque: Mutex::new(opaque),
            revoked: Mutex::new(revoked),
        })
    }

    /// Issues a token that stands for `claims`.
    pub(super) fn issue(&self, claims: &Claims, now: UnixTime) -> Result<String, RequestError> {
        match self.format {
            TokenFormat::Jwt => self.key.sign(claims).map_err(|_| RequestError::ServerError),
            TokenFormat::Opaque => {
                let token = random::<32>()?;
                locked(&self.opaque).remember(&token, claims.clone(), claims.expires_at(), now);
                Ok(token)
            }
        }
    }

    /// What a token stands for, if it is one of these and active (RFC 7662 §2.2).
    pub(super) fn find_active(&self, token: &str, now: UnixTime) -> Option<Claims> {
        match classify(token) {
            Ok(TokenShape::Jwt(jws)) if self.key.has_signed(&jws) => {
                let claims: Claims = serde_json::from_slice(jws.payload()).ok()?;
                let is_revoked = || locked(&self.revoked).recall(&claims.jti, now).is_some();
                (now < claims.expires_at() && !is_revoked()).then_some(claims)
            }
            Ok(TokenShape::Opaque) => locked(&self.opaque).recall(token, now).cloned(),
            Ok(TokenShape::Jwt(_)) | Err(_) => None,
        }
    }

    /// Makes an active token, and what it stands for, inactive (RFC 7009 §2.1).
    pub(super) fn revoke(&self, token: &str, claims: &Claims, now: UnixTime) {
        if !locked(&self.opaque).forget(token) {
            locked(&self.revoked).remember(&claims.jti, (), claims.expires_at(), now);
        }
        tracing::debug!(client = claims.client_id, "access token revoked");
    }

    /// The key that verifies them (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        self.key.jwks()
    }
}

impl Claims {
    fn expires_at(&self) -> UnixTime {
        UnixTime::from_seconds(self.exp)
    }
}

// Nothing that holds the lock can panic halfway.
fn locked<T>(memory: &Mutex<Memory<T>>) -> MutexGuard<'_, Memory<T>> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
