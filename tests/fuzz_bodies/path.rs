//! A path that is let in has one spelling, is normal again, and means, segment by segment, what was sent: no dot
//! segment, no empty one, no control character and no second encoding, under any reading.

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
            "what passes without path parameters passes with them"
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
        has_one_spelling(text);
        means_what_was_sent(raw, text);
    }
}

fn has_one_spelling(text: &str) {
    assert!(
        text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()),
        "{text:?}"
    );
    assert!(!text.contains(['?', '#', '\\']), "{text:?}");
    for (place, _) in text.match_indices('%') {
        let digits = &text[place + 1..place + 3];
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

fn means_what_was_sent(raw: &str, text: &str) {
    let (sent, meant): (Vec<_>, Vec<_>) = (raw.split('/').collect(), text.split('/').collect());
    assert_eq!(
        sent.len(),
        meant.len(),
        "{raw:?} has other segments than {text:?}"
    );
    let last = meant.len() - 1;
    for (place, (sent, meant)) in sent.into_iter().zip(meant).enumerate() {
        let once = decoded(meant);
        assert_eq!(decoded(sent), once, "{raw:?} is not what {text:?} is");
        let name = String::from_utf8(once.clone()).expect("UTF-8 when decoded");
        assert!(
            !name.contains(char::is_control) && !name.contains(['/', '\\']),
            "{text:?}"
        );
        // Some servers cut path parameters off first, some a query or a fragment, and some decode a second time.
        let bare = name.split(';').next().unwrap_or_default();
        assert!(
            !bare.is_empty() || place == 0 || place == last && name.is_empty(),
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
    let (mut octets, mut place) = (Vec::new(), 0);
    while place < bytes.len() {
        let encoded = segment
            .get(place + 1..place + 3)
            .filter(|_| bytes[place] == b'%');
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match encoded
            .filter(is_hex)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(octet) => {
                octets.push(octet);
                place += 3;
            }
            None => {
                octets.push(bytes[place]);
                place += 1;
            }
        }
    }
    octets
}
