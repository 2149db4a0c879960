//! Parses JSON and refuses duplicate members at every depth (RFC 8259 §4, RFC 7519 §4).
//!
//! Parsers disagree which of two equal names counts. A token with two `"aud"` members could mean
//! one thing to the gateway and another to the upstream.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A text that is not one unambiguous JSON object.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON: a syntax error, trailing text, a number out of range, more than 128 levels,
    /// invalid UTF-8.
    #[error("not JSON")]
    Malformed(#[source] serde_json::Error),
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// An object in it, at any depth, has a duplicate member.
    #[error("duplicate member in a JSON object")]
    DuplicateMember,
}

/// Parses one JSON object.
///
/// # Errors
/// [`JsonError`] unless the text is one object without duplicate members; white space may surround
/// it.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    serde_json::from_slice::<Strict>(text)
        .map_err(JsonError::Malformed)?
        .into_object()
}

/// A JSON value, or the fact that an object in it has a duplicate member.
///
/// A duplicate is not an error of the deserializer, so parsing continues after it: in a JWK set it
/// invalidates one key, not the whole set.
pub(super) struct Strict(Result<Value, DuplicateMember>);

#[derive(Clone, Copy)]
struct DuplicateMember;

impl Strict {
    /// A member of an object without duplicate members, if it is a string.
    pub(super) fn member(&self, name: &str) -> Option<&str> {
        self.0.as_ref().ok()?.get(name)?.as_str()
    }

    /// The value as an object.
    pub(super) fn into_object(self) -> Result<Map<String, Value>, JsonError> {
        match self.0 {
            Ok(Value::Object(members)) => Ok(members),
            Ok(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_),
            ) => Err(JsonError::NotAnObject),
            Err(DuplicateMember) => Err(JsonError::DuplicateMember),
        }
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Result<Value, DuplicateMember>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Ok(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Ok(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut array = Ok(Vec::new());
        while let Some(Strict(element)) = elements.next_element()? {
            match (&mut array, element) {
                (Ok(array), Ok(element)) => array.push(element),
                (_, Err(duplicate)) => array = Err(duplicate),
                (Err(_), Ok(_)) => {}
            }
        }
        Ok(array.map(Value::Array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Ok(Map::new());
        while let Some((name, Strict(value))) = members.next_entry::<String, _>()? {
            let duplicate = match (&mut object, value) {
                (Ok(object), Ok(value)) => object.insert(name, value).is_some(),
                (_, Err(DuplicateMember)) | (Err(_), _) => true,
            };
            if duplicate {
                object = Err(DuplicateMember);
            }
        }
        Ok(object.map(Value::Object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_parses_as_with_serde_json() {
        let text = r#" {"a":[1,-2,3.5,"x\u00e9",true,null,{"b":{}}],"c":18446744073709551615} "#;
        let expected: Value = serde_json::from_str(text).expect("the text is JSON");
        assert_eq!(
            Value::Object(parse_object(text.as_bytes()).expect("no duplicate member")),
            expected
        );
    }

    #[test]
    fn duplicate_members_are_refused_at_every_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[0,{"b":[{"c":1,"c":2}]},3],"d":4}"#,
            r#"{"a":1,"a":2,"b":3}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert!(
                matches!(
                    parse_object(text.as_bytes()),
                    Err(JsonError::DuplicateMember)
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["[]", "1", "null", "\"a\"", "true", "[{}]"] {
            assert!(
                matches!(parse_object(text.as_bytes()), Err(JsonError::NotAnObject)),
                "{text}"
            );
        }
        for text in [
            &b""[..],
            b"{",
            b"{} {}",
            b"{}x",
            b"{}\0",
            b"{\"a\":1e400}",
            b"{\"a\":NaN}",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"\xEF\xBB\xBF{}",
            b"{\"a\":\"\xFF\"}",
            b"{\"a\":\"\\ud800\"}",
        ] {
            assert!(
                matches!(parse_object(text), Err(JsonError::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn deeply_nested_json_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(
            parse_object(deep.as_bytes()),
            Err(JsonError::Malformed(_))
        ));
    }
}
