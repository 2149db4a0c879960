//! Proof Key for Code Exchange (RFC 7636): who redeems a code shows the secret of the client that
//! requested it.
//!
//! The only method is `S256`. With `plain`, a reader of the authorization request could redeem.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The parameter `code_challenge`: the SHA-256 of a verifier.
#[derive(Clone, Debug)]
pub(super) struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Parses 32 bytes in base64url (RFC 7636 §4.2).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Whether this is the verifier (RFC 7636 §4.6).
    pub(super) fn is_met_by(&self, verifier: &str) -> bool {
        let is_well_formed = (43..=128).contains(&verifier.len())
            && verifier
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        is_well_formed
            && verify_slices_are_equal(&self.0, digest(&SHA256, verifier.as_bytes()).as_ref())
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_the_rfc_fits() {
        let challenge = CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let challenge = challenge.expect("a challenge");
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(challenge.is_met_by(verifier));
        assert!(!challenge.is_met_by(&verifier.to_lowercase()));
        assert!(!challenge.is_met_by("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    }

    #[test]
    fn verifier_of_another_length_or_alphabet_never_fits() {
        for verifier in ["a".repeat(42), "a".repeat(129), "=".repeat(43)] {
            let hash = digest(&SHA256, verifier.as_bytes());
            let challenge = URL_SAFE_NO_PAD.encode(hash.as_ref());
            let challenge = CodeChallenge::parse(&challenge).expect("a challenge");
            assert!(!challenge.is_met_by(&verifier), "{verifier}");
        }
    }

    #[test]
    fn challenge_is_a_whole_sha_256() {
        for text in ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "a b"] {
            assert!(CodeChallenge::parse(text).is_none(), "{text}");
        }
    }
}
