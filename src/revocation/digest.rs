//! What identifies an entry: a digest of the issuer, the kind of selector and the value.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::oauth::UnixTime;
use crate::oauth::jose::{JwsError, TokenShape, classify};

/// SHA-256 over issuer, kind and value, truncated to 128 bits.
///
/// Two values with one digest would both be revoked if one is. To find a second value for a given
/// digest takes 2^128 attempts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

/// The hash of a token: of the signed part of a JWT, or of the whole text of another token.
///
/// Without the signature: for ECDSA there are two for each token, and from one the other can be
/// computed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// What is revoked: all tokens of an issuer, or those with one property.
#[derive(Clone)]
pub struct Revocation {
    /// The exact `iss`.
    pub issuer: String,
    /// Which of its tokens; none for all.
    pub selector: Option<Selector>,
    /// Tokens issued until then are revoked. One token, named by itself or its `jti`, is revoked
    /// whenever it was issued.
    pub issued_before: UnixTime,
}

/// Which tokens of an issuer are revoked.
#[derive(Clone)]
pub enum Selector {
    /// One token.
    Token(TokenHash),
    /// The token with this `jti`.
    Jti(String),
    /// Tokens with this `sub`.
    Sub(String),
    /// Tokens of this client: `client_id`, `azp`, `cid` or `appid`, the first that is present.
    ClientId(String),
    /// Tokens of this session.
    Sid(String),
}

impl Digest {
    /// The digest of all tokens of an issuer.
    #[must_use]
    pub fn of_issuer(issuer: &str) -> Self {
        Self::new(issuer, "issuer", b"")
    }

    /// The digest of the tokens of an issuer that have this property.
    #[must_use]
    pub fn of(issuer: &str, selector: &Selector) -> Self {
        let value = match selector {
            Selector::Token(TokenHash(hash)) => &hash[..],
            Selector::Jti(value)
            | Selector::Sub(value)
            | Selector::ClientId(value)
            | Selector::Sid(value) => value.as_bytes(),
        };
        Self::new(issuer, selector.kind(), value)
    }

    // Lengths in front, so that no two inputs are the same bytes.
    fn new(issuer: &str, kind: &str, value: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [
            b"scopegate revocation 1",
            issuer.as_bytes(),
            kind.as_bytes(),
            value,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(digest)
    }

    /// A digest from its bytes, as a file or a stream has them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The part of the store that has it.
    pub(super) fn shard(&self, shards: usize) -> usize {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d]) as usize % shards
    }
}

impl Selector {
    /// Its name in requests, logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Jti(_) => "jti",
            Self::Sub(_) => "sub",
            Self::ClientId(_) => "client_id",
            Self::Sid(_) => "sid",
        }
    }

    /// Whether it names one token, so that the time of issue plays no part.
    #[must_use]
    pub const fn is_one_token(&self) -> bool {
        match self {
            Self::Token(_) | Self::Jti(_) => true,
            Self::Sub(_) | Self::ClientId(_) | Self::Sid(_) => false,
        }
    }
}

impl TokenHash {
    /// The hash of a token.
    ///
    /// # Errors
    /// [`JwsError`] for a malformed JWT, which no issuer accepts.
    pub fn of(token: &str) -> Result<Self, JwsError> {
        let hashed = match classify(token)? {
            TokenShape::Jwt(jws) => jws.signing_input(),
            TokenShape::Opaque => token,
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, hashed.as_bytes()).as_ref());
        Ok(Self(hash))
    }
}

// The value may name a person.
impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.kind()).finish()
    }
}

impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("issuer", &self.issuer)
            .field("selector", &self.selector)
            .field("issued_before", &self.issued_before)
            .finish()
    }
}

/// The first four bytes, in hexadecimal digits: enough to find an entry in a log.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_depends_on_issuer_kind_and_value() {
        let one = |issuer: &str, selector: &Selector| Digest::of(issuer, selector);
        let digests = [
            one("a", &Selector::Jti("b".into())),
            one("a", &Selector::Sub("b".into())),
            one("a", &Selector::Sid("b".into())),
            one("a", &Selector::ClientId("b".into())),
            one("b", &Selector::Jti("a".into())),
            one("ab", &Selector::Jti(String::new())),
            Digest::of_issuer("a"),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }

    #[test]
    fn hash_of_a_jwt_ignores_its_signature() {
        // {"alg":"ES256"} and {}
        let hash = |token| TokenHash::of(token).expect("well-formed");
        assert!(hash("eyJhbGciOiJFUzI1NiJ9.e30.AQAB") == hash("eyJhbGciOiJFUzI1NiJ9.e30.AQAC"));
        assert!(hash("eyJhbGciOiJFUzI1NiJ9.e30.AQAB") != hash("eyJhbGciOiJFUzI1NiJ9.W10.AQAB"));
        assert!(hash("a.b.c") != hash("a.b.d"), "opaque tokens with dots");
        assert!(TokenHash::of("eyJhbGciOiJub25lIn0.e30.").is_err());
    }

    #[test]
    fn debug_does_not_show_what_is_revoked() {
        let revocation = Revocation {
            issuer: "https://id.example.com".into(),
            selector: Some(Selector::Sub("alice".into())),
            issued_before: UnixTime::from_seconds(7),
        };
        assert!(!format!("{revocation:?}").contains("alice"));
    }
}
