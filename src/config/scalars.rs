//! Types of values: texts, booleans and keywords.

use serde_json::json;
use toml::de::DeValue;

use super::hints;
use super::mismatch::{Mismatch, expected};
use super::names::{did_you_mean, quoted_list};
use super::reference::Description;
use super::value_type::{ValueType, value_type};
use crate::values::Keyword;

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

/// Any text, including the empty one.
pub(super) fn any_text() -> impl ValueType<String> {
    value_type(
        |value| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| expected("a string"))
        },
        || Description::new("string", json!({"type": "string"})),
    )
}

/// A non-empty text.
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

/// A value of a closed set, by its spelling.
pub(super) fn keyword<T: Keyword>() -> impl ValueType<T> {
    keyword_that(|_| true)
}

/// As [`keyword`], for the values that `is_accepted` accepts.
pub(super) fn keyword_that<T: Keyword>(is_accepted: fn(T) -> bool) -> impl ValueType<T> {
    value_type(
        move |value| read_keyword_that(value, is_accepted),
        move || Description::one_of(&keywords(is_accepted)),
    )
}

pub(super) fn read_keyword<T: Keyword>(value: &DeValue<'_>) -> Result<T, Mismatch> {
    read_keyword_that(value, |_| true)
}

pub(super) fn read_keyword_that<T: Keyword>(
    value: &DeValue<'_>,
    is_accepted: fn(T) -> bool,
) -> Result<T, Mismatch> {
    let text = value.as_str().unwrap_or_default();
    T::from_keyword(text)
        .filter(|keyword| is_accepted(*keyword))
        .ok_or_else(|| {
            let accepted = keywords(is_accepted);
            let prefix = || {
                accepted
                    .iter()
                    .find(|keyword| text.len() > 3 && text.starts_with(**keyword))
            };
            let near = did_you_mean(text, &accepted)
                .or_else(|| prefix().map(|keyword| format!("did you mean {keyword:?}?")));
            Mismatch {
                help: near,
                ..expected(quoted_list(&accepted, "or"))
            }
        })
}

/// The spellings of the accepted values.
pub(super) fn keywords<T: Keyword>(is_accepted: fn(T) -> bool) -> Vec<&'static str> {
    T::KEYWORDS
        .iter()
        .chain(T::ALIASES)
        .filter(|(_, value)| is_accepted(*value))
        .map(|(keyword, _)| *keyword)
        .collect()
}
