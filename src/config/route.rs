//! `[[routes]]`: who may send what where.

use std::cell::Cell;
use std::collections::BTreeSet;

use http::{HeaderName, Method};
use toml::de::DeValue;

use super::names::{did_you_mean, quoted_list};
use super::read::{Reads, Table};
use super::report::Placed;
use super::values::{Mismatch, boolean, describe, expected, keyword, text};
use crate::values::{ClaimFormat, ForwardToken};

/// One of `[[routes]]`. Whether its patterns and scopes are well-formed is judged where they are compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Patterns of hosts; empty for any.
    pub host: Vec<Placed<String>>,
    /// The pattern of its path.
    pub path: Placed<String>,
    /// Its methods; empty for all.
    pub methods: Vec<Placed<Method>>,
    /// Who may pass.
    pub access: Access,
    /// Names of declared issuers whose tokens count; empty for all.
    pub issuers: Vec<Placed<String>>,
    /// The name of a declared upstream.
    pub upstream: Placed<String>,
    /// What is taken from the front of the path.
    pub strip_prefix: Option<Placed<String>>,
    /// Whether the upstream sees the access token.
    pub forward_token: ForwardToken,
    /// Whether a stream ends when the token ends that it was let through by.
    pub close_at_expiry: bool,
    /// Whether anybody is turned away for lack of a good token, if not as `[server]` says.
    pub enforce: Option<Placed<bool>>,
    /// Which claims the upstream gets as headers.
    pub claim_headers: Vec<ClaimHeader>,
}

/// Who may pass on a route: exactly one of the four.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Anybody; a token is neither asked for nor judged.
    Public,
    /// Whoever has a good access token.
    AnyToken,
    /// Whose token has all of these scope-tokens.
    Scope(Placed<String>),
    /// Whose token has all of at least one of these sets.
    AnyScope(Vec<Placed<String>>),
}

/// A header that tells the upstream what the token says.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimHeader {
    /// The header.
    pub header: Placed<HeaderName>,
    /// The claim whose value it gets.
    pub claim: String,
    /// How the value is written.
    pub format: ClaimFormat,
}

/// What routes may refer to.
pub(super) struct Declared {
    pub(super) issuers: DeclaredNames,
    pub(super) upstreams: DeclaredNames,
}

/// The names of a section, readable or not: a broken declaration is not an undeclared name.
pub(super) struct DeclaredNames {
    /// None where nobody can tell, which is a fault of its own.
    names: Option<BTreeSet<String>>,
    /// How many hints there still are. The first faults are printed, and to look for what each of very many names was
    /// meant to be, among very many, takes minutes.
    hints: Cell<usize>,
}

impl DeclaredNames {
    pub(super) fn new(names: Option<BTreeSet<String>>) -> Self {
        Self {
            names,
            hints: Cell::new(100),
        }
    }

    fn reads(&self, kind: &'static str) -> impl Reads<String> {
        move |value| {
            let name = text(value).ok();
            match &self.names {
                None => name.ok_or_else(|| expected(format!("a declared {kind}"))),
                Some(names) => name
                    .filter(|name| names.contains(name))
                    .ok_or_else(|| self.undeclared(value, kind, names)),
            }
        }
    }

    fn undeclared(&self, value: &DeValue<'_>, kind: &str, names: &BTreeSet<String>) -> Mismatch {
        let undeclared = expected(format!("a declared {kind}"));
        let Some(left) = self.hints.get().checked_sub(1) else {
            return undeclared;
        };
        self.hints.set(left);
        let list = if names.is_empty() {
            "none is".to_owned()
        } else {
            quoted_list(names, "and")
        };
        let near = did_you_mean(value.as_str().unwrap_or_default(), names);
        let near = near.map(|near| format!("; {near}")).unwrap_or_default();
        let remedy = match value.as_str().unwrap_or_default() {
            "*" | "all" | "any" => format!("; without {kind}s, every {kind} counts"),
            text if text.contains("://") => {
                format!("; what has a URL is declared as [{kind}s.NAME]")
            }
            _ => near,
        };
        undeclared.with_help(format!("declared: {list}{remedy}"))
    }
}

impl Route {
    pub(super) fn read(table: &mut Table<'_>, declared: &Declared) -> Option<Self> {
        let path = table.required("path", "the path it is for", text);
        let access = access(table);
        let issuers = table.one_or_many("issuers", 1, declared.issuers.reads("issuer"));
        let upstream = table.required(
            "upstream",
            "the name of an upstream",
            declared.upstreams.reads("upstream"),
        );
        Some(Self {
            host: table.one_or_many("host", 1, text).unwrap_or_default(),
            methods: table.one_or_many("methods", 1, method).unwrap_or_default(),
            access,
            issuers: issuers.unwrap_or_default(),
            strip_prefix: table.optional("strip_prefix", text),
            forward_token: table.or("forward_token", ForwardToken::Keep, keyword),
            close_at_expiry: table.or("close_at_expiry", false, boolean),
            enforce: table.optional("enforce", boolean),
            claim_headers: claim_headers(table),
            // What may be missing comes last, when every key was taken.
            path: path?,
            upstream: upstream?,
        })
    }
}

