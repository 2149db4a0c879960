//! Seals what the gateways of a fleet store, so that Redis holds nothing in the clear, and can
//! invent nothing.
//!
//! 1. HKDF-SHA256 (RFC 5869) derives from the key of the fleet one key for names (HMAC-SHA256) and
//!    one for values (AES-256-GCM-SIV, RFC 8452).
//! 2. A sealed value is bound to the name under which it is stored, and to its expiry. Under another
//!    name, or with another expiry, it does not open.
//! 3. Nonces are random. With GCM-SIV a repeated nonce would only show that two values are equal,
//!    and no fleet seals the 2^48 values after which repetitions become likely.
//! 4. The previous key opens values, and seals none.
//!
//! A sealed value: version (1 byte), expiry in seconds since 1970 (8), nonce (12), ciphertext with
//! its tag (16 more than the value).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use aws_lc_rs::rand;

use crate::oauth::UnixTime;

const VERSION: u8 = 1;
const SALT: &[u8] = b"scopegate fleet 1";
const EXPIRY: usize = 8;
const HEADER: usize = 1 + EXPIRY + NONCE_LEN;

/// The key of a fleet: 32 bytes.
#[derive(Clone)]
pub struct FleetKey(zeroize::Zeroizing<[u8; 32]>);

/// Names and seals values.
pub struct Seal {
    current: Keys,
    previous: Option<Keys>,
}

struct Keys {
    names: hmac::Key,
    values: LessSafeKey,
}

/// Why a sealed value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was not sealed with a key of this fleet, or was changed, moved or cut off.
    #[error("not sealed by this fleet for this place")]
    Unopened,
    /// It has expired.
    #[error("expired")]
    Expired,
    /// The cryptography failed.
    #[error("cannot be sealed")]
    Unusable,
}

impl FleetKey {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(key))
    }
}

impl Seal {
    /// Seals with `key`; opens what was sealed with `previous` as well.
    #[must_use]
    pub fn new(key: &FleetKey, previous: Option<&FleetKey>) -> Self {
        Self {
            current: Keys::derive(key),
            previous: previous.map(Keys::derive),
        }
    }

    /// The name of a secret thing: its HMAC, in hexadecimal digits.
    #[must_use]
    pub fn name(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.current.names);
        for part in parts {
            // Lengths in front, so that no two lists are the same bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let tag = context.sign();
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A secret that the gateways of the fleet share, for one purpose.
    #[must_use]
    pub fn secret(&self, purpose: &str) -> [u8; 16] {
        let mut secret = [0; 16];
        let tag = hmac::sign(&self.current.names, purpose.as_bytes());
        secret.copy_from_slice(&tag.as_ref()[..16]);
        secret
    }

    /// Seals a value that is stored as `name` until `expires`.
    ///
    /// # Errors
    /// [`SealError::Unusable`]
    pub fn seal(&self, name: &str, expires: UnixTime, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::Unusable)?;
        self.current.seal(name, expires, nonce, value)
    }

    /// Opens a value that was read as `name`.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn open(&self, name: &str, sealed: &[u8], now: UnixTime) -> Result<Vec<u8>, SealError> {
        let value = self.current.open(name, sealed).or_else(|| {
            let previous = self.previous.as_ref()?;
            previous.open(name, sealed)
        });
        let (expires, value) = value.ok_or(SealError::Unopened)?;
        if now >= expires {
            return Err(SealError::Expired);
        }
        Ok(value)
    }
}

impl Keys {
    fn derive(key: &FleetKey) -> Self {
        let pseudorandom = Salt::new(HKDF_SHA256, SALT).extract(&*key.0);
        let expand = |purpose: &[u8]| {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            let info = [purpose];
            pseudorandom
                .expand(&info, HKDF_SHA256)
                .and_then(|key| key.fill(&mut *bytes))
                .expect("32 bytes are the output of one SHA-256");
            bytes
        };
        let values = UnboundKey::new(&AES_256_GCM_SIV, &*expand(b"values"));
        Self {
            names: hmac::Key::new(hmac::HMAC_SHA256, &*expand(b"names")),
            values: LessSafeKey::new(values.expect("the key has 32 bytes")),
        }
    }

