//! The input is `ERROR|REALM|DESCRIPTION|SCOPE|RESOURCE_METADATA`; `-` omits an attribute. Another
//! crate parses the resulting header. It must find one Bearer challenge with exactly these
//! attributes in this order: no text escapes its quotes, and plain text is unchanged.

use http_auth::parse_challenges;
use scopegate::oauth::challenge::{Challenge, ErrorCode};

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut fields = text
        .splitn(5, '|')
        .map(|field| (field != "-").then_some(field));
    let mut field = || fields.next().flatten();
    let error = field().and_then(error_code);
    let (realm, description, scope, resource_metadata) = (field(), field(), field(), field());
    let value = Challenge {
        error,
        realm,
        description,
        acr_values: None,
        max_age: None,
        scope,
        resource_metadata,
    }
    .to_header_value();
    let value = value.to_str().expect("visible ASCII and spaces");

    let challenges = parse_challenges(value).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    let [challenge] = &challenges[..] else {
        panic!("{value:?} is read as {challenges:?}")
    };
    assert_eq!(challenge.scheme, "Bearer");
    let attributes: Vec<(&str, String)> = challenge
        .params
        .iter()
        .map(|(name, value)| (*name, value.to_unescaped()))
        .collect();
    let expected: Vec<(&str, String)> = [
        ("realm", realm),
        ("error", error.map(ErrorCode::as_str)),
        ("error_description", description),
        ("scope", scope),
        ("resource_metadata", resource_metadata),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name, text?.chars().map(allowed_character).collect())))
    .collect();
    assert_eq!(attributes, expected, "{value:?}");
}

fn error_code(name: &str) -> Option<ErrorCode> {
    [
        ErrorCode::InvalidRequest,
        ErrorCode::InvalidToken,
        ErrorCode::InsufficientScope,
    ]
    .into_iter()
    .find(|code| code.as_str() == name)
}

// RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E.
fn allowed_character(character: char) -> char {
    match character {
        ' ' | '!' | '#'..='[' | ']'..='~' => character,
        '"' => '\'',
        _ => '?',
    }
}
