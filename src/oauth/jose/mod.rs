//! JSON Object Signing and Encryption, as far as an access token uses it: compact signatures and the keys for them.
//!
//! Nothing here verifies a signature. What a token says about itself is read strictly, and the keys it brings along are
//! not read at all: `jwk`, `jku`, `x5u` and `x5c` in a header are a stranger's advice on whom to trust (RFC 8725 §3.10).

mod algorithm;
mod jwk;
mod jwks;
mod jws;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use algorithm::Algorithm;
pub use jwk::{Curve, Jwk, JwkError, KeyMaterial};
pub use jwks::{Jwks, JwksError, SkippedKey};
pub use jws::{CompactJws, JoseHeader, JwsError, TokenShape, classify};

/// Decodes base64url without padding (RFC 7515 §2); `None` for anything else.
///
/// Bits left over behind the last byte must be zero: one text for one value, or a token could be written in several
/// ways that all carry a good signature.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
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
