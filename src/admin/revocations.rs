//! `POST /revocations`: revokes tokens before they expire.
//!
//! 1. Only a client that shows `[admin] token` changes anything. Without that key nobody does, on
//!    loopback neither: any process of the machine, and any page in a browser, reaches loopback.
//! 2. The body is one strict JSON object. A misspelt or second selector would revoke something else
//!    than was meant.
//! 3. A client that sends it slowly gets 408.
//! 4. The response is 204 once the revocation is active and in the file.
//! 5. What is revoked is in no log: only its kind, and a part of its digest.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Admin, text_response};
use crate::gateway::Snapshot;
use crate::oauth::UnixTime;
use crate::oauth::bearer::BearerToken;
use crate::oauth::json::parse_object;
use crate::revocation::{Origin, Revocation, RevokeError, Selector, TokenHash};

pub(super) const PATH: &str = "/revocations";

/// How long a body may take. The connection has some time more, for the disk.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a body beside the token that it may contain.
const MAX_BESIDE_TOKEN: usize = 4096;
const MEMBERS: &str = "issuer, issued_before, and one of token, jti, sub, client_id, sid";
const SELECTORS: [&str; 5] = ["token", "jti", "sub", "client_id", "sid"];

/// A refused request.
struct Refused {
    status: StatusCode,
    text: String,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What a body asks for.
struct Requested {
    revocation: Revocation,
    /// The token itself, if that is revoked.
    token: Option<Zeroizing<String>>,
}

impl Admin {
    pub(super) async fn revoke(&self, parts: &Parts, body: Incoming) -> Response<Full<Bytes>> {
        match self.try_revoke(parts, body).await {
            Ok(()) => {
                let mut response = text_response(StatusCode::NO_CONTENT, String::new());
                response.headers_mut().remove(header::CONTENT_TYPE);
                response
            }
            Err(Refused {
                status,
                text,
                header,
            }) => {
                let mut response = text_response(status, format!("{text}\n"));
                response.headers_mut().extend(header);
                response
            }
        }
    }

    async fn try_revoke(&self, parts: &Parts, body: Incoming) -> Result<(), Refused> {
        let snapshot = self.shared_snapshot.load_full();
        check_method(parts)?;
        authenticate(parts, &snapshot)?;
        let Some(revocations) = snapshot.verifier.revocations() else {
            let text = "expected [revocations] in the configuration, but found none";
            return Err(refused(StatusCode::NOT_FOUND, text));
        };
        check_media_type(parts)?;
        let body = read(body, snapshot.verifier.max_token_size() + MAX_BESIDE_TOKEN).await?;
        let now = self.clock.now();
        let Requested { revocation, token } = parse(&body, now)?;
        let token = token.as_ref().map(|token| token.as_str());
        let entries = snapshot
            .verifier
            .revocation_entries(&revocation, token, now)
            .map_err(bad_request)?;
        let entry = entries.first().map(|entry| entry.digest.to_string());
        let kind = revocation
            .selector
            .as_ref()
            .map_or("issuer", Selector::kind);
        let outcome = revocations.revoke(entries, Origin::Here, now).await;
        let issuer = &revocation.issuer;
        match outcome {
            Ok(added) => {
                tracing::info!(issuer, kind, entry, added, "tokens revoked");
                Ok(())
            }
            Err(error @ RevokeError::Full(_)) => {
                tracing::error!(issuer, kind, %error, "revocation refused");
                Err(refused(StatusCode::INSUFFICIENT_STORAGE, error))
            }
            Err(error @ RevokeError::NotWritten(_)) => {
                tracing::error!(issuer, kind, %error, "revocation refused");
                Err(refused(StatusCode::INTERNAL_SERVER_ERROR, error))
            }
        }
    }
}

fn check_method(parts: &Parts) -> Result<(), Refused> {
    if parts.method == Method::POST {
        return Ok(());
    }
    let refusal = refused(StatusCode::METHOD_NOT_ALLOWED, "expected POST");
    Err(refusal.with(header::ALLOW, "POST"))
}

fn authenticate(parts: &Parts, snapshot: &Snapshot) -> Result<(), Refused> {
    let Some(expected) = &snapshot.admin_token else {
        let text = "expected token in [admin], without which nobody may change anything";
        return Err(refused(StatusCode::FORBIDDEN, text));
    };
    let mut shown = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (shown.next(), shown.next());
    let token = first
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    if second.is_none() && token.is_some_and(|token| expected.is(token)) {
        return Ok(());
    }
    let challenge = if first.is_some() {
        "Bearer error=\"invalid_token\""
    } else {
        "Bearer"
    };
    let refusal = refused(
        StatusCode::UNAUTHORIZED,
        "expected Authorization: Bearer with the token of [admin]",
    );
    Err(refusal.with(header::WWW_AUTHENTICATE, challenge))
}

fn check_media_type(parts: &Parts) -> Result<(), Refused> {
    let mut types = parts.headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = |value: &HeaderValue| {
        let (media_type, parameters) = value.to_str().ok()?.split_once(';').map_or_else(
            || (value.to_str().unwrap_or_default(), ""),
            |(media_type, parameters)| (media_type, parameters.trim()),
        );
        let is_utf8 = ["", "charset=utf-8", "charset=\"utf-8\""]
            .iter()
            .any(|accepted| parameters.eq_ignore_ascii_case(accepted));
        Some(is_utf8 && media_type.trim().eq_ignore_ascii_case("application/json"))
    };
    let has_json = types.next().and_then(is_json) == Some(true) && types.next().is_none();
    if has_json && !parts.headers.contains_key(header::CONTENT_ENCODING) {
        Ok(())
    } else {
        let text = "expected Content-Type: application/json";
        Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
    }
}

async fn read(body: Incoming, limit: usize) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let collected = timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    let collected = collected.map_err(|_| {
        let text = format!("expected the whole body within {BODY_TIMEOUT:?}");
        refused(StatusCode::REQUEST_TIMEOUT, text)
    })?;
    match collected {
        Ok(collected) => Ok(Zeroizing::new(collected.to_bytes().to_vec())),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("expected at most {limit} bytes");
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(_) => Err(bad_request("expected a body, but it broke off")),
    }
}

