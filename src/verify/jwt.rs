//! Verifies signatures of JSON Web Tokens with the keys of the issuer that the token names.
//!
//! 1. Algorithms come from the configuration and are bound to keys when a set is prepared, never by a token.
//! 2. A token with `kid` is verified with the keys of that name; a token without, with each key that fits its algorithm.
//!    In a set without any `kid` (Aidbox), a token's `kid` is ignored.
//! 3. A key that names its issuer verifies tokens with that `iss` only: Entra publishes the keys of all tenants together.
//! 4. At most [`MAX_KEYS_TRIED`] keys are tried per token.
//!
//! `jsonwebtoken` verifies with a shared secret, and signs. Its `decode` accepts claims of the wrong type, and its
//! `from_jwk` ignores the use of a key. `public_key` parses public keys.

mod public_key;

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::{self, aws_lc};

use crate::oauth::claims::Claims;
use crate::oauth::jose::{Algorithm, CompactJws, Jwk, Jwks};

use public_key::PublicKey;

/// A signature costs up to a quarter of a millisecond to verify, and a forged token costs nothing to make.
/// Some issuers publish a dozen keys and write no `kid` into their tokens.
pub const MAX_KEYS_TRIED: usize = 16;

/// What stands for the tenant of a token in the issuer of a key.
const TENANT: &str = "{tenantid}";

/// The keys of one issuer, prepared for verification.
#[derive(Debug)]
pub struct KeySet(Keys);

#[derive(Debug)]
enum Keys {
    Published {
        keys: Vec<PublishedKey>,
        named: bool,
        /// Whether a key names its issuer.
        bound: bool,
        allowed: Vec<Algorithm>,
    },
    Shared {
        secret: DecodingKey,
        allowed: Vec<Algorithm>,
    },
}

/// The key that made a signature, to be recognised in a later [`KeySet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key that the issuer published.
    Published(Arc<Jwk>),
    /// The shared secret.
    Shared,
}

#[derive(Debug)]
struct PublishedKey {
    jwk: Arc<Jwk>,
    public_key: PublicKey,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The set has no key of that `kid`; or, without `kid`, none that made the signature. A newer set
    /// might.
    #[error("no key of the issuer fits the token")]
    UnknownKey,
    /// As [`SignatureError::UnknownKey`], but more keys fit than are tried.
    #[error(
        "{MAX_KEYS_TRIED} keys of the issuer were tried, and {untried} more were not: such an issuer must write kid into its tokens"
    )]
    TooManyKeys {
        /// How many fit as well.
        untried: usize,
    },
    /// The key that the token names did not sign it.
    #[error("the signature is wrong")]
    BadSignature,
    /// The key that the token names belongs to another issuer than the token's.
    #[error("the key belongs to another issuer than the token's")]
    KeyOfOtherIssuer,
    /// The configuration or the named key does not allow the algorithm.
    #[error("the algorithm is not allowed for this issuer or key")]
    AlgorithmNotAllowed,
}

/// A shared secret that is shorter than the hash (RFC 7518 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a shared secret of at least {needed} bytes for {algorithm}, but found {found}")]
pub struct ShortSecret {
    /// The most demanding of the allowed algorithms.
    pub algorithm: Algorithm,
    /// The bytes that it needs.
    pub needed: usize,
    /// The bytes of the secret.
    pub found: usize,
}

impl SignatureError {
    /// Whether a newer set might verify the token: a server may have made a new key, also under the
    /// name of an old one.
    #[must_use]
    pub const fn may_change_with_keys(self) -> bool {
        match self {
            Self::UnknownKey | Self::TooManyKeys { .. } | Self::BadSignature => true,
            Self::KeyOfOtherIssuer | Self::AlgorithmNotAllowed => false,
        }
    }

    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownKey | Self::TooManyKeys { .. } => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::KeyOfOtherIssuer => "key_of_other_issuer",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
        }
    }
}

impl KeySet {
    /// Prepares the keys that an issuer publishes. HMAC among `allowed` has no effect: no published key fits it.
    #[must_use]
    pub fn new(jwks: &Jwks, allowed: &[Algorithm]) -> Self {
        let keys = jwks.keys.iter().map(|jwk| PublishedKey {
            public_key: PublicKey::parse(jwk, allowed),
            jwk: Arc::new(jwk.clone()),
        });
        Self(Keys::Published {
            keys: keys.collect(),
            named: jwks.keys.iter().any(|jwk| jwk.kid.is_some()),
            bound: jwks.keys.iter().any(|jwk| jwk.issuer.is_some()),
            allowed: allowed.to_vec(),
        })
    }

    /// Prepares a secret that scopegate shares with the issuer. Among `allowed`, only HMAC has an effect.
    ///
    /// # Errors
    /// [`ShortSecret`] if it is shorter than RFC 7518 §3.2 requires for an allowed algorithm.
    pub fn shared_secret(secret: &[u8], allowed: &[Algorithm]) -> Result<Self, ShortSecret> {
        install_cryptography();
        let allowed: Vec<_> = allowed
            .iter()
            .copied()
            .filter(|algorithm| algorithm.is_hmac())
            .collect();
        let demands = allowed
            .iter()
            .filter_map(|algorithm| Some((algorithm.min_secret_length()?, *algorithm)));
        match demands.max_by_key(|(needed, _)| *needed) {
            Some((needed, algorithm)) if secret.len() < needed => Err(ShortSecret {
                algorithm,
                needed,
                found: secret.len(),
            }),
            Some(_) | None => Ok(Self(Keys::Shared {
                secret: DecodingKey::from_secret(secret),
                allowed,
            })),
        }
    }

