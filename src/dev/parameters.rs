//! Parameters of requests.
//!
//! 1. They are a form, as RFC 6749 requires, or a JSON object, as Aidbox's clients send it.
//! 2. A parameter without a value counts as omitted, and none but `resource` may be repeated (§3.2,
//!    RFC 8707 §2).

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::value::{Error as ValueError, MapDeserializer};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;

use super::audience::{MAX_RESOURCES, is_resource};
use super::error::RequestError;

/// The parameters of one request; only `resource` may be repeated.
#[derive(Default)]
pub(super) struct Parameters {
    by_name: BTreeMap<String, String>,
    resources: Vec<String>,
}

impl Parameters {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, RequestError> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let parameters = if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::of_form(body)
        } else if media_type.eq_ignore_ascii_case("application/json") {
            serde_json::from_slice(body).ok()
        } else {
            return Err(RequestError::InvalidRequest(
                "expected a form or JSON, with a matching Content-Type",
            ));
        };
        parameters.ok_or(RequestError::REPEATED_PARAMETER)
    }

    /// The parameters of a query (RFC 6749 §3.1).
    pub(super) fn of_query(query: &str) -> Result<Self, RequestError> {
        Self::of_form(query.as_bytes()).ok_or(RequestError::REPEATED_PARAMETER)
    }

    fn of_form(form: &[u8]) -> Option<Self> {
        let pairs = MapDeserializer::<_, ValueError>::new(form_urlencoded::parse(form));
        Self::deserialize(pairs).ok()
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