fn parse(body: &[u8], now: UnixTime) -> Result<Requested, Refused> {
    let members = parse_object(body)
        .map_err(|error| bad_request(format!("expected one JSON object, but found: {error}")))?;
    let known =
        |name: &str| SELECTORS.contains(&name) || ["issuer", "issued_before"].contains(&name);
    if members.keys().any(|name| !known(name)) {
        return Err(bad_request(format!(
            "expected only the members {MEMBERS}, but found another one"
        )));
    }
    let issuer = text(&members, "issuer")?
        .ok_or_else(|| bad_request("expected a string as issuer, but found none"))?;
    let found: Vec<_> = SELECTORS
        .into_iter()
        .filter(|name| members.contains_key(*name))
        .collect();
    if found.len() > 1 {
        let found = found.join(" and ");
        return Err(bad_request(format!(
            "expected at most one of token, jti, sub, client_id, sid, but found {found}"
        )));
    }
    let mut token = None;
    let selector = match found.first() {
        None => None,
        Some(&name) => {
            let value = text(&members, name)?.unwrap_or_default().to_owned();
            Some(match name {
                "jti" => Selector::Jti(value),
                "sub" => Selector::Sub(value),
                "client_id" => Selector::ClientId(value),
                "sid" => Selector::Sid(value),
                _ => {
                    let value = Zeroizing::new(value);
                    // A space at its end, for example: no request has such a token.
                    if BearerToken::parse(&value).is_none() {
                        return Err(bad_request(
                            "expected an access token as token, but found characters that none has",
                        ));
                    }
                    let hash = TokenHash::of(&value).map_err(|_| {
                        bad_request("expected an access token as token, but found a malformed JWT")
                    })?;
                    token = Some(value);
                    Selector::Token(hash)
                }
            })
        }
    };
    let issued_before = time(&members, now)?;
    if selector.is_none() && issued_before.is_none() {
        return Err(bad_request(
            "expected one of token, jti, sub, client_id, sid, or issued_before, but found none",
        ));
    }
    let revocation = Revocation {
        issuer: issuer.to_owned(),
        selector,
        issued_before: issued_before.unwrap_or(now),
    };
    Ok(Requested { revocation, token })
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, Refused> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(bad_request(format!(
            "expected a string that is not empty as {name}, but found something else"
        ))),
    }
}

fn time(members: &Map<String, Value>, now: UnixTime) -> Result<Option<UnixTime>, Refused> {
    let Some(value) = members.get("issued_before") else {
        return Ok(None);
    };
    let seconds = value.as_i64().filter(|seconds| *seconds >= 0);
    let Some(at) = seconds.map(UnixTime::from_seconds) else {
        return Err(bad_request(
            "expected whole seconds since 1970 as issued_before, but found something else",
        ));
    };
    if at > now {
        return Err(bad_request(format!(
            "expected a time in the past as issued_before, but found {at} (it is {now})"
        )));
    }
    Ok(Some(at))
}

fn bad_request(text: impl fmt::Display) -> Refused {
    refused(StatusCode::BAD_REQUEST, text)
}

fn refused(status: StatusCode, text: impl fmt::Display) -> Refused {
    Refused {
        status,
        text: text.to_string(),
        header: None,
    }
}

impl Refused {
    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self {
            header: Some((name, HeaderValue::from_static(value))),
            ..self
        }
    }
}
