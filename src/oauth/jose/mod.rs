//! The parts of JSON Object Signing and Encryption that access tokens use: compact JWS and its
//! keys.
//!
//! Parsing only; `verify` verifies signatures. Keys in a header (`jwk`, `jku`, `x5u`, `x5c`) are
//! ignored: an attacker who sends a token would choose the key to trust (RFC 8725 §3.10).

mod certificate;
mod jwk;
mod jwks;
mod jws;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use jwk::{Curve, Jwk, JwkError, KeyMaterial};
pub use jwks::{Jwks, JwksError, SkippedKey};
pub use jws::{CompactJws, JoseHeader, JwsError, TokenShape, classify};

pub use crate::values::Algorithm;

/// Decodes base64url without padding (RFC 7515 §2); `None` for anything else.
///
/// Trailing bits must be zero. Otherwise one token would have several spellings with a valid
/// signature.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_strict() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("AQ", b"\x01"),
            ("-_8", b"\xfb\xff"),
            ("AQAB", b"\x01\x00\x01"),
        ] {
            assert_eq!(decode_base64url(text).as_deref(), Some(bytes), "{text}");
        }
        for text in [
            "A", "AQ==", "AQ=", "AR", "AQB", "+/8", "AQ\n", " AQ", "A.Q", "AQABA", "ÄÄ",
        ] {
            assert_eq!(decode_base64url(text), None, "{text}");
        }
    }
}
