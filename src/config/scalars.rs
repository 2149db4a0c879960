//! Types of values that are texts, numbers, booleans or one of several words.

use serde_json::json;
use toml::de::DeValue;

use super::hints;
use super::mismatch::{Mismatch, expected};
use super::names::{did_you_mean, quoted_list};
use super::reference::Description;
use super::value_type::{ValueType, value_type};
use crate::values::Keyword;

/// Signature algorithms with a private and a public key (RFC 7518 §3.1, RFC 8037 §3.1).
pub(super) const PUBLIC_KEY_ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// `true` or `false`.
pub(super) fn boolean() -> impl ValueType<bool> {
    value_type(
        |value| {
            value
                .as_bool()
                .ok_or_else(|| expected("true or false").or_help(hints::boolean(value)))
        },
        || Description::new("boolean", json!({"type": "boolean"})),
    )
}

/// Any text, the empty one included.
pub(super) fn any_text() -> impl ValueType<String> {
    value_type(
        |value| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| expected("a string"))
        },
        || Description::new("string", json!({"type": "string"})),
    )
}

/// A text that is not empty.
pub(super) fn text() -> impl ValueType<String> {
    value_type(read_text, || Description::text("string"))
}

pub(super) fn read_text(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| {
        let number = value
            .as_integer()
            .map(|number| format!("write \"{number}\", in quotes"));
        expected("a string that is not empty").or_help(number)
    })
}

/// One of a closed set of values, by its spelling.
pub(super) fn keyword<T: Keyword>() -> impl ValueType<T> {
    value_type(read_keyword, || {
        Description::one_of(&keywords::<T>().collect::<Vec<_>>())
    })
}

pub(super) fn read_keyword<T: Keyword>(value: &DeValue<'_>) -> Result<T, Mismatch> {
    let text = value.as_str().unwrap_or_default();
    T::from_keyword(text).ok_or_else(|| {
        let begins_alike =
            || keywords::<T>().find(|keyword| text.len() > 3 && text.starts_with(keyword));
        let near = did_you_mean(text, keywords::<T>())
            .or_else(|| begins_alike().map(|keyword| format!("did you mean {keyword:?}?")));
        Mismatch {
            help: near,
            ..expected(quoted_list(keywords::<T>(), "or"))
        }
    })
}

fn keywords<T: Keyword>() -> impl Iterator<Item = &'static str> {
    T::KEYWORDS.iter().map(|(keyword, _)| *keyword)
}

/// One of these words, which stand for themselves.
pub(super) fn one_of(words: &'static [&'static str]) -> impl ValueType<String> {
    value_type(
        move |value| {
            let text = value.as_str().unwrap_or_default();
            let word = words.iter().find(|word| **word == text);
            word.map(|word| (*word).to_owned()).ok_or_else(|| Mismatch {
                help: did_you_mean(text, words),
                ..expected(quoted_list(words, "or"))
            })
        },
        move || Description::one_of(words),
    )
}
