//! scopegate and the other library, set up with the same keys and expectations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jwt_simple::prelude::*;
use scopegate::oauth::UnixTime;
use scopegate::oauth::claims::{
    AudienceCheck, Claims as OurClaims, Expectation, ExpectedAudience, ScopeClaims,
};
use scopegate::oauth::jose::{self, Algorithm, Jwks, TokenShape};
use scopegate::oauth::scope::GrantedWildcards;
use scopegate::values::ExpiryUnit;
use scopegate::verify::jwt::{KeySet, SignatureError, install_cryptography};
use serde_json::json;

use crate::{AUDIENCE, ISSUER, LEEWAY, NOW};

type VerifyToken = dyn Fn(&str, VerificationOptions) -> Result<(), String>;

/// A private key, and the other library's verification with its public key.
pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
    theirs: Box<VerifyToken>,
}

pub(crate) struct Libraries {
    pub(crate) signers: Vec<Signer>,
    pub(crate) foreign_key: EncodingKey,
    keys: KeySet,
    expectation: Expectation,
    options: VerificationOptions,
}

/// A closure that verifies a token with a public key of the other library.
macro_rules! verify_with {
    ($key:ty, $jwk:expr) => {{
        let key = <$key>::from_jwk(&$jwk.to_string()).expect("their key");
        Box::new(move |token: &str, options| {
            key.verify_token::<NoCustomClaims>(token, Some(options))
                .map(|_| ())
                .map_err(|error| error.to_string())
        })
    }};
}

impl Libraries {
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    pub(crate) fn new() -> Self {
        install_cryptography();
        let edwards = Ed25519KeyPair::generate().expect("a key");
        let ed = EncodingKey::from_ed_der(edwards.to_pkcs8().expect("a key").as_ref());
        let x = URL_SAFE_NO_PAD.encode(edwards.public_key());
        let ec = |signing| {
            EncodingKey::from_ec_der(
                EcdsaKeyPair::generate(signing)
                    .expect("a key")
                    .to_pkcs8v1()
                    .expect("a key")
                    .as_ref(),
            )
        };
        let (p256, p384) = (
            ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
        );
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect("a key");
        let der = STANDARD.encode(pair.as_der().expect("a key").as_ref());
        let rsa = EncodingKey::from_rsa_pem(
            format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n").as_bytes(),
        );
        let rsa = rsa.expect("a key");
        let jwk = |private: &EncodingKey, algorithm, kid| {
            let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(private, algorithm).expect("a key");
            let mut jwk = serde_json::to_value(jwk).expect("a key");
            jwk["kid"] = json!(kid);
            jwk
        };
        use jsonwebtoken::Algorithm as Alg;
        let jwks = [
            jwk(&p256, Alg::ES256, "p256"),
            jwk(&p384, Alg::ES384, "p384"),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "ed" }),
            jwk(&rsa, Alg::RS256, "rs"),
            jwk(&rsa, Alg::PS256, "ps"),
        ];
        let signer = |kid, algorithm, private: &EncodingKey, theirs| Signer {
            kid,
            algorithm,
            private: private.clone(),
            theirs,
        };
        let signers = vec![
            signer(
                "p256",
                Algorithm::ES256,
                &p256,
                verify_with!(ES256PublicKey, jwks[0]),
            ),
            signer(
                "p384",
                Algorithm::ES384,
                &p384,
                verify_with!(ES384PublicKey, jwks[1]),
            ),
            signer(
                "ed",
                Algorithm::EdDSA,
                &ed,
                verify_with!(Ed25519PublicKey, jwks[2]),
            ),
            signer(
                "rs",
                Algorithm::RS256,
                &rsa,
                verify_with!(RS256PublicKey, jwks[3]),
            ),
            signer(
                "ps",
                Algorithm::PS256,
                &rsa,
                verify_with!(PS256PublicKey, jwks[4]),
            ),
        ];
        let jwks = Jwks::parse(json!({ "keys": jwks }).to_string().as_bytes()).expect("our keys");
        assert_eq!((jwks.keys.len(), jwks.skipped.len()), (5, 0));
        Self {
            keys: KeySet::new(
                &jwks,
                &signers
                    .iter()
                    .map(|signer| signer.algorithm)
                    .collect::<Vec<_>>(),
            ),
            signers,
            foreign_key: ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            expectation: Expectation {
                issuer_name: "corp".into(),
                issuers: vec![ISSUER.to_owned()],
                issuer_required: true,
                audience: ExpectedAudience::OneOf {
                    names: vec![AUDIENCE.to_owned()],
                    required: true,
                },
                required_claims: Vec::new(),
                scope_claims: ScopeClaims::first_of(["scope", "scp"]),
                claim_rules: Vec::new(),
                tenant: None,
                audience_claims: Default::default(),
                audience_check: AudienceCheck::WithClaims,
                expiry_unit: ExpiryUnit::Seconds,
                expiry_required: true,
                accept_unbounded_expiry: false,
                revocable: None,
                leeway: Duration::from_secs(LEEWAY),
                granted_wildcards: GrantedWildcards::Honoured,
                refuse_id_tokens: true,
                ignore_cnf: false,
            },
            options: VerificationOptions {
                allowed_issuers: Some([ISSUER.to_owned()].into()),
                allowed_audiences: Some([AUDIENCE.to_owned()].into()),
                time_tolerance: Some(jwt_simple::prelude::Duration::from_secs(LEEWAY)),
                artificial_time: Some(UnixTimeStamp::from_secs(NOW.unsigned_abs())),
                ..VerificationOptions::default()
            },
        }
    }

    /// scopegate's verdict, by the same steps as the gateway without its network.
    pub(crate) fn ours(&self, token: &str) -> Result<(), &'static str> {
        let jws = match jose::classify(token).map_err(|error| error.reason())? {
            TokenShape::Jwt(jws) => jws,
            TokenShape::Opaque => return Err("opaque"),
        };
        jws.check_type(&["at+jwt".to_owned(), "JWT".to_owned(), String::new()])
            .map_err(|error| error.reason())?;
        self.keys.verify(&jws).map_err(SignatureError::reason)?;
        let claims = OurClaims::parse(jws.payload()).map_err(|error| error.reason())?;
        let now = UnixTime::from_seconds(NOW);
        claims
            .check(&self.expectation, now)
            .map(|_| ())
            .map_err(|error| error.reason())
    }

    /// The other library's verdict, as a careful user calls it: each key is bound to its algorithm,
    /// and `kid` selects one.
    pub(crate) fn theirs(&self, token: &str) -> Result<(), String> {
        catch_unwind(AssertUnwindSafe(|| {
            let metadata = jwt_simple::token::Token::decode_metadata(token)
                .map_err(|error| error.to_string())?;
            let named = |signer: &&Signer| metadata.key_id().is_none_or(|kid| kid == signer.kid);
            let mut verdict = Err("unknown kid".to_owned());
            for signer in self.signers.iter().filter(named) {
                verdict = (signer.theirs)(token, self.options.clone());
                if verdict.is_ok() {
                    break;
                }
            }
            verdict
        }))
        .unwrap_or_else(|_| Err("a panic".to_owned()))
    }
}

pub(crate) fn for_jsonwebtoken(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.name().parse().expect("a name of theirs")
}
