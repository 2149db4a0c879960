//! Malformed tokens: other serialisations, missing parts, other encodings (R20, R22, RFC 7515 §2
//! and §5.2, RFC 8725 §2.6).

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
            ("three dots, one behind", format!("{valid}.")),
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
            format!("{dots} dots behind a token"),
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

// RFC 8725 §2.6 and RFC 7515 §2: each token has one text. Otherwise a token that is revoked or
// cached by its text would pass in another spelling.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn non_canonical_base64url_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let mut tokens = Vec::new();
    // Question marks produce both characters that differ between base64 and base64url. Spaces leave
    // unused bits after the last byte.
    let parts = [
        with_unused_bits(header(",\"x\":\"??????\"")),
        with_unused_bits(claims(&test_bed, ",\"x\":\"??????\"")),
    ];
    let parts = parts.map(base64url);
    let [valid_header, valid_payload] = &parts;
    let message = format!("{valid_header}.{valid_payload}");
    let valid = signed_with_both_characters(&test_bed, &message);
    for (place, part) in valid.split('.').enumerate() {
        let name = ["header", "payload", "signature"][place];
        let last = place == 2;
        for (how, written, expected) in [
            (
                "a padding of two",
                format!("{part}=="),
                if last { INVALID_TOKEN } else { INVALID_REQUEST },
            ),
            (
                "a padding of one",
                format!("{part}="),
                if last { INVALID_TOKEN } else { INVALID_REQUEST },
            ),
            ("padding in front", format!("=={part}"), INVALID_REQUEST),
            (
                "an unused bit set",
                with_unused_bit_set(part),
                INVALID_TOKEN,
            ),
            (
                "plus and slash",
                part.replace('-', "+").replace('_', "/"),
                INVALID_TOKEN,
            ),
            ("slash alone", part.replace('_', "/"), INVALID_TOKEN),
            ("a tilde", format!("{part}~"), INVALID_TOKEN),
            ("one character more", format!("{part}A"), INVALID_TOKEN),
            (
                "a percent escape",
                part.replacen('e', "%65", 1).replacen('A', "%41", 1) + "%3D",
                INVALID_REQUEST,
            ),
            (
                "a space inside",
                format!("{} {}", &part[..8], &part[8..]),
                INVALID_REQUEST,
            ),
            (
                "a space in front",
                if place == 0 {
                    format!("x {part}")
                } else {
                    format!(" {part}")
                },
                INVALID_REQUEST,
            ),
            (
                "a tab inside",
                format!("{}\t{}", &part[..8], &part[8..]),
                INVALID_REQUEST,
            ),
            (
                "a letter of another script",
                format!("{part}\u{410}"),
                INVALID_REQUEST,
            ),
        ] {
            assert_ne!(written, part, "{name}, {how}: unchanged");
            let mut written_parts: Vec<_> = valid.split('.').map(str::to_owned).collect();
            written_parts[place].clone_from(&written);
            // The signature covers the part as written, so that only its encoding is wrong.
            let token = if last || !written.is_ascii() {
                written_parts.join(".")
            } else {
                test_bed.key.seal(&written_parts[..2].join("."))
            };
            tokens.push((format!("{name}, {how}"), token, expected));
        }
    }
    assert_eq!(
        test_bed.get("/_ready", Some(&valid)).status,
        200,
        "the canonical spelling"
    );
    assert_refusals(&test_bed, tokens);
}

/// Appends spaces to `text` until its base64url has unused bits.
fn with_unused_bits(mut text: String) -> String {
    while text.len() % 3 != 1 {
        text.push(' ');
    }
    text
}

/// A token whose signature contains `-` and `_`. Each signature is different, so that it tries
/// again.
fn signed_with_both_characters(test_bed: &TestBed, message: &str) -> String {
    loop {
        let token = test_bed.key.seal(message);
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        if signature.contains('-') && signature.contains('_') && signature.contains(['A', 'e']) {
            return token;
        }
    }
}

