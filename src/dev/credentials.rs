//! Client credentials of requests.
//!
//! A client authenticates by Basic or in the body, never both at once (RFC 6749 §2.3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use super::error::RequestError;
use super::parameters::Parameters;

/// Credentials that a client presents, not verified yet.
pub(super) struct Credentials {
    pub(super) id: String,
    /// `None` if only the id is there, as public clients send it (RFC 6749 §3.2.1).
    pub(super) secret: Option<String>,
    /// Id and secret as Basic spells them: many clients send both as they are (RFC 7617).
    pub(super) literal: Option<(String, String)>,
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
            (None, _, secret) => match (parameters.get("client_id"), secret) {
                (Some(id), secret) => Self {
                    id: id.to_owned(),
                    secret: secret.map(str::to_owned),
                    literal: None,
                },
                (None, Some(_)) => {
                    return Err(RequestError::InvalidRequest(
                        "expected client_id beside client_secret",
                    ));
                }
                (None, None) => {
                    return Err(RequestError::InvalidClient(
                        "expected client authentication",
                    ));
                }
            },
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
        secret: Some(decode_form_value(secret)),
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
