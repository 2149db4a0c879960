//! A JWKS is a JSON object with an array of keys. Each key is used or skipped, in order. A used key
//! is a public signature key of an accepted size.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::oauth::jose::{Algorithm, Curve, Jwk, Jwks, JwksError, KeyMaterial, SkippedKey};
use serde::Deserialize;
use serde_json::Value;

/// Other members of the document are ignored.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

pub(crate) fn check(input: &[u8]) {
    let is_object = input.trim_ascii_start().starts_with(b"{");
    let written = serde_json::from_slice(input)
        .ok()
        .filter(|_| is_object)
        .map(|document: Document| document.keys);
    match (Jwks::parse(input), &written) {
        (Ok(jwks), Some(written)) => {
            assert!(
                !jwks.keys.is_empty(),
                "a JWKS without usable keys is an error"
            );
            assert_in_order(&jwks.skipped, written.len());
            assert_eq!(
                jwks.keys.len() + jwks.skipped.len(),
                written.len(),
                "a key is used or skipped"
            );
            let is_skipped =
                |index: usize| jwks.skipped.iter().any(|skipped| skipped.index == index);
            let used = written
                .iter()
                .enumerate()
                .filter(|(index, _)| !is_skipped(*index))
                .map(|(_, key)| key);
            for (key, written) in jwks.keys.iter().zip(used) {
                assert_public_key(key, written);
            }
        }
        (Err(JwksError::NoUsableKey { skipped }), Some(written)) => {
            assert_in_order(&skipped, written.len());
            assert_eq!(skipped.len(), written.len(), "every key is used or skipped");
        }
        (Err(JwksError::NotAJwks { .. }), None) => {}
        (read, written) => panic!("{written:?} was read as {read:?}"),
    }
}

fn assert_in_order(skipped: &[SkippedKey], number: usize) {
    assert!(
        skipped.is_sorted_by(|one, next| one.index < next.index),
        "{skipped:?}"
    );
    assert!(
        skipped.iter().all(|skipped| skipped.index < number),
        "{skipped:?}"
    );
}

fn assert_public_key(key: &Jwk, written: &Value) {
    let text = |name: &str| written.get(name).and_then(Value::as_str);
    let octets = |name: &str| {
        text(name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .unwrap_or_default()
    };
    assert_eq!(key.kid.as_deref(), text("kid"));
    assert_eq!(key.algorithm, text("alg").and_then(Algorithm::from_name));
    assert_verifying(written);
    match &key.material {
        KeyMaterial::Rsa { modulus, exponent } => {
            assert_eq!(text("kty"), Some("RSA"));
            let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
            assert!(
                (2048..=8192).contains(&bits) && modulus[modulus.len() - 1] % 2 == 1,
                "{bits} bits"
            );
            let exponent = exponent
                .iter()
                .fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
            assert!(
                exponent % 2 == 1 && (3..1 << 32).contains(&exponent),
                "exponent {exponent}"
            );
            assert!(
                octets("n").ends_with(modulus),
                "the modulus equals the written one"
            );
        }
        KeyMaterial::Ec { curve, point } => {
            assert_eq!((text("kty"), text("crv")), (Some("EC"), Some(name(*curve))));
            assert_eq!(*point, [vec![4], octets("x"), octets("y")].concat());
            let length = match curve {
                Curve::P256 => 65,
                Curve::P384 => 97,
                Curve::P521 => 133,
            };
            assert_eq!(point.len(), length);
        }
        KeyMaterial::Ed25519 { x } => {
            assert_eq!((text("kty"), text("crv")), (Some("OKP"), Some("Ed25519")));
            assert_eq!((x.len(), x), (32, &octets("x")));
        }
    }
    for algorithm in Algorithm::ALL
        .into_iter()
        .filter(|algorithm| key.fits(*algorithm))
    {
        assert!(!algorithm.is_hmac(), "a public key is never an HMAC secret");
        assert!(
            key.algorithm.is_none_or(|only| only == algorithm),
            "{algorithm} is not the key's"
        );
    }
}

fn assert_verifying(written: &Value) {
    let is_unset = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    assert!(
        written.get("d").is_none_or(is_unset),
        "a private key is used"
    );
    assert!(
        written
            .get("use")
            .is_none_or(|purpose| purpose == "sig" || is_unset(purpose)),
        "{written} is not for signatures"
    );
    let operations = written
        .get("key_ops")
        .filter(|operations| !is_unset(operations))
        .map(|operations| operations.to_string());
    assert!(
        operations.is_none_or(|operations| operations.contains("\"verify\"")),
        "{written} is not for verifying"
    );
}

fn name(curve: Curve) -> &'static str {
    match curve {
        Curve::P256 => "P-256",
        Curve::P384 => "P-384",
        Curve::P521 => "P-521",
    }
}
