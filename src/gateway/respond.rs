//! The only place where a [`Refusal`] becomes a response.
//!
//! 1. Status and challenge follow RFC 6750 §3. Bodies are problem details (RFC 9457) with a fixed
//!    text for each case, so that they repeat nothing of the request, the token or the gateway's
//!    state.
//! 2. A client is blamed only for its own faults. If an authorization server or an upstream fails,
//!    the response is a 5xx without a Bearer error.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::grpc;
use super::refusal::{Ambiguity, Refusal};
use super::security_events::SecurityEventFault;
use crate::oauth::challenge::{Challenge, ErrorCode};
use crate::oauth::security_event::ErrorCode as SecurityEventErrorCode;
use crate::policy::mcp::McpError;
use crate::policy::step_up::UnmetStepUp;
use crate::revocation::RevokeError;
use crate::upstream::{RequestBodyFault, UpstreamError};
use crate::verify::SecurityEventRefusal;

const PROBLEM: &str = "application/problem+json";
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// Seconds: within them a gateway has read what it missed once Redis is back.
const RETRY_AFTER_STALE: u16 = 5;
const MFP_CONFLICT: HeaderName = HeaderName::from_static("mfp-conflict");

/// Where a client looks for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientProtocol {
    /// Status and body.
    Http,
    /// `grpc-status`.
    Grpc,
}

impl ClientProtocol {
    pub(super) fn of(request: &HeaderMap) -> Self {
        if grpc::is_call(request) {
            Self::Grpc
        } else {
            Self::Http
        }
    }
}

/// What challenges contain: `[challenge]`.
#[derive(Debug, Clone, Default)]
pub struct ChallengeSettings {
    /// The `realm`, if any.
    pub realm: Option<String>,
    /// Whether they have an `error_description`.
    pub describe: bool,
    /// Whether a 401 without a token names the scope that the request needs.
    pub scope_when_unauthenticated: bool,
}

/// What the response to a refusal depends on, beside the refusal.
#[derive(Clone, Copy)]
pub(super) struct RefusalContext<'s> {
    pub(super) settings: &'s ChallengeSettings,
    /// The URL of the metadata of the route's resource, which every challenge names.
    pub(super) resource_metadata: Option<&'s str>,
    pub(super) protocol: ClientProtocol,
}

/// The status and texts of one kind of refusal.
struct Problem {
    status: StatusCode,
    detail: &'static str,
    /// Status, title and detail as problem details.
    body: &'static str,
}

macro_rules! problem {
    ($status:literal, $title:literal, $detail:literal) => {
        Problem {
            status: const { status($status) },
            detail: $detail,
            body: concat!(
                "{\"type\":\"about:blank\",\"title\":\"",
                $title,
                "\",\"status\":",
                $status,
                ",\"detail\":\"",
                $detail,
                "\"}\n"
            ),
        }
    };
}

/// The response to a refused request.
#[expect(clippy::too_many_lines, reason = "an exhaustive table")]
pub(super) fn respond(refusal: &Refusal, context: RefusalContext<'_>) -> Response<Bytes> {
    let problem = problem(refusal);
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = problem.status;
    match context.protocol {
        ClientProtocol::Http => {
            let (body, media_type) = body(refusal, &problem);
            *response.body_mut() = body;
            let media_type = HeaderValue::from_static(media_type);
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, media_type);
        }
        ClientProtocol::Grpc => grpc::write_status(refusal, problem.detail, response.headers_mut()),
    }
    let headers = response.headers_mut();
    if let Some(challenge) = challenge(refusal, context) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    match refusal {
        Refusal::MethodNotAllowed { allow, .. } => {
            headers.insert(header::ALLOW, allow.clone());
        }
        Refusal::IssuerUnavailable { retry_after, .. }
        | Refusal::Overloaded { retry_after, .. } => {
            headers.insert(header::RETRY_AFTER, whole_seconds(*retry_after));
        }
        Refusal::RateLimited(limited) => {
            headers.insert(header::RETRY_AFTER, whole_seconds(limited.retry_after));
        }
        Refusal::SecurityEvent(fault) => {
            if let Some(after) = fault.retry_after() {
                headers.insert(header::RETRY_AFTER, whole_seconds(after));
            } else {
                // RFC 8935 §2.3.
                let english = HeaderValue::from_static("en");
                headers.insert(header::CONTENT_LANGUAGE, english);
            }
        }
        Refusal::RevocationsStale => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_STALE));
        }
        // As IBM's own resource filter responds.
        Refusal::Conflict => {
            headers.insert(MFP_CONFLICT, HeaderValue::from_static("true"));
        }
        Refusal::Upstream(UpstreamError::NoTarget { .. } | UpstreamError::LocalSocket { .. }) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // The rest of the body may still arrive, and must not be read as a request.
        Refusal::BodyFault(_) | Refusal::Internal => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Refusal::Ambiguous(Ambiguity::Inadmissible(inadmissible))
            if inadmissible.is_framing_error() =>
        {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Refusal::Ambiguous(_)
        | Refusal::NoRoute { .. }
        | Refusal::OriginNotAllowed { .. }
        | Refusal::AddressNotAllowed { .. }
        | Refusal::NoToken { .. }
        | Refusal::BadAuthorization(_)
        | Refusal::InvalidToken { .. }
        | Refusal::TokenTooLarge { .. }
        | Refusal::StepUp(_)
        | Refusal::InsufficientScope { .. }
        | Refusal::ClaimNotMet(_)
        | Refusal::Mcp(_)
        | Refusal::Upstream(
            UpstreamError::Connect { .. }
            | UpstreamError::ConnectTimedOut { .. }
            | UpstreamError::Broken { .. }
            | UpstreamError::NotSwitched { .. }
            | UpstreamError::TimedOut { .. },
        ) => {}
    }
    response
}

