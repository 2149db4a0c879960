//! Keys that an issuer publishes as X.509 certificates.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, date_time_ymd};
use serde_json::{Value, json};

use harness::{Gateway, Reply, Server, claims, eventually, get};

/// A key and its certificate, which expired long ago: that is not judged.
struct Certified {
    algorithm: &'static str,
    kty: &'static str,
    key: KeyPair,
    pem: String,
    der: Vec<u8>,
}

impl Certified {
    fn new(kty: &'static str) -> Self {
        let (algorithm, of_key) = match kty {
            "RSA" => ("RS256", &PKCS_RSA_SHA256),
            _ => ("ES256", &PKCS_ECDSA_P256_SHA256),
        };
        let key = KeyPair::generate_for(of_key).expect("a key");
        let mut params =
            CertificateParams::new(vec!["securetoken.test".to_owned()]).expect("names");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 17);
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self {
            algorithm,
            kty,
            key,
            pem,
            der,
        }
    }

    /// A JWK with `x5c` and without numbers.
    fn jwk(&self, kid: &str) -> Value {
        json!({ "kty": self.kty, "use": "sig", "kid": kid, "x5c": [STANDARD.encode(&self.der)] })
    }

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm, "typ": "JWT", "kid": kid });
        let message = [header.to_string(), claims.to_string()]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join(".");
        let (der, random) = (self.key.serialize_der(), SystemRandom::new());
        let signature = if self.kty == "RSA" {
            let pair = RsaKeyPair::from_pkcs8(&der).expect("a key");
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .expect("a signature");
            signature
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
            let signature = pair.expect("a key").sign(&random, message.as_bytes());
            signature.expect("a signature").as_ref().to_vec()
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

const ISSUER: &str = "https://securetoken.test/my-project";

/// A gateway whose issuer publishes this document, the server, and an upstream.
fn bed(document: &Value) -> (Gateway, Server, Server) {
    let document = document.clone();
    let server = Server::start(move |_| Reply::json(&document));
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.firebase]\nissuer = \"{ISSUER}\"\naudience = \"https://api.test\"\n\
         jwks_uri = \"http://{}/robot/v1/metadata/x509/securetoken\"\nunknown_key_cooldown = \"1s\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/things\"\nupstream = \"up\"\n",
        server.address, upstream.address
    ));
    eventually("the keys are fetched", || server.hits() > 0);
    (gateway, server, upstream)
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    get(gateway.address, "/things", Some(token)).status
}

#[test]
fn map_of_certificates_is_a_key_set() {
    let (rsa, ec, other) = (
        Certified::new("RSA"),
        Certified::new("EC"),
        Certified::new("RSA"),
    );
    let damaged = rsa.pem.replace("MII", "AAA");
    let (gateway, server, upstream) =
        bed(&json!({ "a1": rsa.pem, "b2": ec.pem, "damaged": damaged }));
    let claims = claims(ISSUER, "");
    eventually("the token is accepted", || {
        status(&gateway, &rsa.token("a1", &claims)) == 200
    });
    assert_eq!(status(&gateway, &ec.token("b2", &claims)), 200);
    let passed = upstream.hits();
    for forged in [
        other.token("a1", &claims),
        rsa.token("b2", &claims),
        ec.token("a1", &claims),
        rsa.token("damaged", &claims),
        other.token("c3", &claims),
    ] {
        assert_eq!(status(&gateway, &forged), 401);
    }
    assert_eq!(upstream.hits(), passed);

    // Google rotates its keys; a key that left the map stops working.
    let rotated = json!({ "c3": other.pem });
    server.script(move |_| Reply::json(&rotated));
    eventually("the new key is fetched", || {
        status(&gateway, &other.token("c3", &claims)) == 200
    });
    assert_eq!(status(&gateway, &rsa.token("a1", &claims)), 401);
}

#[test]
fn key_with_a_certificate_and_no_numbers_is_used() {
    let (rsa, ec, other) = (
        Certified::new("RSA"),
        Certified::new("EC"),
        Certified::new("RSA"),
    );
    let mut chain = rsa.jwk("chain");
    // The first certificate holds the key (RFC 7517 §4.7).
    let certificates = chain["x5c"].as_array_mut().expect("a list");
    certificates.push(json!(STANDARD.encode(&other.der)));
    let mut disguised = other.jwk("disguised");
    disguised["kty"] = json!("EC");
    let mut private = other.jwk("private");
    private["d"] = json!("AQAB");
    let mut encrypting = other.jwk("encrypting");
    encrypting["use"] = json!("enc");
    let (gateway, _server, _upstream) = bed(&json!({ "keys": [
        rsa.jwk("rsa"), ec.jwk("ec"), chain, disguised, private, encrypting,
    ] }));
    let claims = claims(ISSUER, "");
    eventually("the token is accepted", || {
        status(&gateway, &rsa.token("rsa", &claims)) == 200
    });
    assert_eq!(status(&gateway, &ec.token("ec", &claims)), 200);
    assert_eq!(status(&gateway, &rsa.token("chain", &claims)), 200);
    for kid in ["chain", "disguised", "private", "encrypting", "rsa", "ec"] {
        assert_eq!(status(&gateway, &other.token(kid, &claims)), 401, "{kid}");
    }
}

#[test]
fn map_with_anything_but_certificates_never_replaces_keys() {
    let (rsa, other) = (Certified::new("RSA"), Certified::new("RSA"));
    let (gateway, server, _upstream) = bed(&json!({ "a1": rsa.pem }));
    let claims = claims(ISSUER, "");
    let good = rsa.token("a1", &claims);
    eventually("the token is accepted", || status(&gateway, &good) == 200);
    let unusable = other.pem.replace("MII", "AAA");
    let twice = format!("{{\"b2\":{0},\"b2\":{0}}}", json!(other.pem));
    for document in [
        json!({}).to_string(),
        json!({ "b2": other.pem, "error": "unavailable" }).to_string(),
        json!({ "b2": other.pem, "more": [other.pem] }).to_string(),
        json!({ "b2": other.key.public_key_pem() }).to_string(),
        json!({ "b2": unusable }).to_string(),
        json!([other.pem]).to_string(),
        other.pem.clone(),
        twice,
    ] {
        let hits = server.hits();
        server.script(move |_| Reply::json(&document));
        let of_other = other.token("b2", &claims);
        eventually("the document is fetched and refused", || {
            status(&gateway, &of_other) == 503 && server.hits() > hits
        });
        assert_eq!(status(&gateway, &good), 200);
    }
}
