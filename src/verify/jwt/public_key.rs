//! A key that an issuer publishes, parsed once for each algorithm that it may verify.
//!
//! `jsonwebtoken` parses a key for each signature, which makes RS256 a fifth slower, and it lacks
//! ES512.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};

use crate::oauth::jose::{Algorithm, CompactJws, Jwk, KeyMaterial};

/// A public key, for the algorithms that the configuration and the key itself allow.
pub(super) struct PublicKey(Vec<(Algorithm, ParsedPublicKey)>);

/// How aws-lc names an algorithm.
enum Scheme {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

impl PublicKey {
    /// Parses a key. One that is unusable, such as a point that is not on its curve, has signed nothing.
    pub(super) fn parse(jwk: &Jwk, allowed: &[Algorithm]) -> Self {
        let fitting = allowed
            .iter()
            .filter(|algorithm| jwk.fits(**algorithm))
            .filter_map(|algorithm| Some((*algorithm, parse(&jwk.material, *algorithm)?)));
        Self(fitting.collect())
    }

    /// Whether it made the signature of a token.
    pub(super) fn has_signed(&self, token: &CompactJws<'_>) -> bool {
        self.verifies(
            token.header().algorithm,
            token.signing_input().as_bytes(),
            token.signature_bytes(),
        )
    }

    /// Whether `signature` is its signature of `message`.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let key = self.0.iter().find(|(of_key, _)| *of_key == algorithm);
        key.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms = self.0.iter().map(|(algorithm, _)| algorithm);
        f.debug_list().entries(algorithms).finish()
    }
}

fn parse(material: &KeyMaterial, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    let parsed = match (scheme(algorithm)?, material) {
        (Scheme::Rsa(parameters), KeyMaterial::Rsa { modulus, exponent }) => {
            let components = RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            };
            components.to_parsed_public_key(parameters)
        }
        (
            Scheme::Other(verification),
            KeyMaterial::Ec { point: bytes, .. } | KeyMaterial::Ed25519 { x: bytes },
        ) => ParsedPublicKey::new(verification, bytes),
        (Scheme::Rsa(_), KeyMaterial::Ec { .. } | KeyMaterial::Ed25519 { .. })
        | (Scheme::Other(_), KeyMaterial::Rsa { .. }) => return None,
    };
    parsed.ok()
}

/// `None` for HMAC, which has no public keys.
fn scheme(algorithm: Algorithm) -> Option<Scheme> {
    Some(match algorithm {
        Algorithm::RS256 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Scheme::Rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Scheme::Rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Scheme::Other(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Scheme::Other(&ECDSA_P384_SHA384_FIXED),
        Algorithm::ES512 => Scheme::Other(&ECDSA_P521_SHA512_FIXED),
        Algorithm::EdDSA => Scheme::Other(&ED25519),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return None,
    })
}
