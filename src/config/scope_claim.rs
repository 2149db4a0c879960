//! `scope_claims` of an issuer: which claims hold the scopes of its tokens.

use serde_json::json;
use toml::de::DeValue;

use super::mismatch::{Mismatch, describe, expected, unknown_member};
use super::reference::Description;
use super::scalars::read_text;
use super::value_type::{ValueType, value_type};

/// A claim that holds scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeClaim {
    /// Its name, or a JSON Pointer.
    pub claim: String,
    /// How its scopes are read, if a table says.
    pub table: Option<ScopeClaimTable>,
}

/// How the scopes of a claim are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeClaimTable {
    /// What is put before each scope.
    pub prefix: String,
    /// Whether `*` in a scope is a wildcard.
    pub wildcards: bool,
}

const FORMS: &str = "the name of a claim, a JSON Pointer, or { claim = \"CLAIM\", prefix = \"PREFIX\", wildcards = true or false }";

pub(super) fn scope_claim() -> impl ValueType<ScopeClaim> {
    value_type(read, || {
        let schema = json!({
            "type": ["string", "object"],
            "minLength": 1,
            "properties": {
                "claim": {
                    "description": "The name of the claim, or a JSON Pointer.",
                    "type": "string",
                    "minLength": 1,
                },
                "prefix": {
                    "description": "What is put before each of its scopes.",
                    "type": "string",
                    "pattern": "^[!#-)+-\\[\\]-~]*$",
                    "default": "",
                },
                "wildcards": {
                    "description": "Whether * in its scopes is a wildcard.",
                    "type": "boolean",
                    "default": false,
                },
            },
            "required": ["claim"],
            "additionalProperties": false,
        });
        Description::new("claim or table", schema)
    })
}

fn read(value: &DeValue<'_>) -> Result<ScopeClaim, Mismatch> {
    let Some(entries) = value.as_table() else {
        let claim = read_text(value).map_err(|mismatch| expected(FORMS).or_help(mismatch.help))?;
        return Ok(ScopeClaim { claim, table: None });
    };
    let (mut claim, mut prefix, mut wildcards) = (None, String::new(), false);
    for (key, value) in entries {
        let value = value.get_ref();
        match key.get_ref().as_ref() {
            "claim" => claim = Some(read_text(value).map_err(|_| wrong("claim"))?),
            "prefix" => prefix = read_prefix(value)?,
            "wildcards" => wildcards = value.as_bool().ok_or_else(|| wrong("wildcards"))?,
            other => {
                return Err(unknown_member(
                    FORMS,
                    other,
                    &["claim", "prefix", "wildcards"],
                ));
            }
        }
    }
    let claim = claim.ok_or_else(|| expected(FORMS).but_found("a table without a claim"))?;
    let table = Some(ScopeClaimTable { prefix, wildcards });
    Ok(ScopeClaim { claim, table })
}

// A `*` would become a wildcard with `wildcards = true`: for scopes that no role grants.
fn read_prefix(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_of_prefix = |byte: u8| byte.is_ascii_graphic() && !b"\"*\\".contains(&byte);
    let prefix = value.as_str().filter(|text| text.bytes().all(is_of_prefix));
    prefix.map(str::to_owned).ok_or_else(|| {
        expected("characters of a scope without * as prefix").but_found(describe(value))
    })
}

fn wrong(key: &str) -> Mismatch {
    expected(FORMS).but_found(format!("something else as {key}"))
}
