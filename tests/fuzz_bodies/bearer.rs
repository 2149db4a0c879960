//! Lines of the input are the values of as many `Authorization` headers. What comes out is what the grammar of
//! RFC 6750 §2.1 says, read here once more and more slowly, and the token never shows in what is printed.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use scopegate::oauth::bearer::{BearerError, extract};

pub(crate) fn check(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|&byte| byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(AUTHORIZATION, value);
        }
    }
    let values: Vec<&[u8]> = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let found = extract(&headers);
    if let Ok(token) = found {
        assert_eq!(format!("{token:?}"), "BearerToken(redacted)");
    }
    assert_eq!(
        found.map(|token| token.as_str().as_bytes()),
        by_the_grammar(&values)
    );
}

fn by_the_grammar<'h>(values: &[&'h [u8]]) -> Result<&'h [u8], BearerError> {
    let value = match values {
        [] => return Err(BearerError::Missing),
        [only] => *only,
        _ => return Err(BearerError::Repeated),
    };
    let scheme_end = value
        .iter()
        .take_while(|&&byte| is_of_a_scheme(byte))
        .count();
    if !value[..scheme_end].eq_ignore_ascii_case(b"bearer") {
        return Err(BearerError::OtherScheme);
    }
    let after = &value[scheme_end..];
    let spaces = after.iter().take_while(|&&byte| byte == b' ').count();
    let token = &after[spaces..];
    let body = token
        .iter()
        .take_while(|&&byte| is_of_a_token(byte))
        .count();
    let padding = token[body..]
        .iter()
        .take_while(|&&byte| byte == b'=')
        .count();
    if spaces > 0 && body > 0 && body + padding == token.len() {
        Ok(token)
    } else {
        Err(BearerError::Malformed)
    }
}

// `tchar` of RFC 9110 §5.6.2.
fn is_of_a_scheme(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

// What a `b64token` of RFC 6750 §2.1 is made of, before its padding.
fn is_of_a_token(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/') || byte.is_ascii_alphanumeric()
}
