//! Malformed tokens: other serialisations, missing parts, duplicate members, deep nesting (R20, R22,
//! RFC 7515 §5.2).

use std::time::{Duration, Instant};

use super::*;

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn other_serialisations_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let valid = test_bed.token("");
    let parts: Vec<_> = valid.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    let flattened =
        json!({ "payload": payload, "protected": header, "signature": signature }).to_string();
    let general = json!({
        "payload": payload,
        "signatures": [{ "protected": header, "header": { "kid": "first" }, "signature": signature }],
    })
    .to_string();
    let jwe = |header: &str| {
        format!(
            "{}.{payload}.AAAAAAAAAAAAAAAA.{payload}.{signature}",
            base64url(header)
        )
    };
    assert_refusals(
        &test_bed,
        [
            ("flattened JSON", flattened.clone(), INVALID_REQUEST),
            ("general JSON", general.clone(), INVALID_REQUEST),
            (
                "flattened JSON in base64url",
                base64url(&flattened),
                INVALID_TOKEN,
            ),
            (
                "general JSON in base64url",
                base64url(&general),
                INVALID_TOKEN,
            ),
            (
                "flattened JSON as a payload",
                format!("{header}.{}.{signature}", base64url(&flattened)),
                INVALID_TOKEN,
            ),
            (
                "general JSON as a header",
                format!("{}.{payload}.{signature}", base64url(&general)),
                INVALID_TOKEN,
            ),
            (
                "a token in a token",
                test_bed
                    .key
                    .seal(&format!("{header}.{}", base64url(&valid))),
                INVALID_TOKEN,
            ),
            (
                "a token as a text",
                test_bed
                    .key
                    .seal(&format!("{header}.{}", base64url(format!("\"{valid}\"")))),
                INVALID_TOKEN,
            ),
            (
                "JWE",
                jwe(r#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"first"}"#),
                INVALID_TOKEN,
            ),
            (
                "JWE with a key of its own",
                jwe(r#"{"alg":"dir","enc":"A128GCM","cty":"JWT"}"#),
                INVALID_TOKEN,
            ),
            (
                "JWE with alg ES256",
                jwe(r#"{"alg":"ES256","enc":"A128GCM","typ":"at+jwt","kid":"first"}"#),
                INVALID_TOKEN,
            ),
            (
                "JWE header on three parts",
                test_bed.key.sign(r#"{"alg":"dir","enc":"A128GCM"}"#, "{}"),
                INVALID_TOKEN,
            ),
            ("two tokens", format!("{valid},{valid}"), INVALID_REQUEST),
            (
                "two tokens, a space between",
                format!("{valid} {valid}"),
                INVALID_REQUEST,
            ),
            ("quoted", format!("\"{valid}\""), INVALID_REQUEST),
            ("named", format!("token={valid}"), INVALID_REQUEST),
            ("CBOR", "2D3DhEOhASZYIg".to_owned(), INVALID_TOKEN),
        ]
        .map(|(name, token, expected)| (name.to_owned(), token, expected)),
    );
}

#[test]
fn token_with_missing_or_extra_parts_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let valid = test_bed.token("");
    let parts: Vec<_> = valid.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    assert_refused(
        &test_bed,
        [
            ("no dot, header", header.to_owned()),
            ("no dot, payload", payload.to_owned()),
            ("no dot, all of it", valid.replace('.', "")),
            ("one dot, no signature", format!("{header}.{payload}")),
            ("one dot, no payload", format!("{header}.{signature}")),
            ("one dot, no header", format!("{payload}.{signature}")),
            ("two dots, no signature", format!("{header}.{payload}.")),
            ("two dots, no payload", format!("{header}..{signature}")),
            (
                "two dots, no payload, signed so",
                test_bed.key.seal(&format!("{header}.")),
            ),
            ("two dots, no header", format!(".{payload}.{signature}")),
            (
                "two dots, no header, signed so",
                test_bed.key.seal(&format!(".{payload}")),
            ),
            (
                "two dots in another order",
                format!("{payload}.{header}.{signature}"),
            ),
            ("two dots alone", "..".to_owned()),
            ("one dot alone", ".".to_owned()),
            ("three dots, one before", format!(".{valid}")),
            ("three dots, one at the end", format!("{valid}.")),
            (
                "three dots, two in the middle",
                format!("{header}..{payload}.{signature}"),
            ),
            (
                "three dots, signed over three parts",
                test_bed.key.seal(&format!("{header}.{payload}.{payload}")),
            ),
            (
                "four dots",
                format!("{header}.{payload}.{payload}.{payload}.{signature}"),
            ),
            ("five dots", format!("{valid}.{valid}")),
        ]
        .map(|(name, token)| (name.to_owned(), token)),
    );
}

#[test]
fn flood_of_dots_is_refused_in_linear_time() {
    let test_bed = TestBed::toml(WIDE, "", "", ROUTES);
    let valid = test_bed.token("");
    let began = Instant::now();
    let mut floods = Vec::new();
    for dots in [10_000, 400_000] {
        let flood = ".".repeat(dots);
        floods.push((format!("{dots} dots"), flood.clone()));
        floods.push((
            format!("{dots} dots after a token"),
            format!("{valid}{flood}"),
        ));
        floods.push((
            format!("{dots} dots before a token"),
            format!("{flood}{valid}"),
        ));
        floods.push((format!("{} parts", dots / 4), "e30.".repeat(dots / 4)));
    }
    assert_refused(&test_bed, floods);
    // Quadratic work would take 10^11 steps here.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r22_duplicate_member_is_refused_at_every_depth() {
    let test_bed = TestBed::routes(ROUTES);
    let mut tokens = Vec::new();
    for more in [
        r#","alg":"ES256""#,
        r#","alg":"none""#,
        r#","\u0061lg":"ES256""#,
        r#","kid":"first""#,
        r#","kid":"other""#,
        r#","k\u0069d":"first""#,
        r#","typ":"at+jwt""#,
        r#","x":1,"x":1"#,
        r#","":1,"":1"#,
        r#","jwk":{"kty":"EC","kty":"EC"}"#,
        r#","x":[[{"y":{"z":1,"z":2}}]]"#,
        r#","x\n":1,"x\u000a":2"#,
    ] {
        tokens.push((
            format!("header {more}"),
            test_bed.key.sign(&header(more), &claims(&test_bed, "")),
        ));
    }
    let deep = format!(
        r#","x":{}{{"y":1,"y":2}}{}"#,
        "[{\"a\":".repeat(50),
        "}]".repeat(50)
    );
    for more in [
        r#","iss":"https://other.test""#,
        r#","aud":"https://api.test""#,
        r#","aud":["https://api.test"]"#,
        r#","a\u0075d":"https://other.test""#,
        r#","exp":1800000600"#,
        r#","exp":9999999999"#,
        r#","sub":"root""#,
        r#","scope":"*""#,
        r#","client_id":null"#,
        r#","x":1,"x":1"#,
        r#","x":null,"x":null"#,
        r#","":1,"":1"#,
        r#","\u00e9":1,"é":1"#,
        r#","\ud83d\udd11":1,"🔑":1"#,
        r#","x":{"y":1,"y":1}"#,
        r#","x":[1,[2,[{"y":1,"y":1}]]]"#,
        r#","x":{"y":{"z":{"aud":1,"aud":1}}}"#,
        r#","x":[{"y":1},{"y":1,"y":1}]"#,
        &deep,
    ] {
        tokens.push((
            format!("claims {more:.60}"),
            test_bed.key.sign(&header(""), &claims(&test_bed, more)),
        ));
    }
    let first = format!(
        "{{\"exp\":1800000600,{}",
        claims(&test_bed, "").strip_prefix('{').expect("an object")
    );
    tokens.push((
        "the first of two".to_owned(),
        test_bed.key.sign(&header(""), &first),
    ));
    assert_refused(&test_bed, tokens);
    // The same name may occur once in each of two objects.
    let apart = claims(&test_bed, r#","x":{"exp":1},"y":[{"z":1},{"z":1}]"#);
    assert_eq!(
        test_bed
            .get("/things", Some(&test_bed.key.sign(&header(""), &apart)))
            .status,
        200
    );
}

#[test]
fn deep_nesting_is_refused() {
    let test_bed = TestBed::toml(WIDE, "", "", ROUTES);
    let mut tokens = Vec::new();
    for (name, open, close) in [
        ("arrays", "[", "]"),
        ("objects", "{\"x\":", "}"),
        ("both", "[{\"x\":", "}]"),
    ] {
        for depth in [200, 10_000] {
            let end = if open.ends_with(':') { "0" } else { "" };
            let (opened, closed) = (open.repeat(depth), close.repeat(depth));
            for (form, value) in [
                ("closed", format!("{opened}{end}{closed}")),
                ("left open", opened),
            ] {
                let more = format!(",\"x\":{value}");
                let name = format!("{name}, {depth} deep, {form}");
                tokens.push((
                    format!("{name}, in the claims"),
                    test_bed.key.sign(&header(""), &claims(&test_bed, &more)),
                ));
                tokens.push((
                    format!("{name}, in the header"),
                    test_bed.key.sign(&header(&more), &claims(&test_bed, "")),
                ));
                tokens.push((
                    format!("{name}, as the claims"),
                    test_bed.key.sign(&header(""), &value),
                ));
                tokens.push((
                    format!("{name}, as the header"),
                    test_bed.key.sign(&value, &claims(&test_bed, "")),
                ));
            }
        }
    }
    assert_refused(&test_bed, tokens);
}
