//! Every reason for which a client does not get its upstream's response.

use std::sync::Arc;
use std::time::Duration;

use http::uri::InvalidUri;
use http::{HeaderValue, Method};

use super::admission::Inadmissible;
use super::security_events::SecurityEventFault;
use crate::client_limits::ClientAddress;
use crate::oauth::bearer::BearerError;
use crate::oauth::claims::ActiveToken;
use crate::oauth::scope::ScopePattern;
use crate::oauth::security_event::ErrorCode;
use crate::policy::claim_rules::UnmetClaim;
use crate::policy::decision::Denial;
use crate::policy::mcp::{McpError, McpFault};
use crate::policy::path::PathError;
use crate::policy::requirement::UnusableParameter;
use crate::policy::route_table::{HostRoutes, NoRoute};
use crate::policy::step_up::UnmetStepUp;
use crate::policy::token_sources::TokenError;
use crate::rate_limits::RateLimited;
use crate::revocation::RevokeError;
use crate::telemetry::RefusalDetail;
use crate::text::truncated;
use crate::upstream::headers::{ForbiddenConnectionOption, UnknownClient};
use crate::upstream::{RequestBodyFault, UpstreamError};
use crate::verify::{SecurityEventRefusal, VerifyError};

/// Why the gateway responds itself. `respond` alone decides what the client learns of it; the rest is
/// for the operator.
#[derive(Debug)]
pub enum Refusal {
    /// Two servers might read the request in two ways.
    Ambiguous(Ambiguity),
    /// No route has this host and path.
    NoRoute {
        /// The requested host; empty for none.
        host: Box<str>,
        /// Which routes were searched for the path.
        among: HostRoutes,
    },
    /// A route has this path, but does not allow the method.
    MethodNotAllowed {
        /// The methods that it allows.
        allow: HeaderValue,
        /// The requested method.
        found: Method,
    },
    /// A page whose origin may not use the route.
    OriginNotAllowed {
        /// The rule that does not allow it.
        rule: OriginRule,
        /// The origin, quoted and truncated, or what the request has instead of one.
        found: String,
    },
    /// The client's address is not among those that may use the route.
    AddressNotAllowed {
        /// The client address, if it is known.
        found: Result<ClientAddress, UnknownClient>,
    },
    /// More requests than a limit of the route allows.
    RateLimited(Box<RateLimited>),
    /// No bearer token was sent.
    NoToken {
        /// The scope that the request needs, if the challenge is to name it.
        scope: Option<String>,
        /// What was found instead.
        error: TokenError,
    },
    /// The token is malformed where it is sent (RFC 6750 §2.1), or is sent more than once.
    BadAuthorization(TokenError),
    /// The token is invalid, for example expired or revoked.
    InvalidToken {
        /// From a closed set of names.
        reason: &'static str,
        /// For the operator.
        detail: String,
        /// The name in gateway.toml of the issuer that judged it, if one did.
        issuer: Option<Arc<str>>,
        /// The scope that the request needs, if the challenge is to name it.
        scope: Option<Box<str>>,
    },
    /// The token is larger than `max_token_size`.
    TokenTooLarge {
        /// Bytes of the token.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The user of the token must sign in again (RFC 9470).
    StepUp(Box<UnmetStepUp>),
    /// The token lacks scope.
    InsufficientScope {
        /// The scope that the request needs.
        needed: String,
        /// The token that lacks it.
        token: Arc<ActiveToken>,
    },
    /// The token does not meet a rule of the route over its claims.
    ClaimNotMet(UnmetClaim),
    /// An MCP server may find another operation in the request than the one that was judged, or no
    /// rule matches the operation.
    Mcp(Box<McpFault>),
    /// A Security Event Token is not accepted, or what it says is not revoked.
    SecurityEvent(Box<SecurityEventFault>),
    /// The issuer's keys or introspection responses are unavailable.
    IssuerUnavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When a retry may succeed.
        retry_after: Duration,
        /// For the operator.
        cause: String,
    },
    /// The fleet was not heard, so the token may have been revoked (`stale_revocations = "closed"`).
    RevocationsStale,
    /// Too many new tokens wait to be verified.
    Overloaded {
        /// Which limit is reached.
        bound: &'static str,
        /// When a retry may succeed.
        retry_after: Duration,
    },
    /// The authorization server responded 409, which MobileFirst forwards to its clients.
    Conflict,
    /// The client did not send the body that it announced.
    BodyFault(RequestBodyFault),
    /// The upstream failed.
    Upstream(UpstreamError),
    /// A fault of the gateway.
    Internal,
}

