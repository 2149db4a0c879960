//! The access token in the `Authorization` header (RFC 6750 §2.1).
//!
//! 1. Only the header counts: a token in a query or a form leaks into logs and histories
//!    (RFC 9700 §4.3.2).
//! 2. Exactly one header: of two, the gateway and the upstream might each use another one.
//! 3. The scheme is case-insensitive; exactly one b64token follows it.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

const SCHEME: &[u8] = b"Bearer";

/// An access token as the client sent it: a b64token, not verified (RFC 6750 §2.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BearerToken<'h>(&'h str);

/// Why a request has no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// There is no `Authorization` header: 401 without an error code (RFC 6750 §3.1).
    #[error("expected an Authorization header, but found none")]
    Missing,
    /// The credentials use another scheme: treated as missing.
    #[error("expected the scheme Bearer, but found another one")]
    OtherScheme,
    /// The scheme is Bearer, but what follows is not exactly one b64token: 400 `invalid_request`.
    #[error("expected exactly one b64token after the scheme Bearer, but found something else")]
    Malformed,
    /// There are several `Authorization` headers: 400 `invalid_request`.
    #[error("expected one Authorization header, but found several")]
    Repeated,
}

/// Extracts the bearer token of a request (RFC 6750 §2.1).
///
/// # Errors
/// See [`BearerError`].
pub fn extract(headers: &HeaderMap) -> Result<BearerToken<'_>, BearerError> {
    extract_or_reuse(headers, None)
}

/// As [`extract`], but a token that equals `known`, which was parsed before, is not parsed again.
///
/// # Errors
/// See [`BearerError`].
pub fn extract_or_reuse<'h>(
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
    let (scheme, rest) = value.split_at(value.len().min(SCHEME.len()));
    let is_longer = || rest.first().copied().is_some_and(is_token_character);
    if !scheme.eq_ignore_ascii_case(SCHEME) || is_longer() {
        return Err(BearerError::OtherScheme);
    }
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    if spaces == 0 {
        return Err(BearerError::Malformed);
    }
    let text = &rest[spaces..];
    match known {
        Some(known) if known.as_bytes() == text => Ok(BearerToken(known)),
        _ => parse(text),
    }
}

fn parse(text: &[u8]) -> Result<BearerToken<'_>, BearerError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(BearerToken::parse)
        .ok_or(BearerError::Malformed)
}

impl<'h> BearerToken<'h> {
    pub(crate) fn parse(text: &'h str) -> Option<Self> {
        let body = text.trim_end_matches('=');
        // No early exit: the compiler can then check several bytes at a time.
        let is_valid = body.bytes().fold(true, |is_valid, byte| {
            is_valid & is_b64token_character(byte)
        });
        (!body.is_empty() && is_valid).then_some(Self(text))
    }

    /// The token text. It must not reach a log, a metric or an error.
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

// tchar (RFC 9110 §5.6.2), the characters of a scheme: `Bearergood` is another scheme, while
// `Bearer,good` is a malformed `Bearer`.
pub(crate) fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

// Comparisons without branches: the compiler makes a lookup of `matches!`, one byte at a time.
fn is_b64token_character(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits are contiguous in ASCII.
    let is_digit_or_mark = byte.wrapping_sub(b'-') <= b'9' - b'-';
    is_letter | is_digit_or_mark | (byte == b'+') | (byte == b'_') | (byte == b'~')
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
    fn scheme_is_case_insensitive_and_several_spaces_may_follow() {
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
    fn known_token_is_reused_only_if_equal() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("bearer  abc.d=="));
        for known in ["abc.d==", "abc.d=", "abc", "", "bc.d==", "abc.d== "] {
            assert_eq!(
                extract_or_reuse(&headers, Some(known)),
                extract(&headers),
                "{known}"
            );
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("bearer abc.d=="));
        assert_eq!(
            extract_or_reuse(&headers, Some("abc.d==")),
            Err(BearerError::Repeated)
        );
    }

    #[test]
    fn anything_but_one_b64token_after_bearer_is_malformed() {
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

    // RFC 6750 §2.1
    #[test]
    fn b64token_has_letters_digits_and_six_other_characters() {
        let allowed: Vec<u8> = (0..=u8::MAX)
            .filter(|&byte| is_b64token_character(byte))
            .collect();
        let expected = b"+-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
        assert_eq!(allowed, expected);
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
    fn request_without_the_header_is_missing_a_token() {
        assert_eq!(extracted(&[]), Err(BearerError::Missing));
    }

    #[test]
    fn several_headers_are_refused() {
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
