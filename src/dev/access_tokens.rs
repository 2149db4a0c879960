//! The access tokens of the development authorization server.
//!
//! A JWT carries its claims. The claims of an opaque token are stored here, under the SHA-256 of
//! the token. Revoking removes an opaque token from the store, and adds the `jti` of a JWT to
//! another one.
//!
//! A token is inactive from its `exp` on. There is no leeway: the same clock issued it.

use std::io;
use std::sync::Mutex;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};

use super::audience::Audience;
use super::error::RequestError;
use super::expiring_map::ExpiringMap;
use super::keys::SigningKey;
use crate::oauth::UnixTime;
use crate::oauth::jose::{TokenShape, classify};
use crate::sync::lock;
use crate::values::{SigningAlgorithm, TokenFormat};

/// The maximum number of stored opaque tokens, and of stored revoked JWTs.
const MAX_STORED: usize = 100_000;

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) client_id: String,
    pub(super) aud: Audience,
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) jti: String,
    /// Absent if it is empty, since an empty text is no scope (RFC 6749 App. A.4).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
}

/// Issues, recognizes and revokes access tokens.
pub(super) struct AccessTokens {
    format: TokenFormat,
    key: SigningKey,
    opaque: Mutex<ExpiringMap<Claims>>,
    /// By `jti`: JWTs, and what stolen authorization codes led to.
    revoked: Mutex<ExpiringMap<()>>,
}

/// `BYTES` random bytes in base64url.
pub(super) fn random_text<const BYTES: usize>() -> Result<String, RequestError> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| RequestError::ServerError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl AccessTokens {
    /// Uses a new signing key.
    pub(super) fn new(format: TokenFormat, algorithm: SigningAlgorithm) -> io::Result<Self> {
        let key = SigningKey::generate(algorithm)?;
        Ok(Self {
            format,
            key,
            opaque: Mutex::new(ExpiringMap::new(MAX_STORED)),
            revoked: Mutex::new(ExpiringMap::new(MAX_STORED)),
        })
    }

    /// Issues a token with these claims.
    pub(super) fn issue(&self, claims: &Claims, now: UnixTime) -> Result<String, RequestError> {
        match self.format {
            TokenFormat::Jwt => self.key.sign(claims).map_err(|_| RequestError::ServerError),
            TokenFormat::Opaque => {
                let token = random_text::<32>()?;
                lock(&self.opaque).insert(&token, claims.clone(), claims.expires_at(), now);
                Ok(token)
            }
        }
    }

    /// The claims of a token that this server issued and that is active (RFC 7662 §2.2).
    pub(super) fn find_active(&self, token: &str, now: UnixTime) -> Option<Claims> {
        let claims: Claims = match classify(token) {
            Ok(TokenShape::Jwt(jws)) if self.key.verifies(&jws) => {
                serde_json::from_slice(jws.payload()).ok()?
            }
            Ok(TokenShape::Opaque) => lock(&self.opaque).get(token, now).cloned()?,
            Ok(TokenShape::Jwt(_)) | Err(_) => return None,
        };
        let is_revoked = || lock(&self.revoked).get(&claims.jti, now).is_some();
        (now < claims.expires_at() && !is_revoked()).then_some(claims)
    }

    /// Makes an active token inactive (RFC 7009 §2.1).
    pub(super) fn revoke(&self, token: &str, claims: &Claims, now: UnixTime) {
        if !lock(&self.opaque).remove(token) {
            lock(&self.revoked).insert(&claims.jti, (), claims.expires_at(), now);
        }
        tracing::debug!(client = claims.client_id, "access token revoked");
    }

    /// Makes the token with this `jti` inactive, issued already or not.
    pub(super) fn revoke_by_jti(&self, jti: &str, expires_at: UnixTime, now: UnixTime) {
        lock(&self.revoked).insert(jti, (), expires_at, now);
    }

    /// The public key that verifies JWTs (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        self.key.jwks()
    }
}

impl Claims {
    fn expires_at(&self) -> UnixTime {
        UnixTime::from_seconds(self.exp)
    }
}
