//! Why a request is rejected: the errors of RFC 6749 §5.2 and RFC 6750 §3.1.

use http::{HeaderValue, StatusCode};

use crate::oauth::bearer::BearerError;
use crate::oauth::challenge::{Challenge, ErrorCode};

/// Why a request is rejected (RFC 6749 §5.2). Texts are constants, so that no secret can get into a
/// response or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestError {
    InvalidRequest(&'static str),
    InvalidClient(&'static str),
    UnauthorizedClient(&'static str),
    InvalidScope(&'static str),
    /// An authorization code that is not redeemed (RFC 6749 §5.2).
    InvalidGrant(&'static str),
    UnsupportedResponseType,
    /// A `redirect_uri` that leads off this machine (RFC 7591 §3.2.2).
    InvalidRedirectUri,
    InvalidClientMetadata(&'static str),
    /// A `resource` that is no URI or was not granted (RFC 8707 §2).
    InvalidTarget(&'static str),
    UnsupportedGrantType,
    BodyTooLarge,
    TooSlow,
    ServerError,
    /// No access token in the request (RFC 6750 §3.1).
    NoToken,
    /// A malformed `Authorization` header of the Bearer scheme (RFC 6750 §3.1).
    MalformedBearer,
    /// The token in `Authorization` is not active (RFC 6750 §3.1).
    InvalidToken,
    /// That token does not grant this scope (RFC 6750 §3.1).
    InsufficientScope(&'static str),
}

impl RequestError {
    /// Two sets of credentials may name two clients (RFC 6749 §2.3).
    pub(super) const SEVERAL_AUTHENTICATIONS: Self =
        Self::InvalidRequest("expected one client authentication method, but found more");

    pub(super) const REPEATED_PARAMETER: Self =
        Self::InvalidRequest("expected each parameter at most once, with a string value");

    pub(super) fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_)
            | Self::BodyTooLarge
            | Self::TooSlow
            | Self::MalformedBearer => "invalid_request",
            Self::InvalidClient(_) => "invalid_client",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata(_) => "invalid_client_metadata",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::ServerError => "server_error",
            // RFC 6750 has no error code for a request without a token.
            Self::NoToken => "unauthorized",
            Self::InvalidToken => ErrorCode::InvalidToken.as_str(),
            Self::InsufficientScope(_) => ErrorCode::InsufficientScope.as_str(),
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest(text)
            | Self::InvalidClient(text)
            | Self::UnauthorizedClient(text)
            | Self::InvalidScope(text)
            | Self::InvalidGrant(text)
            | Self::InvalidClientMetadata(text)
            | Self::InvalidTarget(text) => text,
            Self::UnsupportedResponseType => "expected response_type code",
            Self::InvalidRedirectUri => {
                "expected 1 to 8 redirect_uris, each http or https on localhost, 127.0.0.1 or [::1]"
            }
            Self::UnsupportedGrantType => {
                "expected grant_type authorization_code or client_credentials"
            }
            Self::BodyTooLarge => "expected a body of at most 64 KiB",
            Self::TooSlow => "expected the body within 10 seconds",
            Self::ServerError => "no token could be made",
            Self::NoToken => "expected an access token in the Authorization header",
            Self::MalformedBearer => "expected exactly one token after the scheme Bearer",
            Self::InvalidToken => "expected an active access token of this server",
            Self::InsufficientScope(_) => {
                "expected an access token that grants the scope of the challenge"
            }
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient(_) | Self::NoToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) => StatusCode::FORBIDDEN,
            Self::InvalidRequest(_)
            | Self::UnauthorizedClient(_)
            | Self::InvalidScope(_)
            | Self::InvalidTarget(_)
            | Self::InvalidGrant(_)
            | Self::UnsupportedResponseType
            | Self::InvalidRedirectUri
            | Self::InvalidClientMetadata(_)
            | Self::UnsupportedGrantType
            | Self::MalformedBearer => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// `WWW-Authenticate`, with the scheme that the endpoint expects (RFC 6749 §5.2, RFC 6750 §3).
    pub(super) fn challenge(self) -> Option<HeaderValue> {
        let bearer = |error, scope| {
            Some(
                Challenge {
                    error,
                    scope,
                    ..Challenge::default()
                }
                .to_header_value(),
            )
        };
        match self {
            Self::InvalidClient(_) => Some(HeaderValue::from_static(
                r#"Basic realm="scopegate development""#,
            )),
            Self::NoToken => bearer(None, None),
            Self::MalformedBearer => bearer(Some(ErrorCode::InvalidRequest), None),
            Self::InvalidToken => bearer(Some(ErrorCode::InvalidToken), None),
            Self::InsufficientScope(scope) => {
                bearer(Some(ErrorCode::InsufficientScope), Some(scope))
            }
            Self::InvalidRequest(_)
            | Self::UnauthorizedClient(_)
            | Self::InvalidScope(_)
            | Self::InvalidTarget(_)
            | Self::InvalidGrant(_)
            | Self::UnsupportedResponseType
            | Self::InvalidRedirectUri
            | Self::InvalidClientMetadata(_)
            | Self::UnsupportedGrantType
            | Self::BodyTooLarge
            | Self::TooSlow
            | Self::ServerError => None,
        }
    }
}

impl From<BearerError> for RequestError {
    fn from(error: BearerError) -> Self {
        match error {
            BearerError::Missing | BearerError::OtherScheme => Self::NoToken,
            BearerError::Malformed | BearerError::Repeated => Self::MalformedBearer,
        }
    }
}
