//! `[limits.NAME]`: how many requests clients may send.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::declare::table;
use super::mismatch::{Mismatch, expected, unknown_member};
use super::reference::Description;
use super::report::Spanned;
use super::scalars::read_text;
use super::units::{DAY, SECOND, count, whole_seconds};
use super::value_type::{ValueType, value_type};

const MAX_REQUESTS: usize = 1_000_000;

table! {
    /// How many requests a client may send. Routes name it with `limit`, and share it. A request
    /// above it gets 429. The responses say what is left, in `RateLimit` and `RateLimit-Policy`.
    pub struct Limit {
        fn read(table, key: Spanned<String>) -> Option<Self>;

        /// The name that routes use.
        pub name: Spanned<String> = computed(key),
        /// Number of requests in each `per`.
        /// Example: `requests = 100`
        pub requests: u32 = required_value(count(1..=MAX_REQUESTS), "the number of requests in each per"),
        /// The time for `requests`.
        /// Example: `per = "1m"`
        pub per: Duration = required_value(whole_seconds(SECOND..=DAY), "the time for requests, such as \"1m\""),
        /// Number of requests that are possible at once. Without it, `requests`.
        /// Example: `burst = 20`
        pub burst: Option<Spanned<u32>> = optional(count(1..=MAX_REQUESTS)),
        /// What requests have in common that count together: the client of the token (`client_id`), its
        /// `subject`, its `issuer` or another claim, the client address (`address`; of IPv6, its /64),
        /// or the `route`. Several are one key: requests count together if they have all of them in common.
        /// Example: `key = ["client_id", { claim = "/tenant" }]`
        pub key: Vec<Spanned<LimitKey>> = list_or(limit_key(), 1, "client_id"),
    }
}

impl Limit {
    /// Number of requests that are possible at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
            .as_ref()
            .map_or(self.requests, |burst| burst.value)
    }

    /// The first part of its key that needs a token.
    #[must_use]
    pub fn part_of_token(&self) -> Option<&Spanned<LimitKey>> {
        let needs_token = |part: &&Spanned<LimitKey>| match part.value {
            LimitKey::ClientId | LimitKey::Subject | LimitKey::Issuer | LimitKey::Claim(_) => true,
            LimitKey::Address | LimitKey::Route => false,
        };
        self.key.iter().find(needs_token)
    }
}

/// What requests have in common that count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client of the token.
    ClientId,
    /// The subject of the token.
    Subject,
    /// The issuer of the token.
    Issuer,
    /// The client address.
    Address,
    /// The route.
    Route,
    /// The value of a claim: its name, or a JSON Pointer.
    Claim(String),
}

const WORDS: [(&str, LimitKey); 5] = [
    ("client_id", LimitKey::ClientId),
    ("subject", LimitKey::Subject),
    ("issuer", LimitKey::Issuer),
    ("address", LimitKey::Address),
    ("route", LimitKey::Route),
];

const FORMS: &str =
    "\"client_id\", \"subject\", \"issuer\", \"address\", \"route\" or { claim = \"CLAIM\" }";

fn limit_key() -> impl ValueType<LimitKey> {
    value_type(read, || {
        let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
        let schema = json!({
            "type": ["string", "object"],
            "pattern": format!("^({})$", words.join("|")),
            "properties": {
                "claim": {
                    "description": "The name of the claim, or a JSON Pointer.",
                    "type": "string",
                    "minLength": 1,
                },
            },
            "required": ["claim"],
            "additionalProperties": false,
        });
        let names: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
        Description::new(format!("{} or claim", names.join(", ")), schema)
    })
}

fn read(value: &DeValue<'_>) -> Result<LimitKey, Mismatch> {
    let Some(table) = value.as_table() else {
        let word = value.as_str().unwrap_or_default();
        let known = WORDS.into_iter().find(|(known, _)| *known == word);
        return known.map(|(_, key)| key).ok_or_else(|| other_word(word));
    };
    let mut claim = None;
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "claim" => {
                let wrong = |_| expected(FORMS).but_found("something else as claim");
                claim = Some(read_text(value.get_ref()).map_err(wrong)?);
            }
            other => return Err(unknown_member(FORMS, other, &["claim"])),
        }
    }
    let claim = claim.ok_or_else(|| expected(FORMS).but_found("a table without a claim"))?;
    Ok(LimitKey::Claim(claim))
}

fn other_word(word: &str) -> Mismatch {
    let near = match word {
        "sub" | "user" => Some("subject"),
        "azp" | "client" => Some("client_id"),
        "iss" => Some("issuer"),
        "ip" | "client_ip" | "remote_addr" => Some("address"),
        "" => None,
        other => super::names::nearest(other, WORDS.map(|(word, _)| word)),
    };
    let help = match (near, word) {
        (Some(near), _) => Some(format!("did you mean {near:?}?")),
        (None, "") => None,
        (None, claim) => Some(format!("for a claim, write {{ claim = {claim:?} }}")),
    };
    expected(FORMS).or_help(help)
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Claim(claim) = self {
            return write!(f, "{{ claim = {claim:?} }}");
        }
        let word = WORDS.iter().find(|(_, key)| key == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}
