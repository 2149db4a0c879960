//! What the client is told: the only place where a [`Refusal`] becomes an answer.
//!
//! 1. Status and challenge are RFC 6750 §3's; bodies are problem details (RFC 9457) with a fixed text for each case, so
//!    that nothing of the request, the token or our own state is told back.
//! 2. The client is blamed only for what is its own doing: an authorization server or an upstream that fails is a 5xx
//!    without a Bearer error.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::refusal::{Ambiguity, Refusal};
use crate::oauth::challenge::{Challenge, ErrorCode};
use crate::upstream::{RequestBodyFault, UpstreamError};

const MFP_CONFLICT: HeaderName = HeaderName::from_static("mfp-conflict");

/// How challenges are worded: `[challenge]`.
#[derive(Debug, Clone, Default)]
pub struct ChallengeSettings {
    /// The `realm`; none is left out.
    pub realm: Option<String>,
    /// Whether `error_description` is told.
    pub describe: bool,
    /// Whether a 401 without a token tells the scope that the request needs.
    pub scope_when_unauthenticated: bool,
}

macro_rules! problem {
    ($status:literal, $title:literal, $detail:literal) => {
        Bytes::from_static(
            concat!(
                "{\"type\":\"about:blank\",\"title\":\"",
                $title,
                "\",\"status\":",
                $status,
                ",\"detail\":\"",
                $detail,
                "\"}\n"
            )
            .as_bytes(),
        )
    };
}

