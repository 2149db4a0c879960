//! The access tokens of the development authorization server.

use std::io;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use serde::Serialize;

use super::keys::{SigningAlgorithm, SigningKey};
use super::request::RequestError;

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Serialize)]
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

/// Makes access tokens.
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

    /// The key that verifies them (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        self.key.jwks()
    }
}
