//! A key that an issuer publishes (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
//!
//! 1. A key with one invalid member is skipped as a whole.
//! 2. `use`, `key_ops` and `alg` restrict what a key is used for (RFC 7517 §4.2-4.4).
//! 3. A member that is `null` or an empty list is absent: some servers write every member they know.
//! 4. A key with a certificate and without numbers is the key of the certificate.
//! 5. A published secret is no secret: symmetric keys and private keys are refused. So are keys for
//!    which anyone can forge signatures: RSA with `e` = 1, Ed25519 points of small order.

use std::fmt;

use serde_json::{Map, Value};

use super::certificate::{self, BadCertificate, CertifiedKey};
use super::{Algorithm, decode_base64url};
use crate::oauth::json::{JsonError, Strict};

/// RFC 7518 §3.3 requires at least 2048 bits; aws-lc verifies at most 8192.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Limit of the leading zero bytes that a coordinate may lack.
const MAX_LEADING_ZEROS: usize = 4;

/// A public key for verifying signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// The key ID that tokens refer to.
    pub kid: Option<String>,
    /// The only algorithm to use it with; `None`: every one that fits the key.
    pub algorithm: Option<Algorithm>,
    /// The only issuer that signs with it, as Entra names it; `{tenantid}` in it stands for the `tid`
    /// of the token. `None`: every one that publishes it.
    pub issuer: Option<String>,
    /// The key itself.
    pub material: KeyMaterial,
}

/// The decoded numbers of a public key, of valid size.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// An RSA key; both numbers big-endian without leading zeros.
    Rsa {
        /// `n`
        modulus: Vec<u8>,
        /// `e`
        exponent: Vec<u8>,
    },
    /// A point. aws-lc checks whether it is on the curve when it verifies a signature.
    Ec {
        /// `crv`
        curve: Curve,
        /// `04`, `x`, `y`: the uncompressed form (SEC 1 §2.3.3).
        point: Vec<u8>,
    },
    /// An Ed25519 key.
    Ed25519 {
        /// `x`, 32 bytes.
        x: Vec<u8>,
    },
}

/// An elliptic curve (RFC 7518 §6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `P-256`
    P256,
    /// `P-384`
    P384,
    /// `P-521`
    P521,
}

/// Why a key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// Not a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A duplicate member (RFC 7517 §4).
    #[error("duplicate member")]
    DuplicateMember,
    /// A member is missing, of the wrong type, or not strict base64url.
    #[error("expected a valid {member:?}, but found none")]
    BadMember {
        /// Its name.
        member: &'static str,
    },
    /// `oct`: a published shared secret.
    #[error("a symmetric key must not be published")]
    Symmetric,
    /// `d` is present: a published private key.
    #[error("a private key must not be published")]
    Private,
    /// A certificate that cannot be parsed, or whose key is of another type.
    #[error(
        "expected an X.509 certificate with an RSA, EC or Ed25519 key, but found something else"
    )]
    BadCertificate,
    /// `kty` or `crv` contradicts the certificate.
    #[error("{member:?} does not fit the certificate in \"x5c\"")]
    OtherCertificate {
        /// `kty` or `crv`.
        member: &'static str,
    },
    /// The key type or curve is not supported.
    #[error("{member:?} names a key type that is not supported")]
    Unsupported {
        /// `kty` or `crv`.
        member: &'static str,
    },
    /// `use` is not `sig`, or `key_ops` lacks `verify`.
    #[error("{member:?} does not allow verifying signatures")]
    NotForSignatures {
        /// `use` or `key_ops`.
        member: &'static str,
    },
    /// `alg` does not fit the key, or is not supported.
    #[error("\"alg\" does not fit the key or is not supported")]
    AlgorithmMismatch,
    /// An RSA modulus that is too short to be safe, or too long to be used.
    #[error("expected an RSA key of 2048 to 8192 bits, but found {bits}")]
    RsaSize {
        /// The number of significant bits of `n`.
        bits: usize,
    },
    /// An RSA modulus or exponent that is even, or an exponent below 3 or beyond 32 bits.
    #[error("not an RSA key: {member:?} is invalid")]
    RsaNumber {
        /// `n` or `e`.
        member: &'static str,
    },
    /// An Ed25519 point of small order: anyone can forge its signatures (RFC 8032 §5.1.7).
    #[error("\"x\" is a point of small order, for which anyone can sign")]
    SmallOrder,
}