/// The rule by which an origin is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginRule {
    /// `cors`, for a preflight.
    Cors,
    /// The origins of a cookie that holds the token.
    Cookie,
    /// `mcp.origins`, or the origin of the resource.
    Mcp,
}

/// What makes a request ambiguous.
#[derive(Debug, thiserror::Error)]
pub enum Ambiguity {
    /// Its host or its framing.
    #[error(transparent)]
    Inadmissible(#[from] Inadmissible),
    /// Its path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Its path, which some servers read as that of another route.
    #[error(
        "expected a path that no server takes for that of a stricter route, but found one of {through:?} that some take \
         for {route:?} (declare the path itself if it is meant)"
    )]
    Lookalike {
        /// The path of the other route.
        route: String,
        /// The path of the route that the request matches.
        through: String,
    },
    /// Its `Connection` header.
    #[error(transparent)]
    Nominated(#[from] ForbiddenConnectionOption),
    /// Its target in origin-form.
    #[error("target: {0}")]
    Target(#[from] InvalidUri),
    /// A path parameter that a scope is made of.
    #[error(transparent)]
    Parameter(#[from] UnusableParameter),
}

impl Refusal {
    /// From a closed set of names, for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Ambiguous(Ambiguity::Inadmissible(_)) => "inadmissible",
            Self::Ambiguous(Ambiguity::Path(_) | Ambiguity::Target(_)) => "ambiguous_path",
            Self::Ambiguous(Ambiguity::Lookalike { .. }) => "lookalike_path",
            Self::Ambiguous(Ambiguity::Nominated(_)) => "connection_nominates",
            Self::Ambiguous(Ambiguity::Parameter(_)) => "unusable_parameter",
            Self::NoRoute { .. } => "no_route",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::OriginNotAllowed { .. } => "origin_not_allowed",
            Self::AddressNotAllowed { .. } => "address_not_allowed",
            Self::RateLimited(_) => "rate_limited",
            Self::NoToken { .. } => "no_token",
            Self::BadAuthorization(_) => "bad_authorization",
            Self::InvalidToken { reason, .. } => reason,
            Self::TokenTooLarge { .. } => "too_long",
            Self::StepUp(_) => "insufficient_user_authentication",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::ClaimNotMet(_) => "claim_not_met",
            Self::Mcp(fault) => match fault.error {
                McpError::MediaType(_) => "unsupported_media_type",
                McpError::Message(_) | McpError::UnexpectedBody => "malformed_message",
                McpError::Header(_) => "header_mismatch",
                McpError::UnknownRevision(_) | McpError::RevisionWithoutHeaders(_) => {
                    "unsupported_revision"
                }
                McpError::NoRule(_) => "operation_not_allowed",
            },
            Self::SecurityEvent(fault) => fault.reason(),
            Self::IssuerUnavailable { .. } => "issuer_unavailable",
            Self::RevocationsStale => "revocations_stale",
            Self::Overloaded { .. } => "overloaded",
            Self::Conflict => "conflict",
            Self::BodyFault(RequestBodyFault::TimedOut) => "request_body_timed_out",
            Self::BodyFault(RequestBodyFault::Broken) => "request_body_broken",
            Self::BodyFault(RequestBodyFault::TooLarge(_)) => "body_too_large",
            Self::Upstream(UpstreamError::Connect { .. }) => "upstream_connect_failed",
            Self::Upstream(UpstreamError::LocalSocket { .. }) => "local_socket_error",
            Self::Upstream(UpstreamError::ConnectTimedOut { .. }) => "upstream_connect_timed_out",
            Self::Upstream(UpstreamError::Broken { .. } | UpstreamError::NotSwitched { .. }) => {
                "upstream_broke_off"
            }
            Self::Upstream(UpstreamError::TimedOut { .. }) => "upstream_timed_out",
            Self::Upstream(UpstreamError::NoTarget { .. }) => "no_target_available",
            Self::Internal => "panicked",
        }
    }

    /// Whether a route in shadow mode forwards the request nevertheless: it is refused only for want
    /// of an acceptable token.
    #[must_use]
    pub(super) fn is_waived_in_shadow_mode(&self) -> bool {
        match self {
            Self::NoToken { .. }
            | Self::InvalidToken { .. }
            | Self::TokenTooLarge { .. }
            | Self::StepUp(_)
            | Self::InsufficientScope { .. }
            | Self::ClaimNotMet(_)
            | Self::IssuerUnavailable { .. }
            | Self::RevocationsStale
            | Self::Overloaded { .. } => true,
            // A request with a token must not fare worse than one without, whose operation is not
            // looked at.
            Self::Mcp(fault) => matches!(fault.error, McpError::NoRule(_)),
            Self::Ambiguous(_)
            | Self::NoRoute { .. }
            | Self::MethodNotAllowed { .. }
            | Self::OriginNotAllowed { .. }
            | Self::AddressNotAllowed { .. }
            // A limit is not about whether the token suffices.
            | Self::RateLimited(_)
            | Self::BadAuthorization(_)
            | Self::SecurityEvent(_)
            | Self::Conflict
            | Self::BodyFault(_)
            | Self::Upstream(_)
            | Self::Internal => false,
        }
    }

    /// Names the scope that the request needs in the challenge of a 401.
    #[cold]
    pub(super) fn name_scope(&mut self, needed: impl FnOnce() -> Option<String>) {
        match self {
            Self::NoToken { scope, .. } => *scope = needed(),
            Self::InvalidToken { scope, .. } => *scope = needed().map(String::into_boxed_str),
            // That of the operation, if the token lacks it.
            Self::StepUp(unmet) => unmet.scope = unmet.scope.take().or_else(needed),
            Self::Ambiguous(_)
            | Self::NoRoute { .. }
            | Self::MethodNotAllowed { .. }
            | Self::OriginNotAllowed { .. }
            | Self::AddressNotAllowed { .. }
            | Self::RateLimited(_)
            | Self::BadAuthorization(_)
            | Self::TokenTooLarge { .. }
            | Self::InsufficientScope { .. }
            | Self::ClaimNotMet(_)
            | Self::Mcp(_)
            | Self::SecurityEvent(_)
            | Self::IssuerUnavailable { .. }
            | Self::RevocationsStale
            | Self::Overloaded { .. }
            | Self::Conflict
            | Self::BodyFault(_)
            | Self::Upstream(_)
            | Self::Internal => {}
        }
    }

    /// The name in gateway.toml of the issuer concerned.
    #[must_use]
    pub fn issuer(&self) -> Option<&Arc<str>> {
        match self {
            Self::InvalidToken { issuer, .. } => issuer.as_ref(),
            Self::SecurityEvent(fault) => fault.issuer(),
            Self::IssuerUnavailable { issuer, .. } => Some(issuer),
            Self::Ambiguous(_)
            | Self::NoRoute { .. }
            | Self::MethodNotAllowed { .. }
            | Self::OriginNotAllowed { .. }
            | Self::AddressNotAllowed { .. }
            | Self::RateLimited(_)
            | Self::NoToken { .. }
            | Self::BadAuthorization(_)
            | Self::TokenTooLarge { .. }
            | Self::StepUp(_)
            | Self::InsufficientScope { .. }
            | Self::ClaimNotMet(_)
            | Self::RevocationsStale
            | Self::Mcp(_)
            | Self::Overloaded { .. }
            | Self::Conflict
            | Self::BodyFault(_)
            | Self::Upstream(_)
            | Self::Internal => None,
        }
    }

    /// What the log says beside the reason.
    pub(super) fn why(&self) -> RefusalDetail {
        RefusalDetail {
            cause: self.cause(),
            missing_scope: self.missing_scope(),
        }
    }

    /// The scopes that the request needs and its token does not grant, if the token lacks scope.
    #[must_use]
    pub fn missing_scope(&self) -> Option<String> {
        let Self::InsufficientScope { needed, token } = self else {
            return None;
        };
        let is_missing = |scope: &&str| {
            ScopePattern::parse(scope).map_or(true, |required| !token.scopes().meets(&required))
        };
        Some(
            needed
                .split(' ')
                .filter(is_missing)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    /// What was expected and what was found, for the operator.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Ambiguous(ambiguity) => Some(ambiguity.to_string()),
            Self::NoRoute { host, among } => Some(not_found(host, *among)),
            Self::MethodNotAllowed { allow, found } => {
                let allow = allow.to_str().unwrap_or_default();
                let expected = allow
                    .rsplit_once(", ")
                    .map(|(others, last)| format!("{others} or {last}"));
                let expected = expected.as_deref().unwrap_or(allow);
                Some(format!(
                    "expected {expected}, but found {}",
                    truncated(found.as_str())
                ))
            }
            // An origin is no secret: it names a page, and never holds a path or a query.
            Self::OriginNotAllowed { rule, found } => Some(rule.cause(found)),
            Self::AddressNotAllowed { found } => Some(address_not_allowed(found)),
            Self::RateLimited(limited) => Some(limited.to_string()),
            // A missing header has no cause beyond the reason.
            Self::NoToken {
                error: error @ TokenError::Header(BearerError::OtherScheme),
                ..
            }
            | Self::BadAuthorization(error) => Some(error.to_string()),
            Self::InvalidToken { detail, .. } => Some(detail.clone()),
            Self::TokenTooLarge { size, limit } => Some(format!(
                "expected a token of at most {limit} bytes (max_token_size), but found {size} bytes"
            )),
            Self::StepUp(unmet) => Some(unmet.to_string()),
            Self::InsufficientScope { needed, token } => Some(if token.scopes().is_empty() {
                format!("expected {needed:?}, but found no scope (see scope_claims)")
            } else {
                format!(
                    "expected {needed:?}, but found {:?}",
                    token.scopes().to_string()
                )
            }),
            Self::ClaimNotMet(unmet) => Some(unmet.to_string()),
            Self::Mcp(fault) => Some(fault.to_string()),
            Self::SecurityEvent(fault) => Some(fault.cause()),
            Self::IssuerUnavailable { cause, .. } => Some(cause.clone()),
            Self::RevocationsStale => Some(
                "no revocations of the fleet were heard for max_revocation_age (see [fleet])"
                    .to_owned(),
            ),
            Self::Overloaded { bound, .. } => Some(format!("too many {bound}")),
            Self::Conflict => Some("the authorization server responded with 409".to_owned()),
            Self::Upstream(error) => Some(error.to_string()),
            Self::BodyFault(RequestBodyFault::TooLarge(too_large)) => Some(too_large.to_string()),
            // The panic hook logs the cause of a panic.
            Self::NoToken { .. }
            | Self::BodyFault(RequestBodyFault::TimedOut | RequestBodyFault::Broken)
            | Self::Internal => None,
        }
    }
}

