//! The known disagreements, and the reasons for scopegate's verdict.

use serde_json::{Value, json};

use crate::NOW;
use crate::token::Token;

/// A kind of token on which the verdicts differ.
pub(crate) struct Disagreement {
    /// scopegate's reason to refuse; `None` if it accepts what the other library refuses.
    pub(crate) ours: Option<&'static str>,
    /// Whether a token is of this kind.
    pub(crate) matches: fn(&Token) -> bool,
    /// Why scopegate's verdict is right.
    pub(crate) reason: &'static str,
}

pub(crate) const DISAGREEMENTS: &[Disagreement] = &[
    Disagreement {
        ours: Some("duplicate_member"),
        matches: |token| {
            loses_members_when_parsed(&token.header) || loses_members_when_parsed(&token.claims)
        },
        reason: "they detect it only in members that they know; an upstream may know others",
    },
    Disagreement {
        ours: Some("opaque"),
        matches: |token| serde_json::from_str::<Value>(&token.header).is_err(),
        reason: "in unknown header members they skip numbers and escapes that are invalid",
    },
    Disagreement {
        ours: Some("malformed_header"),
        matches: |token| {
            ["typ", "kid"]
                .iter()
                .any(|name| token.header().get(*name) == Some(&Value::Null))
        },
        reason: "null does not mean absent: RFC 7515 §4.1 allows a string or no member",
    },
    Disagreement {
        ours: Some("unsupported_parameter"),
        matches: |token| {
            let header = token.header();
            let is_empty = header
                .get("crit")
                .is_some_and(|crit| crit.is_null() || *crit == json!([]));
            is_empty || header.contains_key("b64") || header.contains_key("zip")
        },
        reason: "RFC 7515 §4.1.11 forbids an empty crit; b64 and zip change the payload",
    },
    Disagreement {
        ours: Some("wrong_type"),
        matches: |token| {
            token.header()["typ"].as_str().is_some_and(|typ| {
                let typ = typ.to_lowercase();
                !["at+jwt", "jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ))
            })
        },
        reason: "they accept any type that ends with +jwt; the same keys may sign logout tokens (RFC 8725 §3.11)",
    },
    Disagreement {
        ours: Some("expired"),
        matches: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp.floor() == (NOW - 30) as f64)
        },
        reason: "RFC 7519 §4.1.4: expired on or after exp, thus at exp + leeway; they expire it a second later",
    },
    Disagreement {
        ours: Some("missing_claim"),
        matches: |token| !token.claims().contains_key("exp"),
        reason: "a token without exp would never expire",
    },
    Disagreement {
        ours: Some("unbounded_expiry"),
        matches: |token| {
            token
                .time("exp")
                .is_some_and(|exp| exp > (NOW + 315_619_200) as f64)
        },
        reason: "more than ten years ahead means \"never\", or milliseconds",
    },
    Disagreement {
        ours: Some("not_a_numeric_date"),
        matches: |token| {
            let times = ["exp", "nbf", "iat"].map(|name| token.time(name));
            times
                .into_iter()
                .flatten()
                .any(|time| !(0.0..9_223_372_036_854_775_808.0).contains(&time))
        },
        reason: "they round negative fractions to zero, and saturate times that are too large",
    },
    Disagreement {
        ours: Some("other_kind_of_token"),
        matches: |token| {
            ["nonce", "typ"]
                .iter()
                .any(|name| token.claims().contains_key(*name))
        },
        reason: "they do not check the kind of token",
    },
    Disagreement {
        ours: Some("sender_constrained"),
        matches: |token| token.claims().contains_key("cnf"),
        reason: "they do not support proof-of-possession tokens (RFC 7800)",
    },
    Disagreement {
        ours: None,
        matches: |token| {
            let header = token.header();
            let is_no_string = |name: &&str| {
                header
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            let chain = header
                .get("x5c")
                .is_some_and(|chain| !is_string_array(chain) && !chain.is_null());
            ["jwk", "jku", "cty"].iter().any(is_no_string) || chain
        },
        reason: "scopegate ignores keys in the header; they require jwk to be a string, though RFC 7515 \
                 §4.1.3 defines an object",
    },
    Disagreement {
        ours: None,
        matches: |token| {
            let claims = token.claims();
            let is_no_string = |name: &&str| {
                claims
                    .get(*name)
                    .is_some_and(|value| !value.is_string() && !value.is_null())
            };
            ["sub", "jti"].iter().any(is_no_string)
        },
        reason: "the upstream judges the subject; a value that is no string sets no claim header",
    },
    Disagreement {
        ours: None,
        matches: |token| token.header()["typ"] == "application/jwt",
        reason: "RFC 7515 §4.1.9: the prefix application/ may be omitted",
    },
];

/// Whether parsing drops a part of the JSON text, such as the first of two equal members.
fn loses_members_when_parsed(text: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|value| value.to_string().len() < text.trim().len())
}

fn is_string_array(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|elements| elements.iter().all(Value::is_string))
}