impl Jwk {
    pub(super) fn parse(key: Strict) -> Result<Self, JwkError> {
        let mut key = key.into_object().map_err(|error| match error {
            JsonError::DuplicateMember => JwkError::DuplicateMember,
            JsonError::NotAnObject | JsonError::Malformed(_) => JwkError::NotAnObject,
        })?;
        key.retain(|_, value| !is_unset(value));
        check_purpose(&key)?;
        let has_numbers = key.contains_key("n") || key.contains_key("x");
        let material = if key.contains_key("x5c") && !has_numbers {
            KeyMaterial::parse_certificate(&key)?
        } else {
            KeyMaterial::parse(&key)?
        };
        let kid = optional_string(&key, "kid")?.map(str::to_owned);
        let issuer = optional_string(&key, "issuer")?.map(str::to_owned);
        let algorithm = match optional_string(&key, "alg")?.map(Algorithm::from_name) {
            None => None,
            Some(Some(algorithm)) if material.fits(algorithm) => Some(algorithm),
            Some(Some(_) | None) => return Err(JwkError::AlgorithmMismatch),
        };
        Ok(Self {
            kid,
            algorithm,
            issuer,
            material,
        })
    }

    /// A key that is published as a certificate in PEM.
    pub(super) fn from_pem(kid: String, text: &str) -> Result<Self, JwkError> {
        Ok(Self {
            kid: Some(kid),
            algorithm: None,
            issuer: None,
            material: KeyMaterial::of_certificate(certificate::from_pem(text))?,
        })
    }

    /// Whether signatures of that algorithm may be verified with this key.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }
}

impl Curve {
    fn from_name(name: &str) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521]
            .into_iter()
            .find(|curve| curve.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    // The bytes of a coordinate.
    const fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl KeyMaterial {
    fn parse(key: &Map<String, Value>) -> Result<Self, JwkError> {
        let material = match string(key, "kty")? {
            "RSA" => Self::parse_rsa(key),
            "EC" => Self::parse_ec(key),
            "OKP" if string(key, "crv")? == "Ed25519" => Self::parse_ed25519(key),
            "OKP" => Err(JwkError::Unsupported { member: "crv" }),
            "oct" => Err(JwkError::Symmetric),
            _ => Err(JwkError::Unsupported { member: "kty" }),
        }?;
        if key.contains_key("d") {
            Err(JwkError::Private)
        } else {
            Ok(material)
        }
    }

    fn parse_rsa(key: &Map<String, Value>) -> Result<Self, JwkError> {
        Self::rsa(unsigned(key, "n")?, unsigned(key, "e")?)
    }

    // The key of the first certificate (RFC 7517 §4.7). `kty` is required.
    fn parse_certificate(key: &Map<String, Value>) -> Result<Self, JwkError> {
        let bad = JwkError::BadMember { member: "x5c" };
        let first = key.get("x5c").and_then(Value::as_array);
        let first = first.and_then(|chain| chain.first()).ok_or(bad)?;
        let kty = string(key, "kty")?;
        if key.contains_key("d") {
            return Err(JwkError::Private);
        }
        let certificate = certificate::from_base64(first.as_str().ok_or(bad)?);
        let material = Self::of_certificate(certificate)?;
        let (found, curve) = material.names();
        if kty != found {
            return Err(JwkError::OtherCertificate { member: "kty" });
        }
        match optional_string(key, "crv")? {
            Some(crv) if curve != Some(crv) => Err(JwkError::OtherCertificate { member: "crv" }),
            Some(_) | None => Ok(material),
        }
    }

    fn of_certificate(key: Result<CertifiedKey, BadCertificate>) -> Result<Self, JwkError> {
        match key.map_err(|BadCertificate| JwkError::BadCertificate)? {
            CertifiedKey::Rsa { modulus, exponent } => Self::rsa(modulus, exponent),
            CertifiedKey::Ec { curve, point } => {
                let curve = Curve::from_name(curve).ok_or(JwkError::BadCertificate)?;
                let is_whole = point.len() == 1 + 2 * curve.length() && point.first() == Some(&4);
                is_whole
                    .then_some(Self::Ec { curve, point })
                    .ok_or(JwkError::BadCertificate)
            }
            CertifiedKey::Ed25519(x) => Self::ed25519(x),
        }
    }

    // `kty` and `crv`.
    const fn names(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Rsa { .. } => ("RSA", None),
            Self::Ec { curve, .. } => ("EC", Some(curve.name())),
            Self::Ed25519 { .. } => ("OKP", Some("Ed25519")),
        }
    }

    // The numbers have no leading zeros.
    fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, JwkError> {
        let bits = modulus.first().map_or(0, |first| {
            modulus.len() * 8 - first.leading_zeros() as usize
        });
        if !RSA_BITS.contains(&bits) {
            return Err(JwkError::RsaSize { bits });
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !is_odd(&modulus) {
            return Err(JwkError::RsaNumber { member: "n" });
        }
        if !is_odd(&exponent) || exponent == [1] || exponent.len() > 4 {
            return Err(JwkError::RsaNumber { member: "e" });
        }
        Ok(Self::Rsa { modulus, exponent })
    }

    fn parse_ec(key: &Map<String, Value>) -> Result<Self, JwkError> {
        let unsupported = JwkError::Unsupported { member: "crv" };
        let curve = Curve::from_name(string(key, "crv")?).ok_or(unsupported)?;
        let length = curve.length();
        let point = [
            &[4],
            &*coordinate(key, "x", length)?,
            &*coordinate(key, "y", length)?,
        ]
        .concat();
        Ok(Self::Ec { curve, point })
    }

    fn parse_ed25519(key: &Map<String, Value>) -> Result<Self, JwkError> {
        // Not a number: all of its bytes count (RFC 8037 §2).
        let x = bytes(key, "x")?;
        if x.len() != 32 {
            return Err(JwkError::BadMember { member: "x" });
        }
        Self::ed25519(x)
    }

    // A key of 32 bytes.
    fn ed25519(x: Vec<u8>) -> Result<Self, JwkError> {
        if is_of_small_order(&x) {
            Err(JwkError::SmallOrder)
        } else {
            Ok(Self::Ed25519 { x })
        }
    }

    /// Whether that algorithm uses this type of key (RFC 8725 §3.1).
    #[must_use]
    pub const fn fits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => matches!(self, Self::Rsa { .. }),
            Algorithm::ES256 => matches!(
                self,
                Self::Ec {
                    curve: Curve::P256,
                    ..
                }
            ),
            Algorithm::ES384 => matches!(
                self,
                Self::Ec {
                    curve: Curve::P384,
                    ..
                }
            ),
            Algorithm::ES512 => matches!(
                self,
                Self::Ec {
                    curve: Curve::P521,
                    ..
                }
            ),
            Algorithm::EdDSA => matches!(self, Self::Ed25519 { .. }),
            // A public key as HMAC secret would let anyone sign.
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => false,
        }
    }
}