// Whole seconds (RFC 9110 §10.2.3), rounded up: a client that retries too early is refused again.
fn whole_seconds(retry_after: Duration) -> HeaderValue {
    let seconds = retry_after.saturating_add(Duration::from_nanos(999_999_999));
    HeaderValue::from(seconds.as_secs().max(1))
}

const fn status(code: u16) -> StatusCode {
    match StatusCode::from_u16(code) {
        Ok(status) => status,
        Err(_) => panic!("a status has three digits"),
    }
}

#[expect(clippy::too_many_lines, reason = "an exhaustive table")]
fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Ambiguous(_) => {
            problem!(
                400,
                "Bad Request",
                "The request is malformed or can be read in more than one way."
            )
        }
        Refusal::NoRoute { .. } => problem!(404, "Not Found", "Nothing is published here."),
        Refusal::MethodNotAllowed { .. } => {
            problem!(
                405,
                "Method Not Allowed",
                "The Allow header names the methods that can be used here."
            )
        }
        Refusal::OriginNotAllowed { .. } => {
            problem!(
                403,
                "Forbidden",
                "Pages of this origin may not use this API."
            )
        }
        Refusal::AddressNotAllowed { .. } => {
            problem!(
                403,
                "Forbidden",
                "Clients of this network may not use this API."
            )
        }
        // RFC 6585 §4.
        Refusal::RateLimited(_) => {
            problem!(
                429,
                "Too Many Requests",
                "More requests than are allowed; the Retry-After header says when to try again."
            )
        }
        Refusal::NoToken { .. } => {
            problem!(
                401,
                "Unauthorized",
                "An access token is needed: Authorization: Bearer TOKEN."
            )
        }
        Refusal::BadAuthorization(_) => {
            problem!(
                400,
                "Bad Request",
                "Expected one access token, well-formed and in one place."
            )
        }
        Refusal::InvalidToken { .. } => {
            problem!(
                401,
                "Unauthorized",
                "The access token is expired, revoked, malformed or not for this API."
            )
        }
        // RFC 6585 §5. After a 401 the client would fetch another token, as large as this one,
        // without end.
        Refusal::TokenTooLarge { .. } => {
            problem!(
                431,
                "Request Header Fields Too Large",
                "The access token is larger than this gateway accepts."
            )
        }
        Refusal::StepUp(_) => {
            problem!(
                401,
                "Unauthorized",
                "The user must sign in again, as the WWW-Authenticate header says."
            )
        }
        Refusal::InsufficientScope { .. } => {
            problem!(
                403,
                "Forbidden",
                "The access token lacks scope; the WWW-Authenticate header names what is needed."
            )
        }
        Refusal::ClaimNotMet(_) => {
            problem!(
                403,
                "Forbidden",
                "The access token is valid, but may not be used for this."
            )
        }
        Refusal::Mcp(fault) => mcp_problem(&fault.error),
        Refusal::SecurityEvent(fault) => security_event_problem(fault),
        Refusal::IssuerUnavailable { .. } | Refusal::RevocationsStale => {
            problem!(
                503,
                "Service Unavailable",
                "The access token cannot be checked at the moment."
            )
        }
        Refusal::Conflict => {
            problem!(
                409,
                "Conflict",
                "The authorization server reports a conflict about the access token."
            )
        }
        Refusal::Overloaded { .. } => {
            problem!(
                503,
                "Service Unavailable",
                "Too many requests wait for their access token to be checked."
            )
        }
        Refusal::Internal => problem!(
            500,
            "Internal Server Error",
            "The gateway failed at this request."
        ),
        Refusal::BodyFault(RequestBodyFault::TimedOut) => {
            problem!(
                408,
                "Request Timeout",
                "The request's body did not come in time."
            )
        }
        Refusal::BodyFault(RequestBodyFault::TooLarge(_)) => {
            problem!(
                413,
                "Content Too Large",
                "The request's body is larger than is accepted here."
            )
        }
        Refusal::BodyFault(RequestBodyFault::Broken) => {
            problem!(
                400,
                "Bad Request",
                "The request's body is malformed or incomplete."
            )
        }
        Refusal::Upstream(
            UpstreamError::Connect { .. }
            | UpstreamError::Broken { .. }
            | UpstreamError::NotSwitched { .. },
        ) => problem!(
            502,
            "Bad Gateway",
            "The service behind this gateway did not respond."
        ),
        Refusal::Upstream(UpstreamError::LocalSocket { .. }) => {
            problem!(
                503,
                "Service Unavailable",
                "The gateway is at a limit of its own."
            )
        }
        Refusal::Upstream(UpstreamError::NoTarget { .. }) => {
            problem!(
                503,
                "Service Unavailable",
                "The service behind this gateway is not available."
            )
        }
        Refusal::Upstream(
            UpstreamError::ConnectTimedOut { .. } | UpstreamError::TimedOut { .. },
        ) => {
            problem!(
                504,
                "Gateway Timeout",
                "The service behind this gateway did not respond in time."
            )
        }
    }
}