impl OriginRule {
    fn cause(self, found: &str) -> String {
        match self {
            Self::Cors => format!("expected an origin that cors allows, but found {found}"),
            Self::Cookie => format!("{}; the Origin is {found}", TokenError::ForeignPage),
            Self::Mcp => format!("expected an origin that mcp.origins lists, but found {found}"),
        }
    }
}

fn address_not_allowed(found: &Result<ClientAddress, UnknownClient>) -> String {
    let found = match found {
        Ok(address) => address.to_string(),
        Err(UnknownClient { proxy }) => {
            format!("no address in the X-Forwarded-For of {proxy}")
        }
    };
    format!("expected a client address in allow_from, but found {found}")
}

// A host is short and of few characters. A path is left out: it may hold a secret.
fn not_found(host: &str, among: HostRoutes) -> String {
    match (among, host) {
        (HostRoutes::Own, _) => {
            format!("expected the path of a route for host {host:?}, but found another one")
        }
        (HostRoutes::Any, "") => {
            "expected the path of a route for any host, but found another one".to_owned()
        }
        (HostRoutes::Any, _) => {
            format!(
                "expected the path of a route, but found another one (no route is for host {host:?} alone)"
            )
        }
        (HostRoutes::None, "") => "expected a host that has routes, but found none".to_owned(),
        (HostRoutes::None, _) => format!("expected a host that has routes, but found {host:?}"),
    }
}