/// Sets an unused bit: a lenient decoder returns the same bytes.
fn with_unused_bit_set(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert_ne!(part.len() % 4, 0, "no bits are left over");
    let (rest, last) = part.split_at(part.len() - 1);
    let place = ALPHABET.find(last).expect("base64url");
    format!("{rest}{}", &ALPHABET[place + 1..place + 2])
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn header_and_payload_must_be_plain_utf_8_json() {
    let test_bed = TestBed::routes(ROUTES);
    let texts = [header(""), claims(&test_bed, "")];
    let mut tokens = Vec::new();
    for place in [0, 1] {
        let text = &texts[place];
        let object = text.strip_suffix('}').expect("an object");
        let with = |value: &[u8]| [object.as_bytes(), b",\"x\":\"", value, b"\"}"].concat();
        let around = |before: &[u8], after: &[u8]| [before, text.as_bytes(), after].concat();
        for (how, written) in [
            ("an invalid UTF-8 byte", with(b"\xff")),
            ("a truncated character", with(b"\xc3")),
            ("an overlong NUL", with(b"\xc0\x80")),
            ("an overlong slash", with(b"\xe0\x80\xaf")),
            ("a surrogate in UTF-8", with(b"\xed\xa0\x80")),
            ("beyond Unicode", with(b"\xf4\x90\x80\x80")),
            ("Latin-1", with(b"caf\xe9")),
            ("half a surrogate pair", with(b"\\ud800")),
            (
                "a surrogate pair the wrong way round",
                with(b"\\udc00\\ud800"),
            ),
            ("a bare NUL", with(b"\0")),
            ("a bare line end", with(b"\n")),
            ("an invalid escape", with(b"\\x41")),
            ("a byte order mark", around(b"\xef\xbb\xbf", b"")),
            ("a byte order mark at the end", around(b"", b"\xef\xbb\xbf")),
            (
                "UTF-16",
                text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
            (
                "UTF-16 with a byte order mark",
                [0xfeff]
                    .into_iter()
                    .chain(text.encode_utf16())
                    .flat_map(u16::to_be_bytes)
                    .collect(),
            ),
            ("a NUL at the end", around(b"", b"\0")),
            ("a NUL in front", around(b"\0", b"")),
            ("another object at the end", around(b"", b"{}")),
            ("a comma at the end", around(b"", b",")),
            ("a comma inside", [object.as_bytes(), b",}"].concat()),
            ("a comment", around(b"/**/", b"")),
            ("a comment at the end", around(b"", b"//")),
            ("a form feed", around(b"\x0c", b"")),
            ("a no-break space", around("\u{a0}".as_bytes(), b"")),
            ("single quotes", text.replace('"', "'").into_bytes()),
            ("no quotes", text.replace('"', "").into_bytes()),
            ("in an array", around(b"[", b"]")),
            ("as a text", serde_json::to_vec(text).expect("a text")),
            ("a prefix against script inclusion", around(b")]}'\n", b"")),
            ("NaN", [object.as_bytes(), b",\"x\":NaN}"].concat()),
            (
                "a number out of range",
                [object.as_bytes(), b",\"x\":1e400}"].concat(),
            ),
            (
                "a number with a plus",
                [object.as_bytes(), b",\"x\":+1}"].concat(),
            ),
            (
                "a number with a zero",
                [object.as_bytes(), b",\"x\":01}"].concat(),
            ),
            ("nothing", Vec::new()),
            ("null", b"null".to_vec()),
            ("an empty object", b"{}".to_vec()),
        ] {
            let mut written_parts = texts.clone().map(String::into_bytes);
            written_parts[place] = written;
            let [header, payload] = written_parts.map(base64url);
            let name = format!("{}, {how}", ["header", "payload"][place]);
            tokens.push((name, test_bed.key.seal(&format!("{header}.{payload}"))));
        }
    }
    assert_refused(&test_bed, tokens);
    // JSON allows surrounding white space (RFC 8259 §2).
    let spaced = test_bed.key.sign(
        &format!(" \t\r\n{} ", header("")),
        &format!("\n{}\n", claims(&test_bed, "")),
    );
    assert_eq!(test_bed.get("/things", Some(&spaced)).status, 200);
}
