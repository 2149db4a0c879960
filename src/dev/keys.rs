//! The key that signs access tokens, made fresh at each start.

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

/// A private key that nothing prints and that leaves this process as a public one only; it signs nothing but access
/// tokens.
pub(super) struct SigningKey {
    algorithm: Algorithm,
    private: EncodingKey,
    public: Jwk,
    published: KeySet,
}

impl SigningKey {
    /// Makes a key. RSA may take some tenths of a second of computing, once, before anything is served.
    pub(super) fn generate(algorithm: SigningAlgorithm) -> io::Result<Self> {
        // The first in the process wins, and every caller here installs the same one.
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
        // The thumbprint (RFC 7638) is another one after each restart, so a cached key is never mistaken for its heir.
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

    /// Whether this key signed the token (RFC 7515 §5.2). What the token says is not looked at.
    pub(super) fn has_signed(&self, token: &CompactJws<'_>) -> bool {
        self.published.verify(token).is_ok()
    }

    /// The public half (RFC 7517 §5).
    pub(super) fn jwks(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }
}

// aws-lc-rs writes PKCS #8 and jsonwebtoken reads PKCS #1, save from PEM, out of which it takes either.
fn new_rsa_key() -> io::Result<EncodingKey> {
    let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(io::Error::other)?;
    let der = key.as_der().map_err(io::Error::other)?;
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(io::Error::other)
}