    fn seal(
        &self,
        name: &str,
        expires: UnixTime,
        nonce: [u8; NONCE_LEN],
        value: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut sealed = vec![VERSION];
        sealed.extend(expires.as_seconds().to_be_bytes());
        let context = context(&sealed, name);
        sealed.extend(nonce);
        let mut ciphertext = value.to_vec();
        self.values
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut ciphertext,
            )
            .map_err(|_| SealError::Unusable)?;
        sealed.append(&mut ciphertext);
        Ok(sealed)
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Option<(UnixTime, Vec<u8>)> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER)?;
        let (bound, nonce) = header.split_at_checked(1 + EXPIRY)?;
        let (version, expires) = bound.split_first()?;
        if *version != VERSION {
            return None;
        }
        let expires = i64::from_be_bytes(expires.try_into().ok()?);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = ciphertext.to_vec();
        let value = self
            .values
            .open_in_place(nonce, Aad::from(context(bound, name)), &mut buffer)
            .ok()?;
        let length = value.len();
        buffer.truncate(length);
        Some((UnixTime::from_seconds(expires), buffer))
    }
}

// What a value is bound to: version, expiry and name.
fn context(bound: &[u8], name: &str) -> Vec<u8> {
    let mut context = bound.to_vec();
    context.extend(name.as_bytes());
    context
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "scopegate:revocations";

    fn key(digit: char) -> FleetKey {
        FleetKey::from_hex(&digit.to_string().repeat(64)).expect("64 digits")
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    fn sealed(seal: &Seal) -> Vec<u8> {
        seal.seal(NAME, at(1000), b"a fact").expect("cryptography")
    }

    #[test]
    fn sealed_value_opens_under_its_name_until_it_expires() {
        let seal = Seal::new(&key('a'), None);
        let value = sealed(&seal);
        assert_eq!(seal.open(NAME, &value, at(999)), Ok(b"a fact".to_vec()));
        assert_eq!(seal.open(NAME, &value, at(1000)), Err(SealError::Expired));
        assert_eq!(
            seal.open("scopegate:heartbeats", &value, at(1)),
            Err(SealError::Unopened)
        );
    }

    #[test]
    fn changed_or_truncated_value_does_not_open() {
        let seal = Seal::new(&key('a'), None);
        let value = sealed(&seal);
        // The expiry among them: write access to Redis does not prolong a fact.
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(seal.open(NAME, &changed, at(1)), Err(SealError::Unopened));
        }
        for length in 0..value.len() {
            let cut = &value[..length];
            assert_eq!(seal.open(NAME, cut, at(1)), Err(SealError::Unopened));
        }
        let longer = [&value[..], &[0]].concat();
        assert_eq!(seal.open(NAME, &longer, at(1)), Err(SealError::Unopened));
    }

    #[test]
    fn previous_key_opens_and_never_seals() {
        let (old, new) = (key('a'), key('b'));
        let before = sealed(&Seal::new(&old, None));
        let both = Seal::new(&new, Some(&old));
        assert_eq!(both.open(NAME, &before, at(1)), Ok(b"a fact".to_vec()));
        let after = sealed(&both);
        assert_eq!(
            Seal::new(&old, None).open(NAME, &after, at(1)),
            Err(SealError::Unopened)
        );
        assert_eq!(
            Seal::new(&new, None).open(NAME, &after, at(1)),
            Ok(b"a fact".to_vec())
        );
    }

    #[test]
    fn equal_values_are_sealed_differently_and_names_depend_on_the_key() {
        let seal = Seal::new(&key('a'), None);
        assert_ne!(sealed(&seal), sealed(&seal));
        let other = Seal::new(&key('b'), None);
        assert_ne!(seal.name(&[b"token"]), other.name(&[b"token"]));
        assert_ne!(seal.name(&[b"ab", b"c"]), seal.name(&[b"a", b"bc"]));
        assert_eq!(seal.name(&[b"token"]).len(), 64);
    }

    #[test]
    fn key_is_64_hexadecimal_digits() {
        for text in [
            "",
            "ab",
            &"g".repeat(64),
            &"a".repeat(63),
            &"a".repeat(65),
            &"é".repeat(32),
        ] {
            assert!(FleetKey::from_hex(text).is_none(), "{text}");
        }
        assert!(FleetKey::from_hex(&"aB".repeat(32)).is_some());
        assert_eq!(format!("{:?}", key('a')), "FleetKey");
    }
}
