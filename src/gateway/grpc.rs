//! The part of the gateway's own responses that only gRPC clients read.
//!
//! They read `grpc-status` and show no body, so the text goes into `grpc-message`. Status and
//! challenge stay as they are: libraries attach the bearer token again when they see a 401.

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::refusal::Refusal;
use crate::upstream::{RequestBodyFault, UpstreamError};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const CONTENT_TYPE: &str = "application/grpc";
/// What a `grpc-message` must not contain as it is, beside characters outside ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');
/// Longer messages are left out: many clients accept 8 KiB of headers.
const MAX_MESSAGE: usize = 1024;

const UNKNOWN: u16 = 2;
const DEADLINE_EXCEEDED: u16 = 4;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// Whether a request is a gRPC call: `application/grpc`, alone or followed by `+` or `;`.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let (name, rest) = content_type
        .as_bytes()
        .split_at(content_type.len().min(CONTENT_TYPE.len()));
    name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes())
        && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Adds the status of a refusal to a response without a body (Trailers-Only).
pub(super) fn write_status(refusal: &Refusal, detail: &'static str, headers: &mut HeaderMap) {
    // Printable ASCII without `%` needs no encoding.
    let message = HeaderValue::from_static(detail);
    write(code(refusal), Some(&message), headers);
}

/// Adds the status that gRPC clients derive from an HTTP status to a response without a body.
pub(super) fn write_status_of_http(
    status: StatusCode,
    message: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) {
    write(code_of_http(status), message, headers);
}

/// A text as `grpc-message`, unless it is empty or too long.
pub(super) fn message(text: &str) -> Option<HeaderValue> {
    let encoded = utf8_percent_encode(text.trim_end(), ENCODED).to_string();
    let fits = (1..=MAX_MESSAGE).contains(&encoded.len());
    fits.then(|| HeaderValue::try_from(encoded).ok())?
}

fn write(code: u16, message: Option<&HeaderValue>, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    if let Some(message) = message {
        headers.insert(GRPC_MESSAGE, message.clone());
    }
}

// The mapping that gRPC defines ("HTTP to gRPC Status Code Mapping"). It has no OK: a response that
// is not the method's own does not mean that the method had its effect.
fn code_of_http(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

// The mapping that gRPC defines from HTTP statuses, with one exception: a request that may have had
// an effect is not UNAVAILABLE, because libraries retry those by themselves.
fn code(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::Ambiguous(_)
        | Refusal::BadAuthorization(_)
        | Refusal::TokenTooLarge { .. }
        | Refusal::BodyFault(RequestBodyFault::Broken)
        // A call is no message of JSON-RPC, and no Security Event Token.
        | Refusal::Mcp(_)
        | Refusal::SecurityEvent(_)
        | Refusal::Internal => INTERNAL,
        Refusal::NoRoute { .. } | Refusal::MethodNotAllowed { .. } => UNIMPLEMENTED,
        Refusal::NoToken { .. } | Refusal::InvalidToken { .. } | Refusal::StepUp(_) => {
            UNAUTHENTICATED
        }
        Refusal::InsufficientScope { .. }
        | Refusal::ClaimNotMet(_)
        | Refusal::OriginNotAllowed { .. }
        | Refusal::AddressNotAllowed { .. } => PERMISSION_DENIED,
        Refusal::Conflict => UNKNOWN,
        Refusal::BodyFault(RequestBodyFault::TimedOut)
        | Refusal::Upstream(UpstreamError::TimedOut { .. }) => DEADLINE_EXCEEDED,
        Refusal::RateLimited(_) | Refusal::BodyFault(RequestBodyFault::TooLarge(_)) => {
            RESOURCE_EXHAUSTED
        }
        Refusal::IssuerUnavailable { .. }
        | Refusal::RevocationsStale
        | Refusal::Overloaded { .. }
        | Refusal::Upstream(
            UpstreamError::Connect { .. }
            | UpstreamError::LocalSocket { .. }
            | UpstreamError::ConnectTimedOut { .. }
            | UpstreamError::Broken { .. }
            | UpstreamError::NotSwitched { .. }
            | UpstreamError::NoTarget { .. },
        ) => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_content_type() {
        let cases = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcfoo", false),
            ("application/json", false),
            ("application/grp", false),
            ("", false),
        ];
        for (content_type, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_call(&headers), expected, "{content_type:?}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn message_is_encoded_and_bounded() {
        for (text, expected) in [
            ("Down for maintenance.\n", Some("Down for maintenance.")),
            ("100 %", Some("100 %25")),
            ("a\nb\t\u{e9}", Some("a%0Ab%09%C3%A9")),
            ("", None),
            ("\n", None),
        ] {
            let message = message(text);
            let message = message.as_ref().map(|value| value.to_str().expect("ASCII"));
            assert_eq!(message, expected, "{text:?}");
        }
        assert!(message(&"a".repeat(MAX_MESSAGE)).is_some());
        assert!(message(&"%".repeat(MAX_MESSAGE)).is_none());
    }
}
