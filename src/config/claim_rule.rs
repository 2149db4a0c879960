//! `claims` of an issuer and of a route: rules over the values of claims.

use serde_json::{Number, Value, json};
use toml::de::DeValue;

use super::declare::table;
use super::mismatch::{Mismatch, expected};
use super::read::Table;
use super::reference::{Description, key};
use super::report::Spanned;
use super::scalars::text;
use super::value_type::{ValueType, value_type};

table! {
    /// A rule over one claim, with exactly one of `is`, `one_of`, `has`, `matches` and `exists`. All
    /// rules of a list must hold. A missing claim, or one of another type, meets no rule. On a
    /// route, `{name}` in a string is the value of the path parameter.
    pub struct ClaimRule {
        fn read(table) -> Option<Self>;

        /// The name of the claim, or a JSON Pointer to a value inside a claim.
        /// Example: `claim = "/realm_access/roles"`
        pub claim: Spanned<String> = required(text(), "the claim that the rule is about"),
        /// What its value must be.
        pub test: ClaimTest = required_computed(test(table)),
    }
}

/// What the value of a claim must be. The values are strings, numbers and booleans.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimTest {
    /// This value.
    Is(Spanned<Value>),
    /// One of these values.
    OneOf(Vec<Spanned<Value>>),
    /// A list with this element.
    Has(Spanned<Value>),
    /// A string that fits this pattern.
    Matches(Spanned<String>),
    /// Any value.
    Exists,
}

const OPERATORS: [&str; 5] = ["is", "one_of", "has", "matches", "exists"];
const LISTED: &str = "exactly one of is, one_of, has, matches and exists";

/// From here on, several whole numbers share one floating-point number.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

fn test(table: &mut Table<'_>) -> Option<ClaimTest> {
    let is = key(
        "is",
        "The value of the claim: a string, a number or a boolean. Without it, see the other operators. \
         Example: `is = \"access\"`",
    );
    let one_of = key(
        "one_of",
        "Values of which the claim has one. Without it, see the other operators. Example: `one_of = [\"web\", \"cli\"]`",
    );
    let has = key(
        "has",
        "An element of the claim, which must be a list. Without it, see the other operators. \
         Example: `has = \"editor\"`",
    );
    let matches = key(
        "matches",
        "A pattern for the claim, which must be a string. `*` stands for one or more characters. Without it, see the other \
         operators. Example: `matches = \"refs/heads/release-*\"`",
    );
    let exists = key(
        "exists",
        "`true`: the claim is present and not null. Without it, see the other operators. Example: `exists = true`",
    );
    let tests = [
        table.optional(is, scalar()).map(ClaimTest::Is),
        table
            .bracketed_list(one_of, scalar(), 1)
            .map(ClaimTest::OneOf),
        table.optional(has, scalar()).map(ClaimTest::Has),
        table.optional(matches, text()).map(ClaimTest::Matches),
        table
            .optional(exists, only_true())
            .map(|_| ClaimTest::Exists),
    ];
    table.rule(|| {
        let each = OPERATORS.map(|operator| json!({"required": [operator]}));
        json!({ "oneOf": each })
    });
    let written: Vec<_> = OPERATORS
        .into_iter()
        .filter(|operator| table.has(operator))
        .collect();
    match *written {
        [] => {
            let fault = table.fault("is", format!("expected {LISTED}, but found none"));
            let fault = fault.with_help("exists = true accepts any value");
            table.push_unless_misspelt(&OPERATORS, fault);
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("expected {LISTED}, but found {first:?} and {second:?}");
            let help = "write a rule for each of them: all rules must hold";
            table.push(table.fault(second, message).with_help(help));
            return None;
        }
    }
    tests.into_iter().flatten().next()
}

/// A string, a number or a boolean, as JSON.
fn scalar() -> impl ValueType<Value> {
    value_type(read_scalar, || {
        let schema = json!({"type": ["string", "number", "boolean"]});
        Description::new("string, number or boolean", schema)
    })
}

fn read_scalar(value: &DeValue<'_>) -> Result<Value, Mismatch> {
    let what = "a string, a number or a boolean";
    match value {
        DeValue::String(text) => Ok(Value::from(text.as_ref())),
        DeValue::Boolean(boolean) => Ok(Value::from(*boolean)),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(Value::from)
            .map_err(|_| expected("an integer of 64 bits")),
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .ok()
            .filter(|float: &f64| float.abs() < INEXACT_FROM)
            .and_then(Number::from_f64)
            .map(Value::from)
            .ok_or_else(|| expected("a number that is exact in JSON")),
        DeValue::Array(_) => {
            Err(expected(what).with_help("one_of takes a list of values, and has tests an element"))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => Err(expected(what)),
    }
}

fn only_true() -> impl ValueType<bool> {
    value_type(
        |value| {
            value
                .as_bool()
                .filter(|value| *value)
                .ok_or_else(|| expected("true"))
        },
        || Description::new("`true`", json!({"const": true})),
    )
}
