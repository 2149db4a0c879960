//! The access token in the `Authorization` header (RFC 6750 §2.1).
//!
//! 1. The header is the only place: a token in a query or a form ends up in logs and histories (RFC 9700 §4.3.2).
//! 2. Exactly one header: with two, the gateway and the upstream might each believe another one.
//! 3. The scheme is compared without case, and what follows it is one b64token and nothing else.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// An access token as the client sent it: a b64token, nothing about it judged yet (RFC 6750 §2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'h>(&'h str);

/// Why a request brings no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// There is no `Authorization` header: 401 without an error code (RFC 6750 §3.1).
    #[error("expected an Authorization header, but found none")]
    Missing,
    /// The credentials are of another scheme: for us the same as none.
    #[error("expected the scheme Bearer, but found another one")]
    OtherScheme,
    /// The scheme is Bearer, but what follows is not exactly one b64token: 400 `invalid_request`.
    #[error("expected exactly one b64token after the scheme Bearer, but found something else")]
    Malformed,
    /// There are several `Authorization` headers: 400 `invalid_request`.
    #[error("expected one Authorization header, but found several")]
    Repeated,
}

/// Finds the bearer token of a request (RFC 6750 §2.1).
///
/// # Errors
/// See [`BearerError`].
pub fn extract(headers: &HeaderMap) -> Result<BearerToken<'_>, BearerError> {
    extract_beside(headers, None)
}

/// As [`extract`], where a token is `known` that was read before: if it is that one, it is compared and not read again.
///
/// # Errors
/// See [`BearerError`].
pub fn extract_beside<'h>(
    headers: &'h HeaderMap,
    known: Option<&'h str>,
) -> Result<BearerToken<'h>, BearerError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(BearerError::Missing);
    };
    if values.next().is_some() {
        return Err(BearerError::Repeated);
    }
    let value = value.as_bytes();
    let scheme_length = value
        .iter()
        .position(|&byte| !is_token_character(byte))
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_length);
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err(BearerError::OtherScheme);
    }
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    if spaces == 0 {
        return Err(BearerError::Malformed);
    }
    let text = &rest[spaces..];
    match known {
        Some(known) if known.as_bytes() == text => Ok(BearerToken(known)),
        _ => read(text),
    }
}

fn read(text: &[u8]) -> Result<BearerToken<'_>, BearerError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(BearerToken::parse)
        .ok_or(BearerError::Malformed)
}

impl<'h> BearerToken<'h> {
    pub(crate) fn parse(text: &'h str) -> Option<Self> {
        let body = text.trim_end_matches('=');
        // Every byte is looked at, whatever the one before it was: so compilers look at many at a time.
        let is_good = body
            .bytes()
            .fold(true, |is_good, byte| is_good & is_b64token_character(byte));
        (!body.is_empty() && is_good).then_some(Self(text))
    }

    /// The token itself. It never goes into a log, a metric or an error.
    #[must_use]
    pub fn as_str(self) -> &'h str {
        self.0
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

// tchar of RFC 9110 §5.6.2: what a scheme is made of. `Bearergood` is thus another scheme, and `Bearer,good` is Bearer.
pub(crate) fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_b64token_character(byte: u8) -> bool {
    // `-`, `.`, `/` and the digits stand in a row.
    matches!(byte, b'-'..=b'9' | b'+' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'~')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn extracted(values: &[&[u8]]) -> Result<String, BearerError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                AUTHORIZATION,
                HeaderValue::from_bytes(value).expect("a header value"),
            );
        }
        extract(&headers).map(|token| token.as_str().to_owned())
    }

    #[test]
    fn scheme_is_read_without_case_and_several_spaces_are_tolerated() {
        for value in [
            "Bearer a.b-c_d~e+f/g==",
            "bearer a.b-c_d~e+f/g==",
            "BEARER    a.b-c_d~e+f/g==",
        ] {
            assert_eq!(
                extracted(&[value.as_bytes()]),
                Ok("a.b-c_d~e+f/g==".to_owned()),
                "{value}"
            );
        }
    }

    #[test]
    fn token_that_is_known_is_the_same_token_and_no_other() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("bearer  abc.d=="));
        for known in ["abc.d==", "abc.d=", "abc", "", "bc.d==", "abc.d== "] {
            assert_eq!(
                extract_beside(&headers, Some(known)),
                extract(&headers),
                "{known}"
            );
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("bearer abc.d=="));
        assert_eq!(
            extract_beside(&headers, Some("abc.d==")),
            Err(BearerError::Repeated)
        );
    }

    #[test]
    fn what_follows_bearer_must_be_exactly_one_b64token() {
        let malformed: [&[u8]; 16] = [
            b"Bearer",
            b"Bearer ",
            b"Bearer   ",
            b"Bearer\tgood",
            b"Bearer \tgood",
            b"Bearer good ",
            b"Bearer good junk",
            b"Bearer good, Bearer other",
            b"Bearer,good",
            b"Bearer=good",
            b"Bearer \"good\"",
            b"Bearer =",
            b"Bearer go=od",
            b"Bearer go\xC3\xB6d",
            b"Bearer \xFF",
            b"Bearer token=\"good\"",
        ];
        for value in malformed {
            assert_eq!(
                extracted(&[value]),
                Err(BearerError::Malformed),
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn another_scheme_is_not_bearer() {
        for value in [
            "Basic dXNlcjpwYXNz",
            "Bearergood",
            "Bearergood token",
            "DPoP good",
            "good",
            "",
            "Basic a, Bearer b",
        ] {
            assert_eq!(
                extracted(&[value.as_bytes()]),
                Err(BearerError::OtherScheme),
                "{value}"
            );
        }
    }

    #[test]
    fn no_header_is_missing() {
        assert_eq!(extracted(&[]), Err(BearerError::Missing));
    }

    #[test]
    fn several_headers_are_refused_whatever_they_say() {
        for values in [
            ["Bearer a", "Bearer a"],
            ["Basic a", "Bearer b"],
            ["Bearer a", ""],
        ] {
            assert_eq!(
                extracted(&values.map(str::as_bytes)),
                Err(BearerError::Repeated),
                "{values:?}"
            ); // R1
        }
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let token = BearerToken::parse("secret").expect("a b64token");
        assert_eq!(format!("{token:?}"), "BearerToken(redacted)");
    }
}