impl SecurityEventFault {
    /// From a closed set of names, for logs and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotVerified(SecurityEventRefusal::Invalid { code, .. }) => match code {
                ErrorCode::InvalidRequest => "security_event_invalid_request",
                ErrorCode::InvalidKey => "security_event_invalid_key",
                ErrorCode::InvalidIssuer => "security_event_invalid_issuer",
                ErrorCode::InvalidAudience => "security_event_invalid_audience",
                ErrorCode::AuthenticationFailed => "security_event_authentication_failed",
                ErrorCode::AccessDenied => "security_event_access_denied",
            },
            Self::TooMany { .. } => "too_many_security_events",
            Self::NotVerified(SecurityEventRefusal::Unavailable { .. }) => "issuer_unavailable",
            Self::NotVerified(SecurityEventRefusal::Overloaded { .. }) => "overloaded",
            Self::NotRevoked {
                error: RevokeError::Full(_),
                ..
            } => "revocations_full",
            Self::NotRevoked {
                error: RevokeError::NotWritten(_),
                ..
            } => "revocations_not_written",
        }
    }

    pub(super) fn refuse(self) -> Refusal {
        Refusal::SecurityEvent(Box::new(self))
    }
}

impl<E: Into<Ambiguity>> From<E> for Refusal {
    fn from(ambiguity: E) -> Self {
        Self::Ambiguous(ambiguity.into())
    }
}

