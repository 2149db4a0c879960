//! How the body of a message must be labelled.
//!
//! A body that says it is in another charset or coding is another text to a server: in UTF-7,
//! `+ACI-` is a quote.

use http::HeaderMap;
use http::header::{self, HeaderValue};

use crate::policy::cors::only_value;

/// What is wrong with the labels of a body: 415.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaTypeError {
    /// Not JSON in UTF-8.
    #[error(
        "expected one Content-Type: application/json, in UTF-8 and without other parameters, but found another one"
    )]
    Type,
    /// Compressed, for example.
    #[error("expected no Content-Encoding, but found one")]
    Encoding,
}

/// Checks that the body is labelled as JSON in UTF-8.
pub(super) fn check(headers: &HeaderMap) -> Result<(), MediaTypeError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(MediaTypeError::Encoding);
    }
    match only_value(headers, &header::CONTENT_TYPE).map(HeaderValue::to_str) {
        Some(Ok(found)) if is_json(found) => Ok(()),
        Some(_) | None => Err(MediaTypeError::Type),
    }
}

// RFC 9110 §8.3.1. No white space surrounds the `=`.
fn is_json(text: &str) -> bool {
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let is_type = |part: &str| part.eq_ignore_ascii_case("application/json");
    let is_charset = |part: &str| {
        ["charset=utf-8", "charset=\"utf-8\""]
            .iter()
            .any(|charset| part.eq_ignore_ascii_case(charset))
    };
    parts.next().is_some_and(is_type)
        && parts.next().is_none_or(is_charset)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_types(types: &[&'static str]) -> Result<(), MediaTypeError> {
        let mut headers = HeaderMap::new();
        for found in types {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(found));
        }
        check(&headers)
    }

    #[test]
    fn body_must_be_labelled_as_json_in_utf8() {
        for found in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            " application/json ; Charset=Utf-8",
        ] {
            assert_eq!(check_types(&[found]), Ok(()), "{found}");
        }
        for found in [
            "",
            "text/plain",
            "application/json5",
            "application/problem+json",
            "application/json; charset=utf-7",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset = utf-8",
            "application/json; charset=utf-8,utf-7",
            "application/json; profile=x",
            "application/json;",
            "application/json, text/plain",
            "application/json\t;x",
        ] {
            assert_eq!(check_types(&[found]), Err(MediaTypeError::Type), "{found}");
        }
        assert_eq!(check_types(&[]), Err(MediaTypeError::Type));
        assert_eq!(
            check_types(&["application/json", "application/json"]),
            Err(MediaTypeError::Type)
        );
    }

    #[test]
    fn body_must_not_be_encoded() {
        for coding in ["gzip", "identity", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
            assert_eq!(check(&headers), Err(MediaTypeError::Encoding), "{coding}");
        }
    }
}
