//! Which requests share a bucket.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::client_limits::client_network;
use crate::oauth::claims::{ActiveToken, ClaimReference};

/// What requests must have in common to share a bucket; one part of `key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client that the token was issued to, by its issuer and its id.
    ClientId,
    /// The subject of the token, by its issuer and `sub`.
    Subject,
    /// The issuer of the token.
    Issuer,
    /// The client address; of IPv6, its /64.
    Address,
    /// The route.
    Route,
    /// The value of a claim, by the issuer of the token.
    Claim(ClaimReference),
}

/// What is known of the client of a request.
#[derive(Clone, Copy, Debug)]
pub struct ClientIdentity<'r> {
    /// The verified token, if there is one.
    pub token: Option<&'r Arc<ActiveToken>>,
    /// The client address, if a part of the key is about it.
    pub address: Option<IpAddr>,
    /// The route: hosts, methods and paths.
    pub route: &'r Arc<str>,
}

/// The key of a bucket: a keyed hash of what requests have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketKey {
    pub(super) high: u64,
    pub(super) low: u64,
}

/// The secret of the hashes of one limit.
///
/// With it, 128 bits are enough: who does not know it can neither find a collision nor test which
/// identity a key stands for.
pub(super) struct KeyHasher(SipHasher13);

impl KeyPart {
    /// Whether it takes a verified token.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        match self {
            Self::ClientId | Self::Subject | Self::Issuer | Self::Claim(_) => true,
            Self::Address | Self::Route => false,
        }
    }

    /// Whether a token has what it takes.
    #[must_use]
    pub fn is_in(&self, token: &ActiveToken) -> bool {
        match self {
            Self::ClientId => token.client_id().is_some(),
            Self::Subject => token.subject().is_some(),
            Self::Claim(claim) => token.claim(claim).is_some_and(|value| !value.is_null()),
            Self::Issuer | Self::Address | Self::Route => true,
        }
    }

    // Every text has its length before it, and every value its kind, so that no two identities are
    // hashed alike. A missing value is a kind of its own: those requests share one bucket.
    fn write(&self, client: ClientIdentity<'_>, hasher: &mut SipHasher13) {
        match (self, client.token) {
            (Self::ClientId, Some(token)) => write_text(token.client_id(), hasher),
            (Self::Subject, Some(token)) => write_text(token.subject(), hasher),
            (Self::Claim(claim), Some(token)) => write_value(token.claim(claim), hasher),
            (Self::Issuer, _) | (Self::ClientId | Self::Subject | Self::Claim(_), None) => {}
            (Self::Address, _) => match client.address.map(client_network) {
                Some(IpAddr::V4(address)) => write_bytes(&address.octets(), hasher),
                Some(IpAddr::V6(address)) => write_bytes(&address.octets(), hasher),
                None => hasher.write_u8(0),
            },
            (Self::Route, _) => write_text(Some(client.route), hasher),
        }
    }
}

impl KeyHasher {
    pub(super) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self(SipHasher13::new_with_keys(random(), random()))
    }

    /// One that gives the keys of all gateways with this secret.
    pub(super) fn with_secret(secret: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&secret))
    }

    /// The key of the bucket for a request.
    pub(super) fn key(&self, parts: &[KeyPart], client: ClientIdentity<'_>) -> BucketKey {
        let mut hasher = self.0;
        // A name means something to its issuer alone, and a tenant is an issuer.
        if let Some(token) = client.token {
            write_text(Some(token.issuer_name()), &mut hasher);
            let tenant = token.tenant().map(|tenant| tenant.name.as_str());
            write_text(tenant, &mut hasher);
        }
        for part in parts {
            part.write(client, &mut hasher);
        }
        let hash = hasher.finish128();
        BucketKey {
            high: hash.h1,
            low: hash.h2,
        }
    }
}

fn write_text(text: Option<&str>, hasher: &mut impl Hasher) {
    match text {
        None => hasher.write_u8(0),
        Some(text) => write_bytes(text.as_bytes(), hasher),
    }
}

fn write_bytes(bytes: &[u8], hasher: &mut impl Hasher) {
    hasher.write_u8(1);
    hasher.write_usize(bytes.len());
    hasher.write(bytes);
}

fn write_value(value: Option<&Value>, hasher: &mut impl Hasher) {
    match value {
        None | Some(Value::Null) => hasher.write_u8(0),
        Some(Value::String(text)) => write_text(Some(text), hasher),
        // Members are sorted, so equal values have one text.
        Some(other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            hasher.write_u8(2);
            write_text(Some(&other.to_string()), hasher);
        }
    }
}

impl BucketKey {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_be_bytes()
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientId => f.write_str("client_id"),
            Self::Subject => f.write_str("subject"),
            Self::Issuer => f.write_str("issuer"),
            Self::Address => f.write_str("address"),
            Self::Route => f.write_str("route"),
            Self::Claim(claim) => write!(f, "claim {claim}"),
        }
    }
}

impl std::hash::Hash for BucketKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// Passes on the hash that a key is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptHash(u64);

impl Hasher for KeptHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptHashes;

impl BuildHasher for KeptHashes {
    type Hasher = KeptHash;

    fn build_hasher(&self) -> KeptHash {
        KeptHash::default()
    }
}
