//! An authorization server with metadata and a JWKS, and keys that sign tokens.

use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::server::{Received, Reply, Server};

/// The time at which every test starts, in seconds since the epoch.
pub const NOW: i64 = 1_800_000_000;

/// A signing key, with a `kid` unless it has none.
pub struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

impl Key {
    pub fn es256(kid: &str) -> Self {
        Self::ec(
            kid,
            Algorithm::ES256,
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            "P-256",
        )
    }

    pub fn es384(kid: &str) -> Self {
        Self::ec(
            kid,
            Algorithm::ES384,
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            "P-384",
        )
    }

    fn ec(
        kid: &str,
        algorithm: Algorithm,
        signing: &'static EcdsaSigningAlgorithm,
        curve: &str,
    ) -> Self {
        let pair = EcdsaKeyPair::generate(signing).expect("a key");
        let document = pair.to_pkcs8v1().expect("a key");
        // `04`, x, y (SEC 1 §2.3.3).
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Self {
            kid: Some(kid.to_owned()),
            algorithm,
            private: EncodingKey::from_ec_der(document.as_ref()),
            public: json!({ "kty": "EC", "crv": curve, "x": x, "y": y, "use": "sig", "kid": kid }),
        }
    }

    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let document = pair.to_pkcs8().expect("a key");
        Self {
            kid: Some(kid.to_owned()),
            algorithm: Algorithm::EdDSA,
            private: EncodingKey::from_ed_der(document.as_ref()),
            public: json!({
                "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig",
                "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
            }),
        }
    }

    /// An RS256 or PS256 key.
    ///
    /// RSA keys are slow to generate, so all of them in one process are the same key.
    pub fn rsa(kid: Option<&str>, algorithm: Algorithm) -> Self {
        static PEM: OnceLock<String> = OnceLock::new();
        let pem = PEM.get_or_init(|| {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
            let der = pair.as_der().expect("a key");
            format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                STANDARD.encode(der.as_ref())
            )
        });
        scopegate::verify::jwt::install_cryptography();
        let private = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
        let jwk = Jwk::from_encoding_key(&private, algorithm).expect("a key");
        let mut public = serde_json::to_value(jwk).expect("a key");
        public["use"] = json!("sig");
        if let Some(kid) = kid {
            public["kid"] = json!(kid);
        }
        Self {
            kid: kid.map(str::to_owned),
            algorithm,
            private,
            public,
        }
    }

    /// A shared secret for HS256.
    pub fn hs256(secret: &[u8]) -> Self {
        Self::hmac(secret, Algorithm::HS256)
    }

    /// A shared secret for the given HMAC algorithm.
    pub fn hmac(secret: &[u8], algorithm: Algorithm) -> Self {
        scopegate::verify::jwt::install_cryptography();
        Self {
            kid: None,
            algorithm,
            private: EncodingKey::from_secret(secret),
            public: Value::Null,
        }
    }

    /// A given P-256 private key, as PKCS #8.
    pub fn es256_of(der: &[u8]) -> Self {
        let private = EncodingKey::from_ec_der(der);
        Self {
            kid: None,
            algorithm: Algorithm::ES256,
            private,
            public: Value::Null,
        }
    }

    pub fn jwk(&self) -> Value {
        self.public.clone()
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "typ": "at+jwt", "alg": format!("{:?}", self.algorithm) });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        self.token_with(&header, claims)
    }

    /// A token with the given header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// A token whose header and claims are the given texts, valid JSON or not.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        self.seal(&format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        ))
    }

    /// Appends a valid signature to any text.
    pub fn seal(&self, message: &str) -> String {
        let signature =
            crypto::sign(message.as_bytes(), &self.private, self.algorithm).expect("a signature");
        format!("{message}.{signature}")
    }
}

/// A running authorization server.
pub struct Issuer {
    pub server: Server,
    pub url: String,
    keys: Arc<Mutex<Vec<Value>>>,
}

impl Issuer {
    pub fn start(keys: &[&Key]) -> Self {
        let issuer = Self {
            server: Server::start(|_| Reply::status(404)),
            url: String::new(),
            keys: Arc::default(),
        };
        let url = format!("http://{}", issuer.server.address);
        let issuer = Self { url, ..issuer };
        issuer.publish(keys);
        issuer.recover();
        issuer
    }

    /// Replaces its keys.
    pub fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().expect("no panic") = keys.iter().map(|key| key.jwk()).collect();
    }

    /// Sends `reply` to every request from now on.
    pub fn fail(&self, reply: Reply) {
        self.server.script(move |_| reply.clone());
    }

    /// Serves metadata and JWKS again.
    pub fn recover(&self) {
        let (url, keys) = (self.url.clone(), Arc::clone(&self.keys));
        self.server
            .script(move |request: &Received| match request.target.as_str() {
                "/.well-known/oauth-authorization-server" => {
                    Reply::json(json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") }))
                }
                "/jwks" => Reply::json(json!({ "keys": *keys.lock().expect("no panic") })),
                _ => Reply::status(404),
            });
    }

    /// How often the JWKS was fetched.
    pub fn fetches(&self) -> usize {
        self.server
            .received()
            .iter()
            .filter(|request| request.target == "/jwks")
            .count()
    }

    /// Valid claims of this issuer, with `scope`.
    pub fn claims(&self, scope: &str) -> Value {
        claims(&self.url, scope)
    }
}

/// Valid claims of `issuer`, with `scope`.
pub fn claims(issuer: &str, scope: &str) -> Value {
    json!({
        "iss": issuer, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
        "exp": NOW + 600, "iat": NOW, "jti": "1", "scope": scope,
    })
}
