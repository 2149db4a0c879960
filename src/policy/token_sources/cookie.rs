//! Cookies by name (RFC 6265 §5.4).
//!
//! Servers differ in how they read white space and a missing `=`. So a name counts with white space
//! around it, and alone: a second token that only the upstream reads must not pass.

use http::header::{self, HeaderMap, HeaderValue};

use super::TokenError;

/// The value of the one cookie of this name.
pub(super) fn find<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, TokenError> {
    let mut found = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let Some(value) = value_of(pair, name) else {
                continue;
            };
            if found.is_some() {
                return Err(TokenError::RepeatedCookie);
            }
            found = Some(value);
        }
    }
    let as_text = |value| std::str::from_utf8(value).map_err(|_| TokenError::MalformedCookie);
    found.map(as_text).transpose()
}

/// Removes every cookie of this name. The others stay, byte for byte.
pub(super) fn remove(headers: &mut HeaderMap, name: &str) {
    let has_name = |line: &HeaderValue| {
        let mut pairs = line.as_bytes().split(|byte| *byte == b';');
        pairs.any(|pair| value_of(pair, name).is_some())
    };
    if !headers.get_all(header::COOKIE).iter().any(has_name) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        if !has_name(&line) {
            headers.append(header::COOKIE, line);
            continue;
        }
        let pairs = line.as_bytes().split(|byte| *byte == b';');
        let others: Vec<&[u8]> = pairs
            .filter(|pair| value_of(pair, name).is_none())
            .collect();
        let others = others.join(&b';');
        let others = others.trim_ascii_start();
        // Cannot fail: parts of a header value are a header value.
        if !others.is_empty()
            && let Ok(mut others) = HeaderValue::from_bytes(others)
        {
            others.set_sensitive(line.is_sensitive());
            headers.append(header::COOKIE, others);
        }
    }
}

fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let (found, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(equals) => (&pair[..equals], &pair[equals + 1..]),
        None => (pair, &[][..]),
    };
    (found.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
}
