//! Entries of a JWKS that must never verify a signature (R23).

use jsonwebtoken::Algorithm;
use scopegate::oauth::jose::{Algorithm as JoseAlgorithm, Jwks, TokenShape, classify};
use scopegate::verify::jwt::KeySet;

use super::super::*;
use super::{Published, claims, with};

const ALGORITHMS: [JoseAlgorithm; 5] = [
    JoseAlgorithm::RS256,
    JoseAlgorithm::PS256,
    JoseAlgorithm::ES256,
    JoseAlgorithm::ES384,
    JoseAlgorithm::EdDSA,
];

/// A token with this `kid` and `alg`, whose signature `signature` computes.
fn signed(algorithm: &str, kid: &str, signature: impl FnOnce(&str) -> Vec<u8>) -> String {
    let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": kid });
    let message = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims().to_string())
    );
    format!("{message}.{}", base64url(signature(&message)))
}

/// The padded digest of an RS256 signature of a 2048-bit key (RFC 8017 §9.2). With `e` = 1, it is
/// the signature.
fn padded(message: &str) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message.as_bytes());
    // DigestInfo of SHA-256.
    let info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    [
        &[0, 1][..],
        &[0xff; 256 - 3 - 19 - 32],
        &[0],
        info,
        digest.as_ref(),
    ]
    .concat()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r23_unsuitable_key_never_verifies_and_a_suitable_one_of_its_set_does() {
    let suitable = Key::es256("suitable");
    let [ec, ed, rsa] = [
        Key::es256("x"),
        Key::ed25519("x"),
        Key::rsa(Some("x"), Algorithm::RS256),
    ];
    let by = |key: &Key, algorithm: &str, kid: &str| {
        key.token_with(
            &json!({ "alg": algorithm, "typ": "at+jwt", "kid": kid }),
            &claims(),
        )
    };
    let modulus = member(&rsa.jwk(), "n");
    let huge = [&[0xc5][..], &[0x5c; 2046], &[0xc5]].concat();
    let even = [&modulus[..255], &[modulus[255] & 0xfe]].concat();
    let point = |x: &[u8], y: &[u8]| json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) });
    // The field prime 2^256 - 2^224 + 2^192 + 2^96 - 1 (SEC 2 §2.4.2), which is congruent to zero.
    let field = bytes("_____wAAAAEAAAAAAAAAAAAAAAD_______________8");
    let mut negative = ec.jwk();
    negative["y"] = json!(base64url(
        [
            &member(&ec.jwk(), "y")[..31],
            &[member(&ec.jwk(), "y")[31] ^ 1]
        ]
        .concat()
    ));
    // A sound key of 1024 bits, and a token that it signed.
    let short = json!({ "kty": "RSA", "e": "AQAB", "n": SHORT_MODULUS });
    let short_token = format!(
        "{}.{}.{SHORT_SIGNATURE}",
        base64url(r#"{"alg":"RS256","typ":"at+jwt","kid":"1024 bits"}"#),
        base64url(r#"{"iss":"https://id.test","aud":"https://api.test","exp":1800000600}"#)
    );
    let secret = Key::hs256(&[7; 32]);
    let rows = [
        ("1024 bits", short, short_token),
        (
            "e = 1",
            with(rsa.jwk(), json!({ "e": "AQ" })),
            signed("RS256", "e = 1", padded),
        ),
        (
            "e = 1, a zero in front",
            with(rsa.jwk(), json!({ "e": "AAE" })),
            signed("RS256", "e = 1, a zero in front", padded),
        ),
        (
            "e = 2",
            with(rsa.jwk(), json!({ "e": "Ag" })),
            signed("RS256", "e = 2", padded),
        ),
        (
            "e = 0",
            with(rsa.jwk(), json!({ "e": "AA" })),
            signed("RS256", "e = 0", |_| vec![1; 256]),
        ),
        (
            "e of 33 bits",
            with(rsa.jwk(), json!({ "e": "AQAAAAE" })),
            signed("RS256", "e of 33 bits", padded),
        ),
        (
            "even modulus",
            with(rsa.jwk(), json!({ "n": base64url(even) })),
            by(&rsa, "RS256", "even modulus"),
        ),
        (
            "modulus 1",
            with(rsa.jwk(), json!({ "n": "AQ" })),
            signed("RS256", "modulus 1", |_| vec![0]),
        ),
        (
            "16384 bits",
            with(rsa.jwk(), json!({ "n": base64url(huge) })),
            signed("RS256", "16384 bits", |_| vec![1; 2048]),
        ),
        (
            "16384 bits of zeros in front",
            {
                with(
                    rsa.jwk(),
                    json!({ "n": base64url([&[0; 1920][..], &modulus[128..]].concat()) }),
                )
            },
            by(&rsa, "RS256", "16384 bits of zeros in front"),
        ),
        (
            "off the curve",
            point(&[1; 32], &[1; 32]),
            signed("ES256", "off the curve", |_| vec![1; 64]),
        ),
        (
            "zero coordinates",
            point(&[0; 32], &[0; 32]),
            signed("ES256", "zero coordinates", |_| vec![0; 64]),
        ),
        (
            "x zero",
            point(&[0; 32], &member(&ec.jwk(), "y")),
            by(&ec, "ES256", "x zero"),
        ),
        (
            "y zero",
            point(&member(&ec.jwk(), "x"), &[0; 32]),
            by(&ec, "ES256", "y zero"),
        ),
        (
            "coordinates of the field's size",
            point(&field, &field),
            signed("ES256", "coordinates of the field's size", |_| vec![1; 64]),
        ),
        ("another y", negative, by(&ec, "ES256", "another y")),
        (
            "compressed point",
            with(ec.jwk(), json!({ "y": null })),
            by(&ec, "ES256", "compressed point"),
        ),
        (
            "x and y exchanged",
            point(&member(&ec.jwk(), "y"), &member(&ec.jwk(), "x")),
            by(&ec, "ES256", "x and y exchanged"),
        ),
        (
            "oct",
            json!({ "kty": "oct", "k": base64url([7; 32]) }),
            by(&secret, "HS256", "oct"),
        ),
        (
            "oct, alg HS256",
            { json!({ "kty": "oct", "k": base64url([7; 32]), "alg": "HS256", "use": "sig" }) },
            by(&secret, "HS256", "oct, alg HS256"),
        ),
        (
            "oct, alg ES256",
            json!({ "kty": "oct", "k": base64url([7; 32]), "alg": "ES256" }),
            by(&secret, "HS256", "oct, alg ES256"),
        ),
        (
            "RSA with k",
            {
                with(
                    rsa.jwk(),
                    json!({ "k": base64url([7; 32]), "alg": "HS256" }),
                )
            },
            by(&secret, "HS256", "RSA with k"),
        ),
        (
            "use enc",
            with(ec.jwk(), json!({ "use": "enc" })),
            by(&ec, "ES256", "use enc"),
        ),
        (
            "use SIG",
            with(ec.jwk(), json!({ "use": "SIG" })),
            by(&ec, "ES256", "use SIG"),
        ),
        (
            "use a list",
            with(ec.jwk(), json!({ "use": ["sig"] })),
            by(&ec, "ES256", "use a list"),
        ),
        (
            "key_ops sign",
            with(ec.jwk(), json!({ "key_ops": ["sign"] })),
            by(&ec, "ES256", "key_ops sign"),
        ),
        (
            "key_ops empty",
            with(ec.jwk(), json!({ "key_ops": [null] })),
            by(&ec, "ES256", "key_ops empty"),
        ),
        (
            "key_ops a text",
            with(ec.jwk(), json!({ "key_ops": "verify" })),
            by(&ec, "ES256", "key_ops a text"),
        ),
        (
            "key_ops encrypt, use sig",
            {
                with(
                    rsa.jwk(),
                    json!({ "use": "sig", "key_ops": ["encrypt", "wrapKey"] }),
                )
            },
            by(&rsa, "RS256", "key_ops encrypt, use sig"),
        ),
        (
            "alg of another size",
            with(ec.jwk(), json!({ "alg": "ES384" })),
            by(&ec, "ES256", "alg of another size"),
        ),
        (
            "alg PS256",
            with(rsa.jwk(), json!({ "alg": "PS256" })),
            by(&rsa, "RS256", "alg PS256"),
        ),
        (
            "alg none",
            with(rsa.jwk(), json!({ "alg": "none" })),
            signed("none", "alg none", |_| Vec::new()),
        ),
        (
            "alg RSA-OAEP",
            with(rsa.jwk(), json!({ "alg": "RSA-OAEP" })),
            by(&rsa, "RS256", "alg RSA-OAEP"),
        ),
        (
            "alg a number",
            with(rsa.jwk(), json!({ "alg": 256 })),
            by(&rsa, "RS256", "alg a number"),
        ),
        (
            "private EC",
            with(ec.jwk(), json!({ "d": base64url([7; 32]) })),
            by(&ec, "ES256", "private EC"),
        ),
        (
            "private RSA",
            with(rsa.jwk(), json!({ "d": base64url([7; 256]) })),
            by(&rsa, "RS256", "private RSA"),
        ),
        (
            "private Ed25519",
            with(ed.jwk(), json!({ "d": base64url([7; 32]) })),
            by(&ed, "EdDSA", "private Ed25519"),
        ),
        (
            "d that is no text",
            with(ed.jwk(), json!({ "d": false })),
            by(&ed, "EdDSA", "d that is no text"),
        ),
        (
            "Ed25519 as X25519",
            with(ed.jwk(), json!({ "crv": "X25519" })),
            by(&ed, "EdDSA", "Ed25519 as X25519"),
        ),
        (
            "Ed25519 as EC",
            with(ed.jwk(), json!({ "kty": "EC" })),
            by(&ed, "EdDSA", "Ed25519 as EC"),
        ),
        (
            "P-256 as P-384",
            with(ec.jwk(), json!({ "crv": "P-384" })),
            by(&ec, "ES256", "P-256 as P-384"),
        ),
        (
            "P-256 as secp256k1",
            with(ec.jwk(), json!({ "crv": "secp256k1" })),
            by(&ec, "ES256", "P-256 as secp256k1"),
        ),
        (
            "kty in small letters",
            with(ec.jwk(), json!({ "kty": "ec" })),
            by(&ec, "ES256", "kty in small letters"),
        ),
        (
            "padded numbers",
            with(rsa.jwk(), json!({ "e": "AQAB==" })),
            by(&rsa, "RS256", "padded numbers"),
        ),
        (
            "a certificate and no numbers",
            json!({ "kty": "RSA", "x5c": ["AA"] }),
            by(&rsa, "RS256", "a certificate and no numbers"),
        ),
    ];
    let mut keys: Vec<Value> = rows
        .iter()
        .map(|(kid, key, _)| with(key.clone(), json!({ "kid": kid })))
        .collect();
    // Entries that are not keys, and the suitable key among them.
    keys.splice(
        7..7,
        [
            json!(null),
            json!(7),
            json!("key"),
            json!([]),
            json!({}),
            suitable.jwk(),
        ],
    );
    let valid = suitable.token(&claims());
    let tokens: Vec<_> = rows
        .into_iter()
        .map(|(kid, _, token)| (kid.to_owned(), token))
        .collect();
    Published::new(&keys, &valid).assert_refused(&tokens, &valid);
}

/// Libraries no longer generate RSA keys below 2048 bits: this one was made for the test, and its
/// private key was discarded.
const SHORT_MODULUS: &str = "\
    tqLUdMYEbXJs7dSWx-O-pcEkVBAb5-dzX-1xkT9n63v0ONBLC-B7Fs9baznMZiW-I3vApng4SNvm7Ng8_RrdFBrvXesWPToz5Yle\
    IfinO-dLtACsi0BGo9ag8AbRhZky8HY4p9ap4FG907FaXk4i_qK0CWCwrTYXnkp9thN7Ask";
const SHORT_SIGNATURE: &str = "\
    FmPq_5hQFO4h8GHH4t0tBYzV9Ee2EUGrOOPyfXBs_PEvGRV7YcJTP-Tm1HxXsmY39LralxaxcczAfZyiRgo7QxgzSAkX4cSSiMgi\
    QZsGYMKMLHNqRLAVeKZhtofAsEuOxyGbdXmllbEHshK7M8lRZp9ku7AAU8ZUDPt9pgTqppA";

// RFC 8032 §5.1.7: for a key of small order, anybody can sign. [S]B = R + [k]A holds for S = 0 and
// R = -[k]A, of which there are at most eight.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r23_ed25519_key_of_small_order_never_verifies() {
    let suitable = Key::ed25519("suitable");
    let small = [
        (
            "the neutral point",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        (
            "the neutral point, signed",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
        ),
        ("zero", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        (
            "zero, signed",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA",
        ),
        ("order 2", "7P_______________________________________38"),
        (
            "order 2, signed",
            "7P________________________________________8",
        ),
        (
            "the field's size",
            "7f_______________________________________38",
        ),
        (
            "the field's size, signed",
            "7f________________________________________8",
        ),
        (
            "the field's size and one",
            "7v_______________________________________38",
        ),
        (
            "the field's size and one, signed",
            "7v________________________________________8",
        ),
        ("order 8", "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"),
        (
            "order 8, signed",
            "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_IU",
        ),
        (
            "another of order 8",
            "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
        ),
        (
            "another of order 8, signed",
            "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o",
        ),
    ];
    let mut verified = Vec::new();
    for (name, x) in small {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "small", "x": x });
        let set = json!({ "keys": [jwk, suitable.jwk()] }).to_string();
        let jwks = Jwks::parse(set.as_bytes()).expect("a suitable key");
        let keys = KeySet::new(&jwks, &ALGORITHMS);
        let header = base64url(r#"{"alg":"EdDSA","kid":"small"}"#);
        for number in 0..64 {
            let message = format!("{header}.{}", base64url(format!("{{\"x\":{number}}}")));
            for (point, r) in small {
                let token = format!(
                    "{message}.{}",
                    base64url([&bytes(r)[..], &[0; 32]].concat())
                );
                let Ok(TokenShape::Jwt(jws)) = classify(&token) else {
                    panic!("no JWT: {token}")
                };
                if keys.verify(&jws).is_ok() {
                    verified.push(format!("{name}, R = {point}"));
                }
            }
        }
        let valid = suitable.token(&claims());
        let Ok(TokenShape::Jwt(jws)) = classify(&valid) else {
            panic!("no JWT: {valid}")
        };
        assert!(
            keys.verify(&jws).is_ok(),
            "{name}: the suitable key of the set"
        );
    }
    verified.dedup();
    assert!(verified.is_empty(), "{verified:#?}");
}
