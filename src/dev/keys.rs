//! The key that signs access tokens, generated at each start.

use std::io;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::oauth::jose::{self, CompactJws, Jwks};
use crate::values::SigningAlgorithm;
use crate::verify::jwt::KeySet;

/// A key pair for access tokens only. It has no `Debug`, and only the public key leaves the
/// process.
pub(super) struct SigningKey {
    algorithm: Algorithm,
    private: EncodingKey,
    public: Jwk,
    published: KeySet,
}

impl SigningKey {
    /// Generates a key. For RSA that takes some tenths of a second, before anything is served.
    pub(super) fn generate(algorithm: SigningAlgorithm) -> io::Result<Self> {
        // An error means that it is installed already; every caller installs the same provider.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let (algorithm, private) = match algorithm {
            SigningAlgorithm::Rs256 => (Algorithm::RS256, new_rsa_key()?),
            SigningAlgorithm::Es256 => {
                let document = EcdsaKeyPair::generate_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    &SystemRandom::new(),
                );
                (
                    Algorithm::ES256,
                    EncodingKey::from_ec_der(document.map_err(io::Error::other)?.as_ref()),
                )
            }
            SigningAlgorithm::EdDsa => {
                let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
                (
                    Algorithm::EdDSA,
                    EncodingKey::from_ed_der(document.map_err(io::Error::other)?.as_ref()),
                )
            }
        };
        let mut public = Jwk::from_encoding_key(&private, algorithm).map_err(io::Error::other)?;
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        // The thumbprint (RFC 7638) changes with the key, so a verifier never uses a cached key of
        // an earlier process.
        public.common.key_id = Some(
            public
                .thumbprint(ThumbprintHash::SHA256)
                .map_err(io::Error::other)?,
        );
        let document = serde_json::to_vec(&JwkSet {
            keys: vec![public.clone()],
        })
        .map_err(io::Error::other)?;
        let published = KeySet::new(
            &Jwks::parse(&document).map_err(io::Error::other)?,
            &jose::Algorithm::ALL,
        );
        Ok(Self {
            algorithm,
            private,
            public,
            published,
        })
    }

    /// Signs claims as a JWT access token (RFC 9068 §2.1).
    pub(super) fn sign(
        &self,
        claims: &impl serde::Serialize,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid.clone_from(&self.public.common.key_id);
        jsonwebtoken::encode(&header, claims, &self.private)
    }

    /// Whether this key signed the token (RFC 7515 §5.2). Claims are not checked.
    pub(super) fn verifies(&self, token: &CompactJws<'_>) -> bool {
        self.published.verify(token).is_ok()
    }

    /// The public half (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }
}

// aws-lc-rs exports PKCS #8. jsonwebtoken reads PKCS #8 from PEM only, and PKCS #1 from DER.
fn new_rsa_key() -> io::Result<EncodingKey> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(io::Error::other)?;
    let der = key.as_der().map_err(io::Error::other)?;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(io::Error::other)
}