fn mcp_problem(error: &McpError) -> Problem {
    match error {
        McpError::MediaType(_) => problem!(
            415,
            "Unsupported Media Type",
            "Expected Content-Type: application/json in UTF-8, and no Content-Encoding."
        ),
        McpError::NoRule(_) => {
            problem!(403, "Forbidden", "This operation may not be used here.")
        }
        McpError::Message(_)
        | McpError::UnexpectedBody
        | McpError::Header(_)
        | McpError::UnknownRevision(_)
        | McpError::RevisionWithoutHeaders(_) => problem!(
            400,
            "Bad Request",
            "The message is malformed, or differs from the headers that mirror it."
        ),
    }
}

// The response to a token that is at fault has another body, which RFC 8935 defines: see `body`.
fn security_event_problem(fault: &SecurityEventFault) -> Problem {
    match fault {
        SecurityEventFault::NotVerified(SecurityEventRefusal::Invalid { .. }) => {
            problem!(400, "Bad Request", "The Security Event Token is refused.")
        }
        SecurityEventFault::TooMany { .. } => {
            problem!(
                429,
                "Too Many Requests",
                "Too many Security Event Tokens came from this client."
            )
        }
        SecurityEventFault::NotVerified(
            SecurityEventRefusal::Unavailable { .. } | SecurityEventRefusal::Overloaded { .. },
        ) => {
            problem!(
                503,
                "Service Unavailable",
                "The Security Event Token cannot be checked at the moment."
            )
        }
        SecurityEventFault::NotRevoked { error, .. } => match error {
            RevokeError::Full(_) => problem!(
                507,
                "Insufficient Storage",
                "No more revocations can be stored at the moment."
            ),
            RevokeError::NotWritten(_) => problem!(
                503,
                "Service Unavailable",
                "The revocation cannot be stored at the moment."
            ),
        },
    }
}

// RFC 8935 §2.3. Fixed texts, as in problem details.
fn security_event_error(code: SecurityEventErrorCode) -> &'static str {
    match code {
        SecurityEventErrorCode::InvalidRequest => {
            "{\"err\":\"invalid_request\",\"description\":\"The body is no Security Event Token, or its claims or events are malformed or not supported.\"}\n"
        }
        SecurityEventErrorCode::InvalidKey => {
            "{\"err\":\"invalid_key\",\"description\":\"The key or the algorithm of the signature is not acceptable.\"}\n"
        }
        SecurityEventErrorCode::InvalidIssuer => {
            "{\"err\":\"invalid_issuer\",\"description\":\"The issuer is not known here.\"}\n"
        }
        SecurityEventErrorCode::InvalidAudience => {
            "{\"err\":\"invalid_audience\",\"description\":\"The audience is not this gateway.\"}\n"
        }
        SecurityEventErrorCode::AuthenticationFailed => {
            "{\"err\":\"authentication_failed\",\"description\":\"The signature is missing or wrong.\"}\n"
        }
        SecurityEventErrorCode::AccessDenied => {
            "{\"err\":\"access_denied\",\"description\":\"The issuer may not send this event here.\"}\n"
        }
    }
}

