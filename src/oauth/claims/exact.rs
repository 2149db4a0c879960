//! Writes a claim as a header value from which exactly one value of the claim can be read.
//!
//! Upstreams use these headers to identify a client: `"admin "` must not arrive as `admin`, nor
//! `["a b"]` as `["a", "b"]`. A value with an ambiguous text is omitted ([`InexactClaim`]).
//!
//! 1. Recipients trim white space around a field value (RFC 9110 §5.5), and some drop or replace
//!    control characters. So a text contains neither.
//! 2. Spaces join the items of a list. So an item is not empty and has no white space.
//! 3. Whole numbers beyond 64 bits are parsed as floating-point numbers, so several share one
//!    value.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use serde_json::{Number, Value};

use super::{ActiveToken, ClaimReference};

/// 2^53: from here on, several whole numbers share one floating-point number.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

/// Why a claim cannot be written exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InexactClaim {
    /// A string that starts or ends with white space.
    #[error("white space at its start or end")]
    OuterWhiteSpace,
    /// A string with a control character, such as a tab or a line break.
    #[error("a control character")]
    Control,
    /// An empty item of a list.
    #[error("an empty item")]
    EmptyItem,
    /// An item of a list with white space in it.
    #[error("an item with white space")]
    ItemWithWhiteSpace,
    /// An object, or a list of anything but strings.
    #[error("an object, or a list of values other than strings")]
    Structure,
    /// A number with more digits than can be read exactly.
    #[error("a number with too many digits")]
    Number,
}

impl ActiveToken {
    /// A claim as plain text: the strings of a list are joined by spaces.
    ///
    /// `None` if the claim is missing or `null`.
    ///
    /// # Errors
    /// [`InexactClaim`] if other values of the claim would have the same text.
    pub fn claim_as_text(
        &self,
        claim: &ClaimReference,
    ) -> Result<Option<Cow<'_, str>>, InexactClaim> {
        match claim.find(&self.claims) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => exact_text(text).map(|text| Some(Cow::Borrowed(text))),
            Some(Value::Number(number)) => {
                exact_number(number).map(|number| Some(Cow::Owned(number.to_string())))
            }
            Some(Value::Bool(boolean)) => {
                Ok(Some(Cow::Borrowed(if *boolean { "true" } else { "false" })))
            }
            Some(Value::Array(items)) => {
                let items = items
                    .iter()
                    .map(exact_item)
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Some(Cow::Owned(items.join(" "))))
            }
            Some(Value::Object(_)) => Err(InexactClaim::Structure),
        }
    }

    /// A claim of any type as compact JSON in ASCII. `None` if it is missing.
    ///
    /// # Errors
    /// [`InexactClaim::Number`]; JSON represents every other value exactly.
    pub fn claim_as_json(&self, claim: &ClaimReference) -> Result<Option<String>, InexactClaim> {
        let Some(value) = claim.find(&self.claims) else {
            return Ok(None);
        };
        check_numbers(value)?;
        let mut json = Vec::new();
        // Writing to a `Vec` does not fail, and a parsed value can be serialized.
        let _ = value.serialize(&mut Serializer::with_formatter(&mut json, Ascii));
        Ok(String::from_utf8(json).ok())
    }
}

fn exact_text(text: &str) -> Result<&str, InexactClaim> {
    if text.chars().any(char::is_control) {
        return Err(InexactClaim::Control);
    }
    // Unicode white space too: many languages trim it, and a recipient may read the bytes as
    // Latin-1.
    if text.trim().len() == text.len() {
        Ok(text)
    } else {
        Err(InexactClaim::OuterWhiteSpace)
    }
}

fn exact_item(item: &Value) -> Result<&str, InexactClaim> {
    let text = exact_text(item.as_str().ok_or(InexactClaim::Structure)?)?;
    if text.is_empty() {
        return Err(InexactClaim::EmptyItem);
    }
    if text.contains(char::is_whitespace) {
        Err(InexactClaim::ItemWithWhiteSpace)
    } else {
        Ok(text)
    }
}

fn exact_number(number: &Number) -> Result<&Number, InexactClaim> {
    let is_exact = number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|float| float.abs() < INEXACT_FROM);
    if is_exact {
        Ok(number)
    } else {
        Err(InexactClaim::Number)
    }
}

// The recursion is bounded: the JSON parser accepts 128 levels.
fn check_numbers(value: &Value) -> Result<(), InexactClaim> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => exact_number(number).map(|_| ()),
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
    }
}

/// Escapes everything but printable ASCII as `\uXXXX` (RFC 8259 §7).
///
/// Recipients agree on field values in ASCII only (RFC 9110 §5.5).
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_escaped = |character: char| !character.is_ascii() || character.is_ascii_control();
        let mut rest = fragment;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, after) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut characters = after.chars();
            for unit in characters.next().into_iter().flat_map(utf16) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