    /// Verifies the signature of a token (RFC 7515 §5.2, step 8; RFC 8725 §3.1). Ignores its claims.
    ///
    /// # Errors
    /// [`SignatureError`]; see [`SignatureError::may_change_with_keys`].
    pub fn verify(&self, token: &CompactJws<'_>) -> Result<Signer, SignatureError> {
        let algorithm = token.header().algorithm;
        match &self.0 {
            Keys::Published { allowed, .. } | Keys::Shared { allowed, .. }
                if !allowed.contains(&algorithm) =>
            {
                Err(SignatureError::AlgorithmNotAllowed)
            }
            Keys::Shared { secret, .. } if is_signed_with(secret, token) => Ok(Signer::Shared),
            Keys::Shared { .. } => Err(SignatureError::BadSignature),
            Keys::Published {
                keys, named, bound, ..
            } => {
                let claims = bound.then(|| Claims::parse(token.payload()).ok()).flatten();
                let signs = |key: &&PublishedKey| signs_for_issuer(&key.jwk, claims.as_ref());
                match &token.header().kid {
                    Some(kid) if *named => verify_by_named(keys, kid, signs, token),
                    Some(_) | None => {
                        let keys = || keys.iter().filter(&signs);
                        try_keys(keys(), token).ok_or_else(|| none_of(keys(), token))
                    }
                }
            }
        }
    }

    /// Whether the key that made an earlier signature is still in this set.
    #[must_use]
    pub fn contains(&self, signer: &Signer) -> bool {
        match (&self.0, signer) {
            (Keys::Published { keys, .. }, Signer::Published(jwk)) => {
                keys.iter().any(|key| key.jwk == *jwk)
            }
            (Keys::Shared { .. }, Signer::Shared) => true,
            (Keys::Published { .. }, Signer::Shared)
            | (Keys::Shared { .. }, Signer::Published(_)) => false,
        }
    }

    /// The number of keys; a secret is one.
    pub(super) fn count(&self) -> usize {
        match &self.0 {
            Keys::Published { keys, .. } => keys.len(),
            Keys::Shared { .. } => 1,
        }
    }

    /// The names of the keys that have one.
    pub(super) fn kids(&self) -> impl Iterator<Item = &str> {
        let keys = match &self.0 {
            Keys::Published { keys, .. } => &keys[..],
            Keys::Shared { .. } => &[],
        };
        keys.iter().filter_map(|key| key.jwk.kid.as_deref())
    }

    /// Whether it was prepared from the same keys, in the same order.
    #[must_use]
    pub fn is_made_of(&self, jwks: &Jwks) -> bool {
        match &self.0 {
            Keys::Published { keys, .. } => keys.iter().map(|key| &*key.jwk).eq(&jwks.keys),
            Keys::Shared { .. } => false,
        }
    }
}

/// Makes aws-lc the cryptography of `jsonwebtoken` for this process. Idempotent.
///
/// A [`KeySet`] with a shared secret calls it. Code that signs tokens must call it itself.
pub fn install_cryptography() {
    // It fails if a provider is installed, which is this one.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}

fn verify_by_named(
    keys: &[PublishedKey],
    kid: &str,
    signs: impl Fn(&&PublishedKey) -> bool,
    token: &CompactJws<'_>,
) -> Result<Signer, SignatureError> {
    let named = || {
        keys.iter()
            .filter(|key| key.jwk.kid.as_deref() == Some(kid))
    };
    if named().next().is_none() {
        return Err(SignatureError::UnknownKey);
    }
    // Not an unknown kid: a known one with another algorithm must not cause a fetch.
    if !named().any(|key| key.jwk.fits(token.header().algorithm)) {
        return Err(SignatureError::AlgorithmNotAllowed);
    }
    if !named().any(|key| signs(&key)) {
        return Err(SignatureError::KeyOfOtherIssuer);
    }
    try_keys(named().filter(signs), token).ok_or(SignatureError::BadSignature)
}

// A token without `iss` is of no issuer that a key could name.
fn signs_for_issuer(jwk: &Jwk, claims: Option<&Claims>) -> bool {
    let Some(issuer) = &jwk.issuer else {
        return true;
    };
    let Some(claims) = claims else {
        return false;
    };
    let filled = if issuer.contains(TENANT) {
        claims.text("tid").map(|tid| issuer.replace(TENANT, tid))
    } else {
        Some(issuer.clone())
    };
    filled.is_some() && filled.as_deref() == claims.issuer()
}

fn try_keys<'k>(
    keys: impl Iterator<Item = &'k PublishedKey>,
    token: &CompactJws<'_>,
) -> Option<Signer> {
    keys.filter(|key| key.jwk.fits(token.header().algorithm))
        .take(MAX_KEYS_TRIED)
        .find(|key| key.public_key.has_signed(token))
        .map(|key| Signer::Published(Arc::clone(&key.jwk)))
}

fn none_of<'k>(
    keys: impl Iterator<Item = &'k PublishedKey>,
    token: &CompactJws<'_>,
) -> SignatureError {
    let fitting = keys
        .filter(|key| key.jwk.fits(token.header().algorithm))
        .count();
    match fitting.saturating_sub(MAX_KEYS_TRIED) {
        0 => SignatureError::UnknownKey,
        untried => SignatureError::TooManyKeys { untried },
    }
}

fn is_signed_with(secret: &DecodingKey, token: &CompactJws<'_>) -> bool {
    to_jsonwebtoken(token.header().algorithm).is_some_and(|algorithm| {
        let message = token.signing_input().as_bytes();
        crypto::verify(token.signature(), message, secret, algorithm).unwrap_or(false)
    })
}

/// `None` for ES512, which `jsonwebtoken` lacks.
pub(super) const fn to_jsonwebtoken(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    let algorithm = match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::ES512 => return None,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
    };
    Some(algorithm)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