impl Refusal {
    /// `path_of` returns the path of the route with this index.
    pub(super) fn from_no_route(
        error: NoRoute,
        host: &str,
        method: &Method,
        path_of: impl Fn(usize) -> String,
    ) -> Self {
        match error {
            NoRoute::NotFound { among } => Self::NoRoute {
                host: host.into(),
                among,
            },
            NoRoute::Lookalike { of, through } => Self::Ambiguous(Ambiguity::Lookalike {
                route: path_of(of),
                through: path_of(through),
            }),
            NoRoute::MethodNotAllowed { allow, of: _ } => Self::MethodNotAllowed {
                allow,
                found: method.clone(),
            },
        }
    }

    pub(super) fn from_verify_error(error: VerifyError) -> Self {
        match error {
            VerifyError::Invalid {
                reason,
                detail,
                issuer,
            } => Self::InvalidToken {
                reason,
                detail,
                issuer,
                scope: None,
            },
            VerifyError::TooLarge { size, limit } => Self::TokenTooLarge { size, limit },
            VerifyError::Unavailable {
                issuer,
                retry_after,
                cause,
            } => Self::IssuerUnavailable {
                issuer,
                retry_after,
                cause,
            },
            VerifyError::Overloaded { bound, retry_after } => {
                Self::Overloaded { bound, retry_after }
            }
            VerifyError::Conflict => Self::Conflict,
        }
    }

    /// The refusal for a denial of this token, if there is one.
    pub(super) fn from_denial(denial: Denial, token: Option<&Arc<ActiveToken>>) -> Self {
        match denial {
            Denial::NoToken => Self::NoToken {
                scope: None,
                error: BearerError::Missing.into(),
            },
            Denial::IssuerNotAccepted => {
                let detail = "not an issuer of the route".to_owned();
                Self::InvalidToken {
                    reason: "issuer_not_accepted",
                    detail,
                    issuer: None,
                    scope: None,
                }
            }
            Denial::AudienceNotAccepted { reason, detail } => Self::InvalidToken {
                reason,
                detail,
                issuer: token.map(|token| Arc::clone(token.shared_issuer_name())),
                scope: None,
            },
            Denial::StepUp(unmet) => Self::StepUp(unmet),
            Denial::InsufficientScope { needed } => match token {
                Some(token) => Self::InsufficientScope {
                    needed,
                    token: Arc::clone(token),
                },
                None => Self::NoToken {
                    scope: None,
                    error: BearerError::Missing.into(),
                },
            },
            Denial::ClaimNotMet(unmet) => Self::ClaimNotMet(unmet),
            Denial::UnusableParameter(unusable) => unusable.into(),
        }
    }
}