// Problem details. Clients of MCP look for an error of JSON-RPC instead, and transmitters of events
// for one of RFC 8935.
fn body(refusal: &Refusal, problem: &Problem) -> (Bytes, &'static str) {
    if let Refusal::Mcp(fault) = refusal
        && let Some(response) = fault.response()
    {
        return (Bytes::from(response), "application/json");
    }
    if let Refusal::RateLimited(limited) = refusal {
        return (quota_exceeded(&limited.name, problem), PROBLEM);
    }
    if let Refusal::SecurityEvent(fault) = refusal
        && let SecurityEventFault::NotVerified(SecurityEventRefusal::Invalid { code, .. }) = **fault
    {
        let error = security_event_error(code);
        return (Bytes::from_static(error.as_bytes()), "application/json");
    }
    let problem = Bytes::from_static(problem.body.as_bytes());
    (problem, PROBLEM)
}

// The problem type of draft-ietf-httpapi-ratelimit-headers. The name of the limit is in the response's
// RateLimit, too.
fn quota_exceeded(name: &str, problem: &Problem) -> Bytes {
    let body = problem.body.replacen("about:blank", QUOTA_EXCEEDED, 1);
    let members = body.trim_end().trim_end_matches('}');
    Bytes::from(format!("{members},\"violated-policies\":[\"{name}\"]}}\n"))
}

fn step_up(refusal: &Refusal) -> Option<&UnmetStepUp> {
    if let Refusal::StepUp(unmet) = refusal {
        Some(unmet)
    } else {
        None
    }
}

fn challenge(refusal: &Refusal, context: RefusalContext<'_>) -> Option<HeaderValue> {
    let (error, description, scope) = match refusal {
        Refusal::NoToken { scope, .. } => (None, None, scope.as_deref()),
        Refusal::BadAuthorization(_) => (
            Some(ErrorCode::InvalidRequest),
            Some("expected one access token, well-formed and in one place"),
            None,
        ),
        Refusal::InvalidToken { reason, scope, .. } => (
            Some(ErrorCode::InvalidToken),
            Some(*reason),
            scope.as_deref(),
        ),
        Refusal::StepUp(unmet) => {
            let description = "the user must sign in again, or in another way";
            (
                Some(ErrorCode::InsufficientUserAuthentication),
                Some(description),
                unmet.scope.as_deref(),
            )
        }
        Refusal::InsufficientScope { needed, .. } => {
            let description = "the access token does not grant the scope that this request needs";
            (
                Some(ErrorCode::InsufficientScope),
                Some(description),
                Some(needed.as_str()),
            )
        }
        Refusal::Ambiguous(_)
        | Refusal::NoRoute { .. }
        | Refusal::MethodNotAllowed { .. }
        | Refusal::OriginNotAllowed { .. }
        | Refusal::AddressNotAllowed { .. }
        | Refusal::RateLimited(_)
        | Refusal::TokenTooLarge { .. }
        | Refusal::ClaimNotMet(_)
        | Refusal::Mcp(_)
        | Refusal::SecurityEvent(_)
        | Refusal::IssuerUnavailable { .. }
        | Refusal::RevocationsStale
        | Refusal::Overloaded { .. }
        | Refusal::Conflict
        | Refusal::BodyFault(_)
        | Refusal::Upstream(_)
        | Refusal::Internal => return None,
    };
    let step_up = step_up(refusal);
    let challenge = Challenge {
        realm: context.settings.realm.as_deref(),
        error,
        description: description.filter(|_| context.settings.describe),
        acr_values: step_up.and_then(|unmet| unmet.acr_values.as_deref()),
        max_age: step_up.and_then(|unmet| unmet.max_age.as_deref()),
        scope,
        resource_metadata: context.resource_metadata,
    };
    Some(challenge.to_header_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (millis, seconds) in [
            (0, "1"),
            (1, "1"),
            (1000, "1"),
            (1001, "2"),
            (5000, "5"),
            (29_500, "30"),
        ] {
            let retry_after = Duration::from_millis(millis);
            let refusal = Refusal::IssuerUnavailable {
                issuer: "corp".into(),
                retry_after,
                cause: String::new(),
            };
            let context = RefusalContext {
                settings: &ChallengeSettings::default(),
                resource_metadata: None,
                protocol: ClientProtocol::Http,
            };
            let response = respond(&refusal, context);
            assert_eq!(
                response.headers()[header::RETRY_AFTER],
                seconds,
                "{millis} ms"
            );
        }
    }
}
