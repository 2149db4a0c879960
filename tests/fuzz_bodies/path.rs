//! An accepted path has one spelling, is its own normal form, and means what was sent, segment by
//! segment. Under no reading has it a dot segment, an empty one, a control character or a second
//! encoding.

use scopegate::policy::path::NormalPath;
use scopegate::values::PathParameters;

pub(crate) fn check(input: &[u8]) {
    let Ok(raw) = std::str::from_utf8(input) else {
        return;
    };
    let refusing = NormalPath::parse(raw, PathParameters::Refuse);
    let allowing = NormalPath::parse(raw, PathParameters::Allow);
    if let Ok(path) = &refusing {
        assert_eq!(
            allowing.as_ref(),
            Ok(path),
            "a path without parameters is accepted under both settings"
        );
        assert!(
            !path.as_str().contains(';') && !path.as_str().contains("%3B"),
            "{path:?} has a parameter"
        );
    }
    for (path, parameters) in [
        (refusing, PathParameters::Refuse),
        (allowing, PathParameters::Allow),
    ] {
        let Ok(path) = path else { continue };
        let text = path.as_str();
        assert_eq!(
            NormalPath::parse(text, parameters)
                .as_ref()
                .map(NormalPath::as_str),
            Ok(text),
            "{raw:?}"
        );
        assert_one_spelling(text);
        assert_same_meaning(raw, text);
    }
}

fn assert_one_spelling(text: &str) {
    assert!(
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{text:?}"
    );
    assert!(!text.contains(['?', '#', '\\']), "{text:?}");
    for (index, _) in text.match_indices('%') {
        let digits = &text[index + 1..index + 3];
        assert!(
            digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')),
            "{text:?}"
        );
        let octet = u8::from_str_radix(digits, 16).expect("two hex digits");
        let is_unreserved = octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        assert!(
            !is_unreserved && !octet.is_ascii_control() && !b"/\\".contains(&octet),
            "{text:?}"
        );
    }
}

fn assert_same_meaning(raw: &str, text: &str) {
    let (sent, normal): (Vec<_>, Vec<_>) = (raw.split('/').collect(), text.split('/').collect());
    assert_eq!(
        sent.len(),
        normal.len(),
        "{raw:?} has other segments than {text:?}"
    );
    let last = normal.len() - 1;
    for (index, (sent, normal)) in sent.into_iter().zip(normal).enumerate() {
        let once = decoded(normal);
        assert_eq!(
            decoded(sent),
            once,
            "{raw:?} and {text:?} differ when decoded"
        );
        let name = String::from_utf8(once.clone()).expect("UTF-8 when decoded");
        assert!(
            !name.contains(char::is_control) && !name.contains(['/', '\\']),
            "{text:?}"
        );
        // Some servers remove path parameters first, some a query or fragment, and some decode
        // twice.
        let bare = name.split(';').next().unwrap_or_default();
        assert!(
            !bare.is_empty() || index == 0 || index == last && name.is_empty(),
            "{text:?}"
        );
        for end in [';', '?', '#', ':', ' '] {
            let reading = name.split(end).next().unwrap_or_default();
            assert!(
                ![".", ".."].contains(&reading),
                "{text:?} has a dot segment"
            );
        }
        assert_eq!(
            decoded(&name),
            name.into_bytes(),
            "{text:?} is encoded twice"
        );
    }
}

fn decoded(segment: &str) -> Vec<u8> {
    let bytes = segment.as_bytes();
    let (mut octets, mut index) = (Vec::new(), 0);
    while index < bytes.len() {
        let encoded = segment
            .get(index + 1..index + 3)
            .filter(|_| bytes[index] == b'%');
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match encoded
            .filter(is_hex)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(octet) => {
                octets.push(octet);
                index += 3;
            }
            None => {
                octets.push(bytes[index]);
                index += 1;
            }
        }
    }
    octets
}
