//! Each line of the input is an `Authorization` header. The extracted token is what a naive parser
//! of RFC 6750 §2.1 finds, and `Debug` never shows it.

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
        by_grammar(&values)
    );
}

fn by_grammar<'h>(values: &[&'h [u8]]) -> Result<&'h [u8], BearerError> {
    let value = match values {
        [] => return Err(BearerError::Missing),
        [only] => *only,
        _ => return Err(BearerError::Repeated),
    };
    let scheme_end = value
        .iter()
        .take_while(|&&byte| is_scheme_byte(byte))
        .count();
    if !value[..scheme_end].eq_ignore_ascii_case(b"bearer") {
        return Err(BearerError::OtherScheme);
    }
    let after = &value[scheme_end..];
    let spaces = after.iter().take_while(|&&byte| byte == b' ').count();
    let token = &after[spaces..];
    let body = token
        .iter()
        .take_while(|&&byte| is_token_byte(byte))
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
fn is_scheme_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

// The characters of `b64token` before its padding (RFC 6750 §2.1).
fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/') || byte.is_ascii_alphanumeric()
}
