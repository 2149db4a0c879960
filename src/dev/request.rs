//! Parameters and client credentials of requests, and their errors (RFC 6749 §5.2, RFC 6750 §3.1).
//!
//! 1. Parameters are a form, as the RFC requires, or a JSON object, as Aidbox's clients send it.
//! 2. A parameter without a value counts as omitted, and none but `resource` may be repeated (§3.2,
//!    RFC 8707 §2).
//! 3. A client authenticates by Basic or in the body, never both at once (§2.3).
//! 4. An access token instead of client credentials is accepted in `Authorization` only.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;

use super::audience::{MAX_RESOURCES, is_resource};
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
            | Self::InvalidTarget(text) => text,
            Self::UnsupportedGrantType => "expected grant_type client_credentials",
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

/// The parameters of one request; only `resource` may be repeated.
#[derive(Default)]
pub(super) struct Parameters {
    by_name: BTreeMap<String, String>,
    resources: Vec<String>,
}

/// Credentials that a client presents, not verified yet.
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
    /// Id and secret as Basic spells them: many clients send both as they are (RFC 7617).
    pub(super) literal: Option<(String, String)>,
}

impl Parameters {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, RequestError> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let parameters = if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::deserialize(MapDeserializer::<_, ValueError>::new(
                form_urlencoded::parse(body),
            ))
            .ok()
        } else if media_type.eq_ignore_ascii_case("application/json") {
            serde_json::from_slice(body).ok()
        } else {
            return Err(RequestError::InvalidRequest(
                "expected a form or JSON, with a matching Content-Type",
            ));
        };
        parameters.ok_or(RequestError::InvalidRequest(
            "expected each parameter at most once, with a string value",
        ))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.by_name
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The values of `resource`, each an absolute URI (RFC 8707 §2).
    pub(super) fn resources(&self) -> Result<&[String], RequestError> {
        if self.resources.len() > MAX_RESOURCES {
            return Err(RequestError::InvalidTarget(
                "expected at most 8 resource parameters",
            ));
        }
        if !self.resources.iter().all(|resource| is_resource(resource)) {
            return Err(RequestError::InvalidTarget(
                "expected each resource to be an absolute URI without a fragment",
            ));
        }
        Ok(&self.resources)
    }

    /// The parameter `token` (RFC 7009 §2.1, RFC 7662 §2.1). `token_type_hint` is ignored: there
    /// are only access tokens.
    pub(super) fn token(&self) -> Result<&str, RequestError> {
        self.get("token")
            .ok_or(RequestError::InvalidRequest("expected the parameter token"))
    }
}

impl Credentials {
    /// Reads them from `Authorization` or the body (RFC 6749 §2.3.1).
    pub(super) fn read(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, RequestError> {
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let credentials = match (
            authorizations.next(),
            authorizations.next(),
            parameters.get("client_secret"),
        ) {
            (Some(_), Some(_), _) | (Some(_), None, Some(_)) => {
                return Err(RequestError::SEVERAL_AUTHENTICATIONS);
            }
            (Some(header), None, None) => basic_credentials(header).ok_or(
                RequestError::InvalidClient("expected well-formed Basic credentials"),
            )?,
            (None, _, Some(secret)) => match parameters.get("client_id") {
                Some(id) => Self {
                    id: id.to_owned(),
                    secret: secret.to_owned(),
                    literal: None,
                },
                None => {
                    return Err(RequestError::InvalidRequest(
                        "expected client_id beside client_secret",
                    ));
                }
            },
            (None, _, None) => {
                return Err(RequestError::InvalidClient(
                    "expected client authentication",
                ));
            }
        };
        // Many clients repeat their client_id beside Basic. It must name the same client.
        if parameters
            .get("client_id")
            .is_some_and(|repeated| !credentials.has_id(repeated))
        {
            return Err(RequestError::InvalidRequest(
                "expected client_id to be the client that authenticates",
            ));
        }
        Ok(credentials)
    }
}

impl Credentials {
    /// Whether they name this client, in either spelling.
    pub(super) fn has_id(&self, id: &str) -> bool {
        self.id == id
            || self
                .literal
                .as_ref()
                .is_some_and(|(literal, _)| literal == id)
    }
}

fn basic_credentials(header: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim_start_matches(' ')).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some(Credentials {
        id: decode_form_value(id),
        secret: decode_form_value(secret),
        literal: Some((id.to_owned(), secret.to_owned())),
    })
}

// Id and secret are form-encoded before they are joined, so that an id may contain a colon
// (RFC 6749 §2.3.1).
fn decode_form_value(text: &str) -> String {
    let pair = format!("={}", text.replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

// In serde's maps the last of two repeated keys would win.
struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parameters")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parameters, M::Error> {
        let mut parameters = Parameters::default();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Null => String::new(),
                Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(M::Error::custom("not a string"));
                }
            };
            if name == "resource" {
                parameters
                    .resources
                    .extend(Some(text).filter(|text| !text.is_empty()));
            } else if parameters.by_name.insert(name, text).is_some() {
                return Err(M::Error::custom("repeated parameter"));
            }
        }
        Ok(parameters)
    }
}
