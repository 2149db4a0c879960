//! The disagreements, and why scopegate stands by its verdict.

use serde_json::{Value, json};

use crate::NOW;
use crate::token::Token;

/// A way in which the verdicts differ.
pub(crate) struct Disagreement {
    /// What scopegate says; `None` where it takes the token and the other library does not.
    pub(crate) ours: Option<&'static str>,
    /// Whether it is this one.
    pub(crate) is: fn(&Token) -> bool,
    /// Why scopegate stands by it.
    pub(crate) because: &'static str,
}

pub(crate) const DISAGREEMENTS: &[Disagreement] = &[
    Disagreement {
        ours: Some("duplicate_member"),
        is: |token| is_shorter_when_read(&token.header) || is_shorter_when_read(&token.claims),
        because: "they see it where they know the member, and not in what they pass over; an upstream may know it",
    },
    Disagreement {
        ours: Some("opaque"),
        is: |token| serde_json::from_str::<Value>(&token.header).is_err(),
        because: "they pass over numbers and escapes that no text can hold, in header members that they do not know",
    },
    Disagreement {
        ours: Some("malformed_header"),
        is: |token| {
            ["typ", "kid"]
                .iter()
                .any(|name| token.header().get(*name) == Some(&Value::Null))
        },
        because: "null is no way to leave a parameter out: RFC 7515 §4.1 has a string or nothing",
    },
    Disagreement {
        ours: Some("unknown_algorithm"),
        is: |token| token.header()["alg"] == "Ed25519",
        because: "the name of RFC 9864 for what gateway.toml and RFC 8037 call EdDSA; only configured names are taken",
    },
    Disagreement {
        ours: Some("unsupported_parameter"),
        is: |token| {
            let header = token.header();
            let says_nothing = header
                .get("crit")
                .is_some_and(|crit| crit.is_null() || *crit == json!([]));
            says_nothing || header.contains_key("b64") || header.contains_key("zip")
        },
        because: "RFC 7515 §4.1.11 forbids an empty crit, and b64 and zip change what the payload is",
    },
    Disagreement {
        ours: Some("wrong_type"),
        is: |token| {
            token.header()["typ"].as_str().is_some_and(|typ| {
                let typ = typ.to_lowercase();
                !["at+jwt", "jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
            })
        },
        because: "they take whatever ends with +jwt, and the same keys may sign logout tokens (RFC 8725 §3.11)",
    },
    Disagreement {
        ours: Some("expired"),
        is: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp.floor() == (NOW - 30) as f64)
        },
        because: "RFC 7519 §4.1.4: on or after exp, and so at exp + leeway too; they end a second later",
    },
    Disagreement {
        ours: Some("missing_claim"),
        is: |token| !token.claims().contains_key("exp"),
        because: "they let a token without exp live for ever",
    },
    Disagreement {
        ours: Some("unbounded_expiry"),
        is: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp > (NOW + 315_619_200) as f64)
        },
        because: "more than ten years ahead is \"never\", or milliseconds",
    },
    Disagreement {
        ours: Some("not_a_numeric_date"),
        is: |token| {
            let times = ["exp", "nbf", "iat"].map(|name| token.time(name));
            times
                .into_iter()
                .flatten()
                .any(|time| !(0.0..9_223_372_036_854_775_808.0).contains(&time))
        },
        because: "they round a negative fraction up to the epoch, and cut what is too large to what fits",
    },
    Disagreement {
        ours: Some("other_kind_of_token"),
        is: |token| {
            ["nonce", "typ"]
                .iter()
                .any(|name| token.claims().contains_key(*name))
        },
        because: "they do not ask what kind of token it is",
    },
    Disagreement {
        ours: Some("sender_constrained"),
        is: |token| token.claims().contains_key("cnf"),
        because: "they do not know of tokens that need a proof (RFC 7800)",
    },
    Disagreement {
        ours: None,
        is: |token| {
            let header = token.header();
            let is_none_of_theirs = |name: &&str| {
                header
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            let chain = header
                .get("x5c")
                .is_some_and(|chain| !is_list_of_texts(chain) && !chain.is_null());
            ["jwk", "jku", "cty"].iter().any(is_none_of_theirs) || chain
        },
        because: "keys that a header brings along are not read at all, so their type is nothing to us; they want a \
                  jwk as a text, where RFC 7515 §4.1.3 has an object",
    },
    Disagreement {
        ours: None,
        is: |token| {
            let claims = token.claims();
            let is_no_text = |name: &&str| {
                claims
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            ["sub", "jti"].iter().any(is_no_text)
        },
        because: "who a token is for is the upstream's to judge; what is no text is no name and sets no header",
    },
    Disagreement {
        ours: None,
        is: |token| token.header()["typ"] == "application/jwt",
        because: "RFC 7515 §4.1.9: application/ may be written or left out",
    },
];

/// Whether a text of JSON says something that is gone once it is read, as the first of two equal members is.
fn is_shorter_when_read(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|value| value.to_string().len() < text.trim().len())
}

fn is_list_of_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|elements| elements.iter().all(Value::is_string))
}
