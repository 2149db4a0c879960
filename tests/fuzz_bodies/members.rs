//! Detects duplicate members by counting. Each member has one colon outside strings, and a parser
//! that keeps the last of two equal names yields fewer members than colons.

use serde_json::{Map, Value};

/// Whether `text` is JSON in which an object has a duplicate member.
pub(crate) fn are_repeated(text: &[u8]) -> bool {
    serde_json::from_slice(text).is_ok_and(|value| count(&value) != colons(text))
}

/// Parses `text` as one object. `None` if it is another value or has duplicate members.
pub(crate) fn of_object(text: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(members)) = serde_json::from_slice(text) else {
        return None;
    };
    (!are_repeated(text)).then_some(members)
}

fn count(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|value| 1 + count(value)).sum(),
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn colons(text: &[u8]) -> usize {
    let (mut colons, mut is_string, mut is_escaped) = (0, false, false);
    for &byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b':' if !is_string => colons += 1,
            _ => {}
        }
    }
    colons
}
