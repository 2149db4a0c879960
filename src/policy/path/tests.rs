//! Normal paths, normalization, and refused paths.

use proptest::prelude::*;

use super::*;

fn parse(raw: &str) -> Result<String, PathError> {
    NormalPath::parse(raw, PathParameters::Refuse).map(|path| path.as_str().to_owned())
}

fn parse_allowing(raw: &str) -> Result<String, PathError> {
    NormalPath::parse(raw, PathParameters::Allow).map(|path| path.as_str().to_owned())
}

#[test]
fn normal_path_is_borrowed() {
    for raw in [
        "/",
        "/a",
        "/a/",
        "/a/b.c",
        "/...",
        "/.a/..b",
        "/caf%C3%A9",
        "/a%20b",
        "/100%25",
        "/v1/x:y@z",
        "/a{b}|",
    ] {
        let path = NormalPath::parse(raw, PathParameters::Refuse).expect("a normal path");
        assert!(
            matches!(path.text, Cow::Borrowed(text) if text == raw),
            "{raw}"
        );
    }
}

#[test]
fn unreserved_characters_are_decoded_and_hex_digits_become_upper_case() {
    for (raw, normal) in [
        ("/%61%62", "/ab"),
        ("/%7euser/%2D%5f%2Ea", "/~user/-_.a"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%f0%9F%98%80/x", "/%F0%9F%98%80/x"),
        ("/a%3a%40/%61", "/a%3A%40/a"),
        ("/%25x", "/%25x"),
        ("/%25%25", "/%25%25"),
    ] {
        assert_eq!(parse(raw).as_deref(), Ok(normal), "{raw}");
    }
}

#[test]
fn ambiguous_path_is_refused() {
    use PathError::*;
    for (raw, error) in [
        ("", NotAbsolute), // R41, all of them
        ("*", NotAbsolute),
        ("a/b", NotAbsolute),
        ("%2Fa", NotAbsolute),
        ("//", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("//a", EmptySegment),
        ("/.", DotSegment),
        ("/..", DotSegment),
        ("/a/./b", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/%2e%2E/b", DotSegment),
        ("/a/.%2e", DotSegment),
        ("/a%2fb", EncodedSlash),
        ("/a%2F", EncodedSlash),
        ("/a\\b", Backslash),
        ("/a%5cb", Backslash),
        ("/..%5C..", Backslash),
        ("/a%00", ControlCharacter),
        ("/a%0d%0ab", ControlCharacter),
        ("/a%7F", ControlCharacter),
        ("/a%C2%85", ControlCharacter),
        ("/a\tb", ControlCharacter),
        ("/a\u{7f}", ControlCharacter),
        ("/a b", ForbiddenCharacter),
        ("/caf\u{e9}", ForbiddenCharacter),
        ("/a?b", ForbiddenCharacter),
        ("/a#b", ForbiddenCharacter),
        ("/%2541", DoubleEncoding),
        ("/%25%34%31", DoubleEncoding),
        ("/%252e%252e/", DoubleEncoding),
        ("/%25%2541", DoubleEncoding),
        ("/%", InvalidEncoding),
        ("/%4", InvalidEncoding),
        ("/%4/1", InvalidEncoding),
        ("/%zz", InvalidEncoding),
        ("/%+1", InvalidEncoding),
        ("/%u0041", InvalidEncoding),
        ("/%\u{e9}", InvalidEncoding),
        ("/%FF", NotUtf8),
        ("/%C0%AE%C0%AE/", NotUtf8),
        ("/%C3", NotUtf8),
        ("/%C3/%A9", NotUtf8),
        ("/%C3a", NotUtf8),
        ("/%E0%80%AF", NotUtf8),
        ("/%ED%A0%80", NotUtf8),
        ("/%F4%90%80%80", NotUtf8),
        ("/a;b", PathParameter),
        ("/a%3bb", PathParameter),
        ("/..;/b", PathParameter),
    ] {
        assert_eq!(parse(raw), Err(error), "{raw}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn dot_segment_before_the_end_of_a_name_is_refused() {
    for dots in [
        ".",
        "..",
        "%2e",
        ".%2E",
        "%20..",
        "%EF%BC%8E",
        "%ef%bc%8e.",
        "%E2%80%A5",
        ".%E2%80%8B.",
        "%E2%80%8B..",
    ] {
        for end in [
            "",
            "%23",
            "%3F",
            "%3f",
            "%23x",
            "%3Fx=/",
            "%20",
            "%20x",
            ":",
            ":x",
            "%3A%3a$DATA",
            "%EF%BC%9A",
            "%C2%A0",
        ] {
            for path in [
                format!("/{dots}{end}"),
                format!("/open/{dots}{end}"),
                format!("/open/{dots}{end}/admin"),
            ] {
                assert_eq!(parse(&path), Err(PathError::DotSegment), "{path}");
                assert_eq!(parse_allowing(&path), Err(PathError::DotSegment), "{path}");
            }
        }
    }
    for end in ["%3B", "%3bx", ";", ";x=1", "%EF%BC%9B"] {
        for path in [format!("/open/..{end}"), format!("/open/.{end}/x")] {
            assert_eq!(parse_allowing(&path), Err(PathError::DotSegment), "{path}");
        }
    }
    // A full-width slash, or a character that folds to one, also ends a name.
    for path in [
        "/open/x%EF%BC%8F..%EF%BC%8Fadmin",
        "/open/..%E2%88%95admin",
        "/open/x%EF%BC%BC%EF%BC%8E%EF%BC%8E",
    ] {
        assert_eq!(parse(path), Err(PathError::DotSegment), "{path}");
    }
    for fine in [
        "/...%23",
        "/.a%23",
        "/..a",
        "/a..%23",
        "/a..",
        "/a%23/..b",
        "/.well-known",
        "/%23x",
        "/%3F",
        "/..-%23",
        "/%20.a",
        "/caf%C3%A9..",
        "/%E2%80%A6",
        "/%EF%BC%8Ea",
        "/a%EF%BC%8Fb",
        "/..%C3%A9",
    ] {
        assert_eq!(parse(fine).as_deref(), Ok(fine));
    }
}

#[test]
fn allowed_path_parameter_hides_no_other_fault() {
    assert_eq!(parse_allowing("/a;v=1/b").as_deref(), Ok("/a;v=1/b"));
    assert_eq!(parse_allowing("/a%3bb").as_deref(), Ok("/a%3Bb"));
    for raw in [
        "/..;/b",
        "/a/..;x=1",
        "/.;/b",
        "/%2e%2e;/",
        "/..%3b/b",
        "/.%3Bx;y",
    ] {
        assert_eq!(parse_allowing(raw), Err(PathError::DotSegment), "{raw}");
    }
    for raw in ["/;/b", "/a/;x", "/%3B/b"] {
        assert_eq!(parse_allowing(raw), Err(PathError::EmptySegment), "{raw}");
    }
}

#[test]
fn piece_is_decoded_once() {
    assert_eq!(decoded("caf%C3%A9%20%25x"), "caf\u{e9} %x");
    assert!(matches!(decoded("plain"), Cow::Borrowed("plain")));
}

fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-f0-9/.~%2;]",
        8 => "%[0-9A-Fa-f]{2}",
        2 => "%25",
        2 => "%2[eEfF]",
        2 => "[!-~]",
        2 => Just("%C3%A9".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn plain_path_also_passes_strict_parsing(raw in "(/[a-zA-Z0-9%.;?#\\\\ \u{e9}~:@-]{0,4}){0,4}/{0,2}") {
        for parameters in [PathParameters::Refuse, PathParameters::Allow] {
            let closely = NormalPath::parse_strictly(&raw, parameters);
            prop_assert_eq!(NormalPath::parse(&raw, parameters).map(|path| path.text), closely.clone());
            if is_plain(&raw) {
                prop_assert_eq!(closely, Ok(Cow::Borrowed(&*raw)));
            }
        }
    }

    #[test]
    fn normalization_is_idempotent(raw in hostile_path()) {
        for parameters in [PathParameters::Refuse, PathParameters::Allow] {
            if let Ok(path) = NormalPath::parse(&raw, parameters) {
                let again = NormalPath::parse(path.as_str(), parameters);
                let text = again.as_ref().map(|again| &again.text);
                prop_assert!(matches!(text, Ok(Cow::Borrowed(text)) if *text == path.as_str()));
            }
        }
    }

    #[test]
    fn normal_path_has_one_encoding_and_is_unambiguous(raw in hostile_path()) {
        let Ok(path) = NormalPath::parse(&raw, PathParameters::Refuse) else { return Ok(()) };
        let text = path.as_str();
        for (place, _) in text.match_indices('%') {
            let encoded = &text[place + 1..place + 3];
            prop_assert_eq!(encoded.to_ascii_uppercase(), encoded);
            let octet = u8::from_str_radix(encoded, 16).expect("two hex digits");
            prop_assert!(!is_unreserved(octet) && !octet.is_ascii_control() && !b"/\\;".contains(&octet));
        }
        let inner = text.strip_prefix('/').expect("absolute");
        for segment in inner.strip_suffix('/').unwrap_or(inner).split('/').filter(|_| !inner.is_empty()) {
            let name = String::from_utf8(octets(segment).collect()).expect("UTF-8 after decoding");
            prop_assert!(!name.is_empty() && !name.contains(['/', '\\', ';', '\0']));
            // Wherever a server may end the name.
            for cut in [&['?', '#'][..], &[':'], &[' '], &['?', '#', ':', ' ']] {
                let read = name.trim_start_matches(' ').split(cut).next().unwrap_or_default();
                prop_assert!(![".", ".."].contains(&read), "{name:?}");
            }
            prop_assert_eq!(decoded(segment), name);
        }
    }

    #[test]
    fn encoding_of_unreserved_characters_does_not_matter(
        text in "/([a-z~_-]{1,6}/){0,3}[a-z]{0,3}",
        encode in any::<u64>(),
    ) {
        let spelled: String = text
            .bytes()
            .enumerate()
            .map(|(place, byte)| match encode >> (place % 64) & 1 {
                1 if byte != b'/' => format!("%{byte:02x}"),
                _ => char::from(byte).to_string(),
            })
            .collect();
        prop_assert_eq!(parse(&spelled), Ok(text));
    }
}
