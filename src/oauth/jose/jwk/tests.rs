use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth::jose::{Jwks, JwksError};

#[test]
fn usable_keys_are_parsed_with_kid_and_alg() {
    for (key, kid, algorithm) in [
        (rsa(256), None, None),
        (
            with(rsa(256), "kid", json!("a/../b\n")),
            Some("a/../b\n"),
            None,
        ),
        (
            with(rsa(256), "alg", json!("PS512")),
            None,
            Some(Algorithm::PS512),
        ),
        (
            with(
                with(rsa(256), "use", json!("sig")),
                "key_ops",
                json!(["verify", "sign"]),
            ),
            None,
            None,
        ),
        (with(rsa(256), "x5c", json!(["AA"])), None, None),
        (with(rsa(256), "e", json!("Aw")), None, None),
        (rsa(1024), None, None),
        (ec("P-256", 32), None, None),
        (
            with(ec("P-384", 48), "alg", json!("ES384")),
            None,
            Some(Algorithm::ES384),
        ),
        (
            with(ed25519(), "alg", json!("EdDSA")),
            None,
            Some(Algorithm::EdDSA),
        ),
        (
            with(ed25519(), "alg", json!("Ed25519")),
            None,
            Some(Algorithm::EdDSA),
        ),
    ] {
        let jwk = parse(&key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(
            (jwk.kid.as_deref(), jwk.algorithm),
            (kid, algorithm),
            "{key}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn unusable_keys_are_refused() {
    let bad = |member| JwkError::BadMember { member };
    let unsupported = |member| JwkError::Unsupported { member };
    let purpose = |member| JwkError::NotForSignatures { member };
    let number = |member| JwkError::RsaNumber { member };
    for (key, expected) in [
        (json!([]), JwkError::NotAnObject),
        (json!(null), JwkError::NotAnObject),
        (json!({}), bad("kty")),
        (json!({"kty": 1}), bad("kty")),
        (json!({"kty": "rsa"}), unsupported("kty")),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), JwkError::Symmetric),
        (
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            JwkError::Symmetric,
        ),
        (with(rsa(256), "d", json!("AQ")), JwkError::Private),
        (with(ed25519(), "d", json!("AQ")), JwkError::Private),
        (with(rsa(256), "use", json!("enc")), purpose("use")),
        (with(rsa(256), "use", json!("")), purpose("use")),
        (with(rsa(256), "use", json!(["sig"])), purpose("use")),
        (
            with(rsa(256), "key_ops", json!(["sign", "encrypt"])),
            purpose("key_ops"),
        ),
        (
            with(rsa(256), "key_ops", json!("verify")),
            purpose("key_ops"),
        ),
        (with(rsa(256), "kid", json!(1)), bad("kid")),
        (with(rsa(256), "alg", json!(256)), bad("alg")),
        (
            with(rsa(256), "alg", json!("ES256")),
            JwkError::AlgorithmMismatch,
        ),
        (
            with(rsa(256), "alg", json!("HS256")),
            JwkError::AlgorithmMismatch,
        ),
        (
            with(rsa(256), "alg", json!("RSA-OAEP")),
            JwkError::AlgorithmMismatch,
        ),
        (
            with(rsa(256), "alg", json!("none")),
            JwkError::AlgorithmMismatch,
        ),
        (
            with(ec("P-256", 32), "alg", json!("ES384")),
            JwkError::AlgorithmMismatch,
        ),
        (
            with(ed25519(), "alg", json!("ES256")),
            JwkError::AlgorithmMismatch,
        ),
        (rsa(128), JwkError::RsaSize { bits: 1024 }),
        (rsa(255), JwkError::RsaSize { bits: 2040 }),
        (rsa(1025), JwkError::RsaSize { bits: 8200 }),
        (
            with(rsa(256), "n", json!("")),
            JwkError::RsaSize { bits: 0 },
        ),
        (
            with(rsa(256), "n", json!("AAAA")),
            JwkError::RsaSize { bits: 0 },
        ),
        (with(rsa(256), "n", json!(null)), bad("n")),
        (with(rsa(256), "n", json!("xcXF+/8")), bad("n")),
        (with(rsa(256), "n", base64url(&even(256))), number("n")),
        (with(rsa(256), "e", json!("AQ")), number("e")),
        (with(rsa(256), "e", json!("Ag")), number("e")),
        (with(rsa(256), "e", json!("AQAA")), number("e")),
        (with(rsa(256), "e", json!("")), number("e")),
        (with(rsa(256), "e", json!("AA")), number("e")),
        (with(rsa(256), "e", json!("AQAAAAE")), number("e")),
        (with(rsa(256), "e", json!("AQAB==")), bad("e")),
        (with(rsa(256), "e", json!(65537)), bad("e")),
        (ec("P-256", 27), bad("x")),
        (ec("P-256", 33), bad("x")),
        (ec("P-384", 32), bad("x")),
        (with(ec("P-256", 32), "y", base64url(&[0; 33])), bad("y")),
        (with(ec("P-256", 32), "y", json!(null)), bad("y")),
        (ec("P-521", 61), bad("x")),
        (ec("P-521", 67), bad("x")),
        (with(rsa(256), "d", json!(false)), JwkError::Private),
        (with(rsa(256), "key_ops", json!([null])), purpose("key_ops")),
        (ec("secp256k1", 32), unsupported("crv")),
        (ec("Ed25519", 32), unsupported("crv")),
        (with(ed25519(), "crv", json!("X25519")), unsupported("crv")),
        (with(ed25519(), "crv", json!("Ed448")), unsupported("crv")),
        (with(ed25519(), "crv", json!("P-256")), unsupported("crv")),
        (with(ed25519(), "x", base64url(&[1; 31])), bad("x")),
        (with(ed25519(), "x", base64url(&[1; 64])), bad("x")),
    ] {
        assert_eq!(parse(&key).err(), Some(expected), "{key}");
    }
}

// .NET serializers write every member of their key type.
#[test]
fn null_and_empty_members_are_absent() {
    for member in [
        "use", "alg", "kid", "d", "k", "oth", "x5c", "key_ops", "x5u",
    ] {
        for unset in [json!(null), json!([])] {
            assert_eq!(
                parse(&with(rsa(256), member, unset)),
                parse(&rsa(256)),
                "{member}"
            );
        }
    }
    let missing = JwkError::BadMember { member: "e" };
    assert_eq!(parse(&with(rsa(256), "e", json!([]))), Err(missing));
}

#[test]
fn points_of_small_order_are_refused_in_every_encoding() {
    let field = |first: u8| [&[first][..], &[0xff; 30], &[0x7f]].concat();
    let small = |first: u8| [&[first][..], &[0; 31]].concat();
    for (y, refused) in [
        (small(0), true),
        (small(1), true),
        (small(2), false),
        (field(0xeb), false),
        (field(0xec), true),
        (field(0xed), true),
        (field(0xee), true),
        (field(0xef), false),
        (decoded("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"), true),
        (decoded("xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"), true),
        (
            decoded("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AQ"),
            false,
        ),
        (
            decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            false,
        ),
    ] {
        for sign in [0, 0x80] {
            let mut x = y.clone();
            x[31] |= sign;
            let found = parse(&with(ed25519(), "x", base64url(&x))).err();
            assert_eq!(found, refused.then_some(JwkError::SmallOrder), "{x:x?}");
        }
    }
}

#[test]
fn coordinates_without_leading_zeros_or_with_more_are_the_same_key() {
    for (curve, length) in [("P-256", 32), ("P-384", 48), ("P-521", 66)] {
        for zeros in 0..=4 {
            let number = vec![7; length - zeros];
            let whole = [&vec![0; zeros], &*number].concat();
            let wider = [&[0][..], &whole].concat();
            let key = |x: &[u8]| parse(&with(ec(curve, length), "x", base64url(x)));
            assert!(key(&whole).is_ok(), "{curve} {zeros}");
            assert_eq!(key(&number), key(&whole), "{curve} {zeros}");
            assert_eq!(key(&wider), key(&whole), "{curve} {zeros}");
        }
    }
    // The full length needs no tolerance, however many of its bytes are zero.
    let small = [vec![0; 31], vec![7]].concat();
    assert!(parse(&with(ec("P-256", 32), "x", base64url(&small))).is_ok());
    // The bytes of an Ed25519 key are no number.
    for length in [31, 33] {
        let mut x = vec![7; length];
        x[0] = 0;
        let found = parse(&with(ed25519(), "x", base64url(&x))).err();
        assert_eq!(found, Some(JwkError::BadMember { member: "x" }), "{length}");
    }
}

#[test]
fn leading_zeros_are_tolerated_and_do_not_count_as_bits() {
    let padded = [&[0][..], &modulus(256)].concat();
    assert_eq!(
        parse(&with(rsa(256), "n", base64url(&padded))),
        parse(&rsa(256))
    );
    assert_eq!(
        parse(&with(rsa(256), "e", json!("AAEAAQ"))),
        parse(&rsa(256))
    );
    let short = [&[0; 32][..], &modulus(224)].concat();
    assert_eq!(
        parse(&with(rsa(256), "n", base64url(&short))),
        Err(JwkError::RsaSize { bits: 1792 })
    );
    let mut one_bit_short = modulus(256);
    one_bit_short[0] = 0x7f;
    assert_eq!(
        parse(&with(rsa(256), "n", base64url(&one_bit_short))),
        Err(JwkError::RsaSize { bits: 2047 })
    );
}

#[test]
fn key_fits_only_algorithms_of_its_type() {
    use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    for (key, fitting) in [
        (rsa(256), &[RS256, RS384, RS512, PS256, PS384, PS512][..]),
        (with(rsa(256), "alg", json!("RS256")), &[RS256]),
        (ec("P-256", 32), &[ES256]),
        (ec("P-384", 48), &[ES384]),
        (ec("P-521", 66), &[ES512]),
        (ed25519(), &[EdDSA]),
    ] {
        let jwk = parse(&key).expect("a usable key");
        let found: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| jwk.fits(*algorithm))
            .collect();
        assert_eq!(found, fitting, "{key}");
    }
}

