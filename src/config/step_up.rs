//! `step_up` of a route: what a token must say about the sign-in of its user (RFC 9470).

use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::declare::table;
use super::mismatch::{Mismatch, expected};
use super::read::Table;
use super::reference::{Description, key};
use super::report::Spanned;
use super::units::{MONTH, SECOND, whole_seconds};
use super::value_type::{ValueType, value_type};

table! {
    /// How the user of a token must have signed in (RFC 9470). At least one key is needed.
    pub struct StepUp {
        fn read(table) -> Option<Self>;

        /// Accepted values of the claim `acr`. The 401 names them in `acr_values`. Without it, any
        /// value is accepted.
        /// Example: `acr = ["phr", "phrh"]`
        pub acr: Vec<Spanned<String>> = list(acr(), 1),
        /// Maximum time since the user signed in (claim `auth_time`).
        pub max_age: Option<Duration> = computed(max_age(table)),
    }
}

fn max_age(table: &mut Table<'_>) -> Option<Duration> {
    let key = key(
        "max_age",
        "Maximum time since the user signed in, by the claim `auth_time`. The 401 names it in `max_age`. Without it, any \
         time is accepted. Example: `max_age = \"5m\"`",
    );
    let max_age = table.optional_value(key, whole_seconds(SECOND..=MONTH));
    table.rule(|| json!({"anyOf": [{"required": ["acr"]}, {"required": ["max_age"]}]}));
    if !table.has("acr") && !table.has("max_age") {
        let fault = table.fault("acr", "expected acr or max_age, but found neither");
        table.push_unless_misspelt(&["acr", "max_age"], fault);
    }
    max_age
}

/// Several values are separated by spaces in a challenge, and stand in quotes there.
const ACR: &str = "^[!#-[^-~\\]]+$";

fn acr() -> impl ValueType<String> {
    value_type(read_acr, || Description::pattern("string", ACR))
}

fn read_acr(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_quotable = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    value
        .as_str()
        .filter(|text| !text.is_empty() && text.bytes().all(is_quotable))
        .map(str::to_owned)
        .ok_or_else(|| {
            expected("printable ASCII characters without spaces, quotes and backslashes")
        })
}
