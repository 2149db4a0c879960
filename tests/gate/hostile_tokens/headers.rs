//! JOSE headers that try to choose how the token is verified (R20, R21, RFC 8725 §2.1, §3.1,
//! §3.10).

use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use rcgen::generate_simple_self_signed;
use scopegate::oauth::jose::{Algorithm as JoseAlgorithm, Jwks, TokenShape, classify};
use scopegate::verify::jwt::{KeySet, SignatureError};

use super::*;
use harness::{Reply, Server};

#[test]
fn r20_unsigned_token_is_refused_in_every_spelling_of_alg() {
    let test_bed = TestBed::routes(ROUTES);
    let mut tokens = Vec::new();
    for algorithm in [
        "\"none\"",
        "\"None\"",
        "\"NONE\"",
        "\"nOnE\"",
        "\"NoNe\"",
        "\"\\u006eone\"",
        "\"none \"",
        "\" none\"",
        "\"none\\u0000\"",
        "\"no\\u006ee\\n\"",
        "\"\u{ff4e}\u{ff4f}\u{ff4e}\u{ff45}\"",
        "\"n\u{43e}ne\"",
        "\"no\u{200b}ne\"",
        "\"\"",
        "\"null\"",
        "\"false\"",
        "\"ES256,none\"",
        "\"es256\"",
        "\"ES256 \"",
        "\"ES256K\"",
        "\"ES512\"",
        "\"RS1\"",
        "\"dir\"",
        "null",
        "false",
        "0",
        "[]",
        "[\"none\"]",
        "[\"ES256\"]",
        "{}",
        "{\"alg\":\"ES256\"}",
    ] {
        let header = format!(r#"{{"alg":{algorithm},"typ":"at+jwt","kid":"first"}}"#);
        let message = format!("{}.{}", base64url(header), base64url(claims(&test_bed, "")));
        tokens.push((
            format!("{algorithm} without a signature"),
            format!("{message}."),
        ));
        tokens.push((
            format!("{algorithm} with zeros"),
            format!("{message}.{}", base64url([0; 64])),
        ));
        tokens.push((
            format!("{algorithm} with a valid ES256 signature"),
            test_bed.key.seal(&message),
        ));
    }
    let without_alg = test_bed
        .key
        .sign(r#"{"typ":"at+jwt","kid":"first"}"#, &claims(&test_bed, ""));
    tokens.push(("no alg".to_owned(), without_alg));
    assert_refused(&test_bed, tokens);
}

#[test]
fn r20_public_key_in_any_form_is_not_a_shared_secret() {
    let test_bed = TestBed::routes(ROUTES);
    let keys = [
        Key::rsa(Some("rsa"), Algorithm::RS256),
        Key::es256("ec"),
        Key::ed25519("ed"),
    ];
    test_bed
        .issuer
        .publish(&[&test_bed.key, &keys[0], &keys[1], &keys[2]]);
    let set = json!({ "keys": keys.each_ref().map(Key::jwk) }).to_string();
    // The JWKS is fetched: each key verifies its own tokens.
    for key in &keys {
        assert_eq!(
            test_bed
                .get("/_ready", Some(&key.token(&test_bed.issuer.claims(""))))
                .status,
            200,
            "{}",
            key.jwk()
        );
    }
    // Keys without `alg` are tried as well.
    let bare = keys.each_ref().map(|key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().expect("an object").remove("alg");
        jwk
    });
    let bare = Jwks::parse(json!({ "keys": bare }).to_string().as_bytes()).expect("a set of keys");
    let jwks = Jwks::parse(set.as_bytes()).expect("a set of keys");
    let mut tokens = Vec::new();
    for key in &keys {
        let jwk = key.jwk();
        for (form, secret) in secret_forms(&jwk, &set) {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header =
                    json!({ "alg": format!("{algorithm:?}"), "typ": "at+jwt", "kid": jwk["kid"] });
                let token =
                    Key::hmac(&secret, algorithm).token_with(&header, &test_bed.issuer.claims(""));
                let name = format!("{algorithm:?} with the {} key as {form}", jwk["kty"]);
                // Refused even with every algorithm allowed, which gateway.toml cannot express.
                let Ok(TokenShape::Jwt(jws)) = classify(&token) else {
                    panic!("{name}: no JWT")
                };
                for jwks in [&jwks, &bare] {
                    let verdict = KeySet::new(jwks, &JoseAlgorithm::ALL).verify(&jws);
                    assert_eq!(verdict, Err(SignatureError::AlgorithmNotAllowed), "{name}");
                }
                tokens.push((name, token));
            }
        }
    }
    assert_eq!(tokens.len(), 90);
    assert_refused(&test_bed, tokens);
}