/// Fields by which the gateway frames, routes or vouches for a request: a claim, which its issuer's users may choose,
/// must not write them.
const GATEWAY_HEADERS: [&str; 20] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

fn access(table: &mut Table<'_>) -> Access {
    let public = table.or("public", false, boolean);
    let scope = table.optional("scope", scopes_in_one);
    let any_scope = table.list("any_scope", 1, text);
    table.refuse_both("scope", "any_scope");
    if public {
        for key in ["scope", "any_scope", "issuers", "enforce"] {
            table.refuse_both("public", key);
        }
        return Access::Public;
    }
    scope
        .map(Access::Scope)
        .or(any_scope.map(Access::AnyScope))
        .unwrap_or(Access::AnyToken)
}

fn scopes_in_one(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let help = "scopes that are all needed stand in one string: \"a b\"; any_scope takes a list";
    text(value).map_err(|mismatch| {
        if value.is_array() {
            mismatch.with_help(help)
        } else {
            mismatch
        }
    })
}

/// Methods are case-sensitive (RFC 9110 §9.1), and no registered one has a small letter.
fn method(value: &DeValue<'_>) -> Result<Method, Mismatch> {
    let text = value.as_str().unwrap_or_default();
    let in_capitals = text.to_ascii_uppercase();
    let method =
        Method::from_bytes(in_capitals.as_bytes()).map_err(|_| expected("an HTTP method"))?;
    if text == in_capitals {
        return Ok(method);
    }
    Err(expected("an HTTP method in capitals").with_help(format!("did you mean {in_capitals:?}?")))
}

fn claim_headers(table: &mut Table<'_>) -> Vec<ClaimHeader> {
    let mut headers: Vec<ClaimHeader> = Vec::new();
    for (name, claim) in table.map("claim_headers", claim) {
        let spelling = canonical_spelling(&name.value);
        let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
            table.push(name.fault(format!(
                "expected the name of a header, but found {:?}",
                name.value
            )));
            continue;
        };
        if GATEWAY_HEADERS.contains(&spelling.as_str()) || spelling.starts_with("x-forwarded-") {
            let message = format!(
                "expected a header that the gateway leaves alone, but found {:?}",
                name.value
            );
            table.push(
                name.fault(message)
                    .with_help("choose a name of your own, such as \"X-Client-Id\""),
            );
        }
        if headers
            .iter()
            .any(|earlier| canonical_spelling(earlier.header.value.as_str()) == spelling)
        {
            table.push(name.fault(format!(
                "expected every header once, but found {:?} again",
                name.value
            )));
        }
        let (claim, format) = claim.value;
        headers.push(ClaimHeader {
            header: name.with_value(header),
            claim,
            format,
        });
    }
    headers
}

const CLAIM_FORMS: &str =
    "the name of a claim or { claim = \"NAME\", format = \"text\" or \"json\" }";

fn claim(value: &DeValue<'_>) -> Result<(String, ClaimFormat), Mismatch> {
    let Some(table) = value.as_table() else {
        return text(value)
            .map(|claim| (claim, ClaimFormat::Text))
            .map_err(|_| expected(CLAIM_FORMS));
    };
    let (mut claim, mut format) = (None, ClaimFormat::Text);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "claim" => {
                claim = Some(
                    text(value.get_ref())
                        .map_err(|_| expected(CLAIM_FORMS).but_found("another table"))?,
                )
            }
            "format" => format = claim_format(value.get_ref())?,
            other => return Err(expected(CLAIM_FORMS).but_found(format!("a table with {other:?}"))),
        }
    }
    let claim = claim.ok_or_else(|| expected(CLAIM_FORMS).but_found("a table without a claim"))?;
    Ok((claim, format))
}

fn claim_format(value: &DeValue<'_>) -> Result<ClaimFormat, Mismatch> {
    keyword(value).map_err(|mismatch| {
        let expected = format!("{} as format", mismatch.expected);
        Mismatch {
            expected,
            found: Some(describe(value)),
            help: mismatch.help,
        }
    })
}

/// Many upstreams take `X_Client.Id` for `X-Client-Id`, so they are one header here.
fn canonical_spelling(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}
