//! `token_from` of a route: where requests may have their access token.

use serde_json::json;
use toml::de::DeValue;

use super::mismatch::{Mismatch, expected, unknown_member};
use super::reference::Description;
use super::scalars::read_text;
use super::value_type::{ValueType, value_type};

/// A place for the access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// The `Authorization` header.
    Header,
    /// The protocols of a WebSocket handshake.
    WebSocketProtocol,
    /// A cookie.
    Cookie {
        /// Its name.
        name: String,
        /// Pages that may cause requests with it, beside those of the gateway's own origin.
        origins: Vec<String>,
    },
}

const FORMS: &str =
    "\"header\", \"websocket_protocol\" or { cookie = \"NAME\", origins = [\"ORIGIN\"] }";

/// The characters of a cookie's name (RFC 6265 §4.1.1).
const COOKIE_NAME: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

pub(super) fn token_source() -> impl ValueType<TokenSource> {
    value_type(read, || {
        let origin = json!({"type": "string", "minLength": 1});
        let mut origins = origin.clone();
        origins["type"] = json!(["string", "array"]);
        origins["items"] = origin;
        origins["description"] = json!(
            "Origins of the pages that may cause requests with the cookie, beside those of the gateway's own origin."
        );
        let schema = json!({
            "type": ["string", "object"],
            "pattern": "^(header|websocket_protocol)$",
            "properties": {
                "cookie": {"description": "The name of the cookie.", "type": "string", "pattern": COOKIE_NAME},
                "origins": origins,
            },
            "required": ["cookie"],
            "additionalProperties": false,
        });
        Description::new("`header`, `websocket_protocol` or cookie", schema)
    })
}

fn read(value: &DeValue<'_>) -> Result<TokenSource, Mismatch> {
    let Some(table) = value.as_table() else {
        return match value.as_str() {
            Some("header") => Ok(TokenSource::Header),
            Some("websocket_protocol") => Ok(TokenSource::WebSocketProtocol),
            Some("query") => Err(expected(FORMS).with_help(QUERY)),
            _ => Err(expected(FORMS)),
        };
    };
    let (mut cookie, mut origins) = (None, Vec::new());
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "cookie" => cookie = Some(read_cookie_name(value.get_ref())?),
            "origins" => origins = read_origins(value.get_ref())?,
            "query" => {
                return Err(expected(FORMS)
                    .but_found("a table with \"query\"")
                    .with_help(QUERY));
            }
            other => return Err(unknown_member(FORMS, other, &["cookie", "origins"])),
        }
    }
    let name = cookie.ok_or_else(|| expected(FORMS).but_found("a table without a cookie"))?;
    Ok(TokenSource::Cookie { name, origins })
}

/// Why there is no such source.
const QUERY: &str = "URLs end up in logs and histories: use \"websocket_protocol\" for WebSockets, and a cookie for \
                     EventSource and links";

fn read_cookie_name(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    read_text(value)
        .ok()
        .filter(|name| name.bytes().all(is_of_name))
        .ok_or_else(|| expected(FORMS).but_found("something else as the name of the cookie"))
}

fn read_origins(value: &DeValue<'_>) -> Result<Vec<String>, Mismatch> {
    let wrong = |_| expected(FORMS).but_found("something else as an origin");
    match value.as_array() {
        Some(origins) => origins
            .iter()
            .map(|origin| read_text(origin.get_ref()).map_err(wrong))
            .collect(),
        None => Ok(vec![read_text(value).map_err(wrong)?]),
    }
}

impl std::fmt::Display for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::WebSocketProtocol => f.write_str("websocket_protocol"),
            Self::Cookie { name, .. } => write!(f, "cookie {name}"),
        }
    }
}
