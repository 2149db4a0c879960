//! Non-canonical base64url, and text that is not plain UTF-8 JSON (RFC 7515 §2, RFC 8725 §2.6).

use super::*;

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