/// All forms of a public key that an attacker could use as an HMAC secret.
fn secret_forms(jwk: &Value, set: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (der, raw) = match jwk["kty"].as_str().expect("a kind") {
        "RSA" => {
            let numbers = [integer(&member(jwk, "n")), integer(&member(jwk, "e"))].concat();
            // 1.2.840.113549.1.1.1 and NULL.
            let kind = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
            (public_key(kind, &der(0x30, &numbers)), der(0x30, &numbers))
        }
        "EC" => {
            let point = [&[4][..], &member(jwk, "x"), &member(jwk, "y")].concat();
            // 1.2.840.10045.2.1 on 1.2.840.10045.3.1.7.
            let kind =
                b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
            (public_key(kind, &point), point)
        }
        // 1.3.101.112.
        _ => (
            public_key(b"\x06\x03\x2b\x65\x70", &member(jwk, "x")),
            member(jwk, "x"),
        ),
    };
    let number = if jwk["kty"] == "RSA" { "n" } else { "x" };
    let lines: Vec<_> = STANDARD
        .encode(&der)
        .as_bytes()
        .chunks(64)
        .map(<[u8]>::to_vec)
        .collect();
    let pem = [
        b"-----BEGIN PUBLIC KEY-----\n",
        &*lines.join(&b'\n'),
        b"\n-----END PUBLIC KEY-----\n",
    ]
    .concat();
    vec![
        (
            "PEM without its last line end",
            pem.trim_ascii_end().to_vec(),
        ),
        (
            "PEM on one line",
            pem.iter().copied().filter(|byte| *byte != b'\n').collect(),
        ),
        ("PEM", pem),
        ("DER", der),
        ("key bits of the DER", raw),
        ("JWK", jwk.to_string().into_bytes()),
        ("set of keys", set.as_bytes().to_vec()),
        ("number", member(jwk, number)),
        (
            "text of a number",
            jwk[number].as_str().expect("a text").into(),
        ),
        ("nothing", Vec::new()),
    ]
}

fn public_key(kind: &[u8], key: &[u8]) -> Vec<u8> {
    der(
        0x30,
        &[der(0x30, kind), der(3, &[&[0], key].concat())].concat(),
    )
}

