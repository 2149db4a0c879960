//! The part of a refusal that only gRPC clients read.
//!
//! They read `grpc-status` and show no body, so the text goes into `grpc-message`. Status and
//! challenge stay as they are: libraries attach the bearer token again when they see a 401.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;
use crate::upstream::{RequestBodyFault, UpstreamError};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const CONTENT_TYPE: &str = "application/grpc";

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
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(refusal)));
    // Printable ASCII without `%` needs no encoding.
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(detail));
}

// The mapping that gRPC defines from HTTP statuses, with one exception: a request that may have had
// an effect is not UNAVAILABLE, because libraries retry those by themselves.
fn code(refusal: &Refusal) -> u16 {
    const UNKNOWN: u16 = 2;
    const DEADLINE_EXCEEDED: u16 = 4;
    const PERMISSION_DENIED: u16 = 7;
    const RESOURCE_EXHAUSTED: u16 = 8;
    const UNIMPLEMENTED: u16 = 12;
    const INTERNAL: u16 = 13;
    const UNAVAILABLE: u16 = 14;
    const UNAUTHENTICATED: u16 = 16;
    match refusal {
        Refusal::Ambiguous(_)
        | Refusal::BadAuthorization(_)
        | Refusal::TokenTooLarge { .. }
        | Refusal::BodyFault(RequestBodyFault::Broken)
        | Refusal::Panicked => INTERNAL,
        Refusal::NoRoute { .. } | Refusal::MethodNotAllowed { .. } => UNIMPLEMENTED,
        Refusal::NoToken { .. } | Refusal::InvalidToken { .. } => UNAUTHENTICATED,
        Refusal::InsufficientScope { .. }
        | Refusal::ClaimNotMet(_)
        | Refusal::OriginNotAllowed { .. }
        | Refusal::AddressNotAllowed { .. } => PERMISSION_DENIED,
        Refusal::Conflict => UNKNOWN,
        Refusal::BodyFault(RequestBodyFault::TimedOut)
        | Refusal::Upstream(UpstreamError::TimedOut { .. }) => DEADLINE_EXCEEDED,
        Refusal::BodyFault(RequestBodyFault::TooLarge(_)) => RESOURCE_EXHAUSTED,
        Refusal::IssuerUnavailable { .. }
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
}
