//! `crit`, `b64` and `zip`: headers that would change how the token is read (R21, RFC 7515 §4.1.11,
//! RFC 7797).

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r21_crit_b64_and_zip_are_refused() {
    let test_bed = TestBed::toml(WIDE, "", "", ROUTES);
    let mut tokens = Vec::new();
    for (parameter, values) in [
        (
            "crit",
            &[
                "[]",
                "[\"exp\"]",
                "[\"alg\"]",
                "[\"kid\"]",
                "[\"crit\"]",
                "[\"b64\"]",
                "[\"b64\",\"b64\"]",
                "[\"http://example.com/UNDEFINED\"]",
                "[\"\"]",
                "[null]",
                "[1]",
                "[[\"exp\"]]",
                "\"exp\"",
                "\"\"",
                "{}",
                "{\"exp\":true}",
                "null",
                "true",
                "false",
                "0",
            ][..],
        ),
        (
            "b64",
            &[
                "true",
                "false",
                "null",
                "0",
                "1",
                "\"false\"",
                "\"\"",
                "[]",
                "{}",
            ],
        ),
        (
            "zip",
            &[
                "\"DEF\"",
                "\"def\"",
                "\"GZIP\"",
                "\"none\"",
                "\"\"",
                "null",
                "true",
                "0",
                "[\"DEF\"]",
                "{}",
            ],
        ),
    ] {
        for value in values {
            let header = header(&format!(r#","{parameter}":{value},"exp":1"#));
            tokens.push((
                format!("{parameter} {value}"),
                test_bed.key.sign(&header, &claims(&test_bed, "")),
            ));
        }
    }
    let escaped = header(r#","\u0063rit":["exp"]"#);
    tokens.push((
        "crit with an escape".to_owned(),
        test_bed.key.sign(&escaped, &claims(&test_bed, "")),
    ));
    // RFC 7797: an unencoded payload.
    let unencoded = format!(
        "{}.eyJ",
        base64url(header(r#","b64":false,"crit":["b64"]"#))
    );
    tokens.push((
        "a payload that is not encoded".to_owned(),
        test_bed.key.seal(&unencoded),
    ));

    let deflated = deflate(&claims(&test_bed, ""), 4 * 1024 * 1024);
    for zip in ["\"DEF\"", "\"def\"", "\"NONE\"", "\"GZIP\""] {
        let header = header(&format!(r#","zip":{zip}"#));
        let message = format!("{}.{}", base64url(header), base64url(&deflated));
        tokens.push((
            format!("4 MiB of spaces as zip {zip}"),
            test_bed.key.seal(&message),
        ));
    }
    let message = format!("{}.{}", base64url(header("")), base64url(&deflated));
    tokens.push((
        "4 MiB of spaces, unannounced".to_owned(),
        test_bed.key.seal(&message),
    ));
    assert_refused(&test_bed, tokens);
    // `zip: NONE` claims no compression.
    let harmless = test_bed
        .key
        .sign(&header(r#","zip":"NONE""#), &claims(&test_bed, ""));
    assert_eq!(test_bed.get("/things", Some(&harmless)).status, 200);
}

/// `text` and at least this many spaces, deflated: one block of fixed Huffman codes (RFC 1951
/// §3.2.6), in which 13 bits encode 258 spaces.
fn deflate(text: &str, spaces: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    // Codes are packed from their most significant bit.
    let mut code =
        |code: u16, length: u32| bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    for literal in text.bytes().chain([b' ']) {
        assert!(literal.is_ascii(), "nine bits are needed beyond 143");
        code(0x30 + u16::from(literal), 8);
    }
    for _ in 0..=spaces / 258 {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    code(0, 7);
    bits.chunks(8)
        .map(|byte| {
            byte.iter()
                .rev()
                .fold(0, |sum, bit| sum << 1 | u8::from(*bit))
        })
        .collect()
}