// Omits the numbers: they are long and do not help a reader.
impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "RSA",
            Self::Ec { curve, .. } => curve.name(),
            Self::Ed25519 { .. } => "Ed25519",
        })
    }
}

// RFC 8032 allows such keys and aws-lc accepts them. Then S = 0 with one of eight points R is a
// valid signature of any text.
//
// The encoding of a point is its y in little-endian order, with the sign of x in the last bit.
// Eight points have small order: y is 0, 1, -1 or one of two other values. 0 and 1 also have a
// second encoding, with the field size added.
fn is_of_small_order(point: &[u8]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
           \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
           \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ];
    let [first, middle @ .., last] = point else {
        return false;
    };
    let y_last = last & 0x7f;
    let all = |byte| middle.iter().all(|found| *found == byte);
    match (first, y_last) {
        (0x00 | 0x01, 0x00) if all(0x00) => true,
        (0xec..=0xee, 0x7f) if all(0xff) => true,
        _ => ORDER_8
            .iter()
            .any(|y| y[..31] == point[..31] && y[31] == y_last),
    }
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn check_purpose(key: &Map<String, Value>) -> Result<(), JwkError> {
    if key.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err(JwkError::NotForSignatures { member: "use" });
    }
    let may_verify = |operations: &Value| {
        operations
            .as_array()
            .is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    };
    if key
        .get("key_ops")
        .is_some_and(|operations| !may_verify(operations))
    {
        return Err(JwkError::NotForSignatures { member: "key_ops" });
    }
    Ok(())
}

fn optional_string<'k>(
    key: &'k Map<String, Value>,
    member: &'static str,
) -> Result<Option<&'k str>, JwkError> {
    key.get(member)
        .map(|value| value.as_str().ok_or(JwkError::BadMember { member }))
        .transpose()
}

fn string<'k>(key: &'k Map<String, Value>, member: &'static str) -> Result<&'k str, JwkError> {
    optional_string(key, member)?.ok_or(JwkError::BadMember { member })
}

fn bytes(key: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JwkError> {
    decode_base64url(string(key, member)?).ok_or(JwkError::BadMember { member })
}

// A coordinate has the full length of the field, with leading zeros (RFC 7518 §6.2.1.2). Glewlwyd
// writes it as a number instead, without leading zeros or with one too many. Half of all P-521
// coordinates begin with a zero byte. More than a few missing bytes mean another curve.
fn coordinate(
    key: &Map<String, Value>,
    member: &'static str,
    length: usize,
) -> Result<Vec<u8>, JwkError> {
    let bytes = bytes(key, member)?;
    if bytes.len() == length {
        return Ok(bytes);
    }
    let number = unsigned(key, member)?;
    match length.checked_sub(number.len()) {
        Some(missing) if missing <= MAX_LEADING_ZEROS => {
            Ok([&[0; MAX_LEADING_ZEROS][..missing], &number].concat())
        }
        Some(_) | None => Err(JwkError::BadMember { member }),
    }
}

// A leading zero byte violates RFC 7518 §2, but MobileFirst sends one. It must not count as size.
fn unsigned(key: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, JwkError> {
    let bytes = bytes(key, member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

#[cfg(test)]
mod tests;