fn integer(number: &[u8]) -> Vec<u8> {
    der(
        2,
        &[if number[0] < 0x80 { &[][..] } else { &[0] }, number].concat(),
    )
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length = match content.len() {
        ..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r21_embedded_key_is_never_used_or_fetched() {
    let test_bed = TestBed::routes(ROUTES);
    let certified = generate_simple_self_signed(["id.test".to_owned()]).expect("a certificate");
    let unknown = Key::es256("unknown");
    let canary = Server::start({
        let set = json!({ "keys": [unknown.jwk()] });
        move |_| Reply::json(&set)
    });
    let url = format!("http://{}/jwks", canary.address);
    let with_kid = |kid: &str| {
        let mut jwk = unknown.jwk();
        jwk["kid"] = json!(kid);
        jwk
    };
    let x5c = STANDARD.encode(certified.cert.der());
    let secret = Key::hs256(&[7; 32]);
    let certificate = Key::es256_of(&certified.signing_key.serialize_der());
    let mut tokens = Vec::new();
    for (name, key, more) in [
        ("jwk", &unknown, json!({ "jwk": unknown.jwk() })),
        (
            "jwk of our kid",
            &unknown,
            json!({ "jwk": with_kid("first") }),
        ),
        (
            "jwk as a text",
            &unknown,
            json!({ "jwk": unknown.jwk().to_string() }),
        ),
        ("jwk in a list", &unknown, json!({ "jwk": [unknown.jwk()] })),
        (
            "jwk of the issuer's own key",
            &unknown,
            json!({ "jwk": test_bed.key.jwk() }),
        ),
        (
            "jwks",
            &unknown,
            json!({ "jwks": { "keys": [with_kid("first")] } }),
        ),
        (
            "a secret in jwk",
            &secret,
            json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": base64url([7; 32]) } }),
        ),
        ("jku", &unknown, json!({ "jku": url })),
        (
            "jku with the issuer's URL as userinfo",
            &unknown,
            json!({ "jku": format!("{}@{}/jwks", test_bed.issuer.url, canary.address) }),
        ),
        ("x5u", &unknown, json!({ "x5u": url })),
        (
            "jku, x5u and jwk",
            &unknown,
            json!({ "jku": url, "x5u": url, "jwk": with_kid("first") }),
        ),
        ("x5c", &certificate, json!({ "x5c": [x5c] })),
        ("x5c as a text", &certificate, json!({ "x5c": x5c })),
        (
            "x5c and x5t",
            &certificate,
            json!({ "x5c": [x5c], "x5t": "AA", "x5t#S256": "AA" }),
        ),
        (
            "iss in the header",
            &unknown,
            json!({ "iss": format!("http://{}", canary.address) }),
        ),
    ] {
        for kid in [json!("first"), json!("unknown"), json!(url), Value::Null] {
            let mut header = json!({ "alg": "ES256", "typ": "at+jwt" });
            let members = more.as_object().expect("an object").clone();
            header.as_object_mut().expect("an object").extend(members);
            if !kid.is_null() {
                header["kid"] = kid.clone();
            }
            tokens.push((
                format!("{name}, kid {kid}"),
                key.token_with(&header, &test_bed.issuer.claims("")),
            ));
        }
    }
    // Claims may name keys and URLs too.
    for claim in ["jwk", "jku", "x5u", "jwks_uri", "sub_jwk"] {
        let mut claims = test_bed.issuer.claims("");
        claims[claim] = if claim.ends_with("jwk") {
            unknown.jwk()
        } else {
            json!(url)
        };
        tokens.push((format!("{claim} among the claims"), unknown.token(&claims)));
    }
    // The keys of an unconfigured issuer are not fetched either.
    let mut foreign = test_bed.issuer.claims("");
    foreign["iss"] = json!(format!("http://{}", canary.address));
    tokens.push(("an unconfigured issuer".to_owned(), unknown.token(&foreign)));
    assert_refused(&test_bed, tokens);
    assert_eq!(canary.connections(), 0);
    // Unused members do not invalidate a token that a configured key signed.
    let carrying = header(&format!(
        r#","jwk":{},"jku":"{url}","x5u":"{url}","x5c":["{x5c}"]"#,
        unknown.jwk()
    ));
    assert_eq!(
        test_bed
            .get(
                "/things",
                Some(&test_bed.key.sign(&carrying, &claims(&test_bed, "")))
            )
            .status,
        200
    );
    assert_eq!(canary.connections(), 0);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r21_kid_is_only_compared() {
    let test_bed = TestBed::toml(WIDE, "", "", ROUTES);
    let canary = Server::start(|_| Reply::status(404));
    let unknown = Key::es256("first");
    // A program that opened `kid` as a file would find it empty: an HMAC secret that an attacker
    // knows.
    let empty_secret = Key::hs256(b"");
    let mut tokens = Vec::new();
    for kid in [
        json!("../../dev/null"),
        json!("/dev/null"),
        json!("file:///dev/null"),
        json!(format!("http://{}/first", canary.address)),
        json!("' OR 1=1--"),
        json!("first' OR '1'='1"),
        json!("first' UNION SELECT 'AA"),
        json!("$(first)"),
        json!("{{first}}"),
        json!("fir%73t"),
        json!("%00"),
        json!("*"),
        json!("f.*"),
        json!("first,second"),
        json!("first first"),
        json!("x".repeat(64 * 1024)),
        json!("first".repeat(13_108)),
        json!("F\u{130}RST"),
        json!("f\u{131}rst"),
        json!("\u{fb01}rst"),
        json!("first\u{301}"),
        json!("\u{202e}tsrif"),
        json!("\u{1f511}"),
        json!("first\u{0}"),
        json!("\u{0}first"),
        json!("\u{0}"),
        json!("first\r\nX-Evil: 1"),
        json!(" first"),
        json!("first "),
        json!("First"),
        json!("firs"),
        json!("firstfirst"),
        json!(""),
        json!(" "),
        json!(0),
        json!(1.5),
        json!(true),
        json!(null),
        json!([]),
        json!(["first"]),
        json!({}),
        json!({ "first": "first" }),
    ] {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
        let name = format!("{:.40}", kid.to_string());
        // A valid signature shows that the `kid` alone is refused.
        tokens.push((
            format!("{name}, the configured key"),
            test_bed
                .key
                .token_with(&header, &test_bed.issuer.claims("")),
        ));
        tokens.push((
            format!("{name}, an unknown key"),
            unknown.token_with(&header, &test_bed.issuer.claims("")),
        ));
        let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid });
        tokens.push((
            format!("{name}, an empty secret"),
            empty_secret.token_with(&header, &test_bed.issuer.claims("")),
        ));
    }
    assert_refused(&test_bed, tokens);
    assert_eq!(canary.connections(), 0);
}

#[test]
fn kid_of_64_kib_exceeds_the_default_token_size() {
    let test_bed = TestBed::routes(ROUTES);
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "x".repeat(64 * 1024) });
    let token = test_bed
        .key
        .token_with(&header, &test_bed.issuer.claims(""));
    assert_refusals(&test_bed, [("64 KiB".to_owned(), token, TOO_LARGE)]);
}