proptest! {
    #[test]
    fn parsing_a_jwks_never_panics(document in any::<Vec<u8>>(), n in any::<Vec<u8>>(), e in any::<Vec<u8>>()) {
        let _ = Jwks::parse(&document);
        let _ = parse(&json!({"kty": "RSA", "n": base64url(&n), "e": base64url(&e)}));
        let _ = parse(&json!({"kty": "EC", "crv": "P-256", "x": base64url(&n), "y": base64url(&e)}));
    }
}

fn parse(key: &Value) -> Result<Jwk, JwkError> {
    let document = json!({"keys": [key]}).to_string();
    match Jwks::parse(document.as_bytes()) {
        Ok(mut jwks) => Ok(jwks.keys.remove(0)),
        Err(JwksError::NoUsableKey { skipped }) => Err(skipped[0].error),
        Err(error @ JwksError::NotAJwks { .. }) => panic!("{document}: {error}"),
    }
}

fn rsa(length: usize) -> Value {
    json!({"kty": "RSA", "n": base64url(&modulus(length)), "e": "AQAB"})
}

fn ec(curve: &str, length: usize) -> Value {
    json!({"kty": "EC", "crv": curve, "x": base64url(&vec![1; length]), "y": base64url(&vec![2; length])})
}

fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&[1; 32])})
}

fn modulus(length: usize) -> Vec<u8> {
    vec![0xc5; length]
}

fn even(length: usize) -> Vec<u8> {
    vec![0xc4; length]
}

fn base64url(bytes: &[u8]) -> Value {
    URL_SAFE_NO_PAD.encode(bytes).into()
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn with(mut key: Value, member: &str, value: Value) -> Value {
    key[member] = value;
    key
}