fn utf16(character: char) -> impl Iterator<Item = u16> {
    let mut units = [0; 2];
    let length = character.encode_utf16(&mut units).len();
    units.into_iter().take(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::oauth::scope::ScopeSet;

    fn token(claim: &Value) -> ActiveToken {
        ActiveToken {
            issuer_name: "corp".into(),
            tenant: None,
            claims: [("claim".to_owned(), claim.clone())].into_iter().collect(),
            size: 0,
            scopes: ScopeSet::empty(),
            audience: Default::default(),
            leeway: Default::default(),
            expires_at: None,
            outcomes: None,
        }
    }

    fn text_of(claim: &Value) -> Result<Option<String>, InexactClaim> {
        token(claim)
            .claim_as_text(&ClaimReference::name("claim"))
            .map(|text| text.map(Cow::into_owned))
    }

    fn json_of(claim: &Value) -> Result<Option<String>, InexactClaim> {
        token(claim).claim_as_json(&ClaimReference::name("claim"))
    }

    #[test]
    fn claim_text_is_exact_or_omitted() {
        let text = |text: &str| Ok(Some(text.to_owned()));
        for (claim, expected) in [
            (json!("admin"), text("admin")),
            (json!("a b"), text("a b")),
            (json!("Zoë"), text("Zoë")),
            (json!(""), text("")),
            (json!(7), text("7")),
            (json!(u64::MAX), text("18446744073709551615")),
            (json!(i64::MIN), text("-9223372036854775808")),
            (json!(1.5), text("1.5")),
            (json!(true), text("true")),
            (json!(["a", "b"]), text("a b")),
            (json!([]), text("")),
            (Value::Null, Ok(None)),
            (json!("admin "), Err(InexactClaim::OuterWhiteSpace)),
            (json!(" admin"), Err(InexactClaim::OuterWhiteSpace)),
            (json!("admin\u{a0}"), Err(InexactClaim::OuterWhiteSpace)),
            (json!(" "), Err(InexactClaim::OuterWhiteSpace)),
            (json!("admin\t"), Err(InexactClaim::Control)),
            (json!("a\tb"), Err(InexactClaim::Control)),
            (json!("a\r\nX-Evil: 1"), Err(InexactClaim::Control)),
            (json!("a\u{7f}"), Err(InexactClaim::Control)),
            (json!("a\u{85}"), Err(InexactClaim::Control)),
            (json!(["a b"]), Err(InexactClaim::ItemWithWhiteSpace)),
            (
                json!(["a", "b\u{2003}c"]),
                Err(InexactClaim::ItemWithWhiteSpace),
            ),
            (json!(["a", " b"]), Err(InexactClaim::OuterWhiteSpace)),
            (json!(["a", ""]), Err(InexactClaim::EmptyItem)),
            (json!([""]), Err(InexactClaim::EmptyItem)),
            (json!(["a", 7]), Err(InexactClaim::Structure)),
            (json!([["a"]]), Err(InexactClaim::Structure)),
            (json!({ "a": 1 }), Err(InexactClaim::Structure)),
            (json!(1e19), Err(InexactClaim::Number)),
            (
                json!(18_446_744_073_709_551_616.0),
                Err(InexactClaim::Number),
            ),
        ] {
            assert_eq!(text_of(&claim), expected, "{claim}");
        }
        assert_eq!(
            token(&json!("x")).claim_as_text(&ClaimReference::name("other")),
            Ok(None)
        );
    }

    #[test]
    fn claim_json_is_printable_ascii() {
        let text = |text: &str| Ok(Some(text.to_owned()));
        for (claim, expected) in [
            (json!("admin "), text(r#""admin ""#)),
            (json!(["a b", "", "\t"]), text(r#"["a b","","\t"]"#)),
            (
                json!({ "b": [1, null], "a": "é😀\u{7f}\u{2028}" }),
                text(r#"{"a":"\u00e9\ud83d\ude00\u007f\u2028","b":[1,null]}"#),
            ),
            (json!("\"\\"), text(r#""\"\\""#)),
            (Value::Null, text("null")),
            (json!({ "a": [1e300] }), Err(InexactClaim::Number)),
        ] {
            assert_eq!(json_of(&claim), expected, "{claim}");
        }
        assert_eq!(
            token(&json!("x")).claim_as_json(&ClaimReference::name("other")),
            Ok(None)
        );
    }

    fn any_claim() -> impl Strategy<Value = Value> {
        let text = "[ab \\t\\n\u{7f}\u{a0}é😀\"\\\\,]{0,4}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..3)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn claim_json_parses_back_to_the_claim(claim in any_claim()) {
            let text = json_of(&claim).expect("no large numbers").expect("the claim is present");
            prop_assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{}", text);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), claim);
        }

        #[test]
        fn distinct_strings_or_lists_have_distinct_texts(one in any_claim(), other in any_claim()) {
            if let (Ok(Some(text)), Ok(Some(same))) = (text_of(&one), text_of(&other)) {
                prop_assert_eq!(text.trim(), &text);
                if one.is_string() == other.is_string() && one.is_array() == other.is_array() && text == same {
                    prop_assert_eq!(one, other);
                }
            }
        }
    }
}