/// The answer to a refused request.
pub(super) fn respond(refusal: &Refusal, settings: &ChallengeSettings) -> Response<Bytes> {
    let (status, problem) = words(refusal);
    let mut answer = Response::new(problem);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(challenge) = challenge(refusal, settings) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    match refusal {
        Refusal::MethodNotAllowed { allow } => {
            headers.insert(header::ALLOW, allow.clone());
        }
        // Whole seconds (RFC 9110 §10.2.3), rounded up: who comes too early is refused once more.
        Refusal::IssuerUnavailable { retry_after, .. } => {
            let seconds = retry_after.saturating_add(Duration::from_nanos(999_999_999)).as_secs();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        // IBM's own resource filter answers so.
        Refusal::Conflict => {
            headers.insert(MFP_CONFLICT, HeaderValue::from_static("true"));
        }
        Refusal::Overloaded { .. } | Refusal::Upstream(UpstreamError::NoTarget { .. }) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rest of the body may still come, and must not be read as a request.
        Refusal::BodyFault(_) => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Refusal::Ambiguous(Ambiguity::Inadmissible(inadmissible)) if inadmissible.is_of_framing() => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Refusal::Ambiguous(_)
        | Refusal::NoRoute
        | Refusal::NoToken { .. }
        | Refusal::BadAuthorization(_)
        | Refusal::InvalidToken { .. }
        | Refusal::InsufficientScope { .. }
        | Refusal::Upstream(
            UpstreamError::Connect { .. }
            | UpstreamError::ConnectTimedOut { .. }
            | UpstreamError::Broken { .. }
            | UpstreamError::NotSwitched { .. }
            | UpstreamError::TimedOut { .. },
        ) => {}
    }
    answer
}

fn words(refusal: &Refusal) -> (StatusCode, Bytes) {
    match refusal {
        Refusal::Ambiguous(_) => (
            StatusCode::BAD_REQUEST,
            problem!(400, "Bad Request", "The request is malformed or can be read in more than one way."),
        ),
        Refusal::NoRoute => (StatusCode::NOT_FOUND, problem!(404, "Not Found", "Nothing is published here.")),
        Refusal::MethodNotAllowed { .. } => (
            StatusCode::METHOD_NOT_ALLOWED,
            problem!(405, "Method Not Allowed", "The Allow header names the methods that can be used here."),
        ),
        Refusal::NoToken { .. } => (
            StatusCode::UNAUTHORIZED,
            problem!(401, "Unauthorized", "An access token is needed: Authorization: Bearer TOKEN."),
        ),
        Refusal::BadAuthorization(_) => (
            StatusCode::BAD_REQUEST,
            problem!(400, "Bad Request", "Expected one Authorization header with one bearer token."),
        ),
        Refusal::InvalidToken { .. } => (
            StatusCode::UNAUTHORIZED,
            problem!(401, "Unauthorized", "The access token is expired, revoked, malformed or not for this API."),
        ),
        Refusal::InsufficientScope { .. } => (
            StatusCode::FORBIDDEN,
            problem!(
                403,
                "Forbidden",
                "The access token lacks scope; the WWW-Authenticate header names what is needed."
            ),
        ),
        Refusal::IssuerUnavailable { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            problem!(503, "Service Unavailable", "The access token cannot be checked at the moment."),
        ),
        Refusal::Conflict => (
            StatusCode::CONFLICT,
            problem!(409, "Conflict", "The authorization server reports a conflict about the access token."),
        ),
        Refusal::Overloaded { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            problem!(503, "Service Unavailable", "Too many requests wait for their access token to be checked."),
        ),
        Refusal::BodyFault(RequestBodyFault::TimedOut) => {
            (StatusCode::REQUEST_TIMEOUT, problem!(408, "Request Timeout", "The request's body did not come in time."))
        }
        Refusal::BodyFault(RequestBodyFault::Broken) => {
            (StatusCode::BAD_REQUEST, problem!(400, "Bad Request", "The request's body is malformed or incomplete."))
        }
        Refusal::Upstream(
            UpstreamError::Connect { .. } | UpstreamError::Broken { .. } | UpstreamError::NotSwitched { .. },
        ) => (StatusCode::BAD_GATEWAY, problem!(502, "Bad Gateway", "The service behind this gateway did not answer.")),
        Refusal::Upstream(UpstreamError::NoTarget { .. }) => (
            StatusCode::SERVICE_UNAVAILABLE,
            problem!(503, "Service Unavailable", "The service behind this gateway is not available."),
        ),
        Refusal::Upstream(UpstreamError::ConnectTimedOut { .. } | UpstreamError::TimedOut { .. }) => (
            StatusCode::GATEWAY_TIMEOUT,
            problem!(504, "Gateway Timeout", "The service behind this gateway did not answer in time."),
        ),
    }
}

fn challenge(refusal: &Refusal, settings: &ChallengeSettings) -> Option<HeaderValue> {
    let (error, description, scope) = match refusal {
        Refusal::NoToken { scope } => (None, None, scope.as_deref()),
        Refusal::BadAuthorization(_) => {
            (Some(ErrorCode::InvalidRequest), Some("expected one bearer token in one Authorization header"), None)
        }
        Refusal::InvalidToken { reason, .. } => (Some(ErrorCode::InvalidToken), Some(*reason), None),
        Refusal::InsufficientScope { needed, .. } => {
            let description = "the access token does not grant the scope that this request needs";
            (Some(ErrorCode::InsufficientScope), Some(description), Some(needed.as_str()))
        }
        Refusal::Ambiguous(_)
        | Refusal::NoRoute
        | Refusal::MethodNotAllowed { .. }
        | Refusal::IssuerUnavailable { .. }
        | Refusal::Overloaded { .. }
        | Refusal::Conflict
        | Refusal::BodyFault(_)
        | Refusal::Upstream(_) => return None,
    };
    let challenge = Challenge {
        realm: settings.realm.as_deref(),
        error,
        description: description.filter(|_| settings.describe),
        scope,
        resource_metadata: None,
    };
    Some(challenge.to_header_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_come_before_it_is_worth_it() {
        for (millis, told) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (5000, "5"), (29_500, "30")] {
            let retry_after = Duration::from_millis(millis);
            let refusal = Refusal::IssuerUnavailable { issuer: "corp".into(), retry_after, cause: String::new() };
            let answer = respond(&refusal, &ChallengeSettings::default());
            assert_eq!(answer.headers()[header::RETRY_AFTER], told, "{millis} ms");
        }
    }
}
