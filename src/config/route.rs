//! `[[routes]]`: which requests are permitted, and where they go.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, Method};
use serde_json::{Value, json};
use toml::de::DeValue;

use super::addresses::{ClientNetwork, network};
use super::claim_rule::ClaimRule;
use super::cors::{Cors, RouteCors};
use super::declare::table;
use super::header_rules::{RequestHeaders, ResponseHeaders};
use super::mcp::{Mcp, Tool};
use super::mismatch::{Mismatch, describe, expected, unknown_member};
use super::names::{did_you_mean, quoted_list};
use super::owned_headers::{HEADER_NAME, canonical_spelling, claim_header_refusal};
use super::read::Table;
use super::reference::{Description, forbidden, key};
use super::report::Spanned;
use super::respond::Respond;
use super::scalars::{boolean, keyword, read_keyword, read_text, text};
use super::step_up::StepUp;
use super::token_source::{TokenSource, token_source};
use super::units::{DAY, MILLISECOND, SizeLimit, duration, size_limit};
use super::value_type::{ValueType, value_type};
use crate::values::{ClaimFormat, ForwardToken, Keyword};

table! {
    /// A route. The compiler checks its patterns and scopes.
    pub struct Route {
        fn read(table, declared: &Declarations) -> Option<Self>;

        /// Host names, exact or as `*.` and a suffix. Without it, any host.
        /// Example: `host = ["api.example.com", "*.example.org"]`
        pub host: Vec<Spanned<String>> = list(text(), 1),
        /// Patterns of the path. `{name}` stands for one segment, `{*rest}` for the rest. Several
        /// patterns need the same parameters. Each counts as a route in logs and metrics.
        /// Example: `path = ["/orders/{id}/items/{*rest}", "/v1/orders/{id}/items/{*rest}"]`
        pub path: Vec<Spanned<String>> = required_list(text(), "the path it is for"),
        /// Methods in capitals. `GET` includes `HEAD`. Without it, all methods match.
        /// Example: `methods = ["GET", "POST"]`
        pub methods: Vec<Spanned<Method>> = list(method(), 1),
        /// Who may pass.
        pub access: Access = computed(access(table)),
        /// Whether requests without a valid and sufficient token are refused. `false` is shadow
        /// mode. Without it, `[server]` decides.
        /// Example: `enforce = false`
        pub enforce: Option<Spanned<bool>> = optional(boolean()),
        /// Networks of the clients that may use the route. Others get 403, with any token. Behind
        /// `trusted_proxies`, the address that they report counts. Without it, all clients
        /// may use it.
        /// Example: `allow_from = ["10.0.0.0/8", "2001:db8::/32"]`
        pub allow_from: Vec<ClientNetwork> = list_of_values(network(), 1),
        /// Rules over the claims of the token. A token that does not meet all of them gets 403 without a
        /// challenge. Without it, there are none.
        /// Example: `claims = [{ claim = "azp", one_of = ["web", "cli"] }]`
        pub claims: Vec<ClaimRule> = tables(ClaimRule::read),
        /// How the user of the token must have signed in (RFC 9470). Otherwise, the response is 401
        /// `insufficient_user_authentication`. Without it, any sign-in is sufficient.
        /// Example: `step_up = { acr = ["phr"], max_age = "5m" }`
        pub step_up: Option<StepUp> = optional_table(StepUp::read),
        /// Names of `[issuers.NAME]` whose tokens are accepted. Without it, those of all issuers are.
        /// Example: `issuers = ["corp"]`
        pub issuers: Vec<Spanned<String>> = list(declared.issuers.reference_to("issuer"), 1),
        /// Names of `[limits.NAME]` that its requests count in. A request above one of them gets 429. A
        /// public route has limits by `address` and `route` only. Without it, there is none.
        /// Example: `limit = "standard"`
        pub limit: Vec<Spanned<String>> = list(declared.limits.reference_to("limit"), 1),
        /// Where a request may have its token: one place at a time. A cookie counts only from pages
        /// of `origins` and of the gateway's own origin. The query is no source.
        /// Example: `token_from = ["header", "websocket_protocol", { cookie = "__Host-at", origins = ["https://app.example.com"] }]`
        pub token_from: Vec<Spanned<TokenSource>> = list_or(token_source(), 1, vec!["header"]),
        /// Where permitted requests go. None if the route responds itself.
        pub upstream: Option<Spanned<String>> = computed(upstream(table, declared)),
        /// Literal segments to remove from the start of the path. The remaining path may be one
        /// that another route protects, and that route's checks do not apply. Without it, none.
        /// Example: `strip_prefix = "/v1"`
        pub strip_prefix: Option<Spanned<String>> = optional(text()),
        /// The path that goes upstream.
        pub rewrite: Option<Spanned<String>> = computed(rewrite(table)),
        /// Whether the upstream receives the access token.
        /// Example: `forward_token = "strip"`
        pub forward_token: ForwardToken = or(keyword(), "keep"),
        /// Maximum size of a request body, or `none`. Without it, as `[server]` says.
        /// Example: `max_body_size = "200MiB"`
        pub max_body_size: Option<SizeLimit> = optional_value(size_limit()),
        /// Maximum time to the response head. It does not run while the request body is still being
        /// sent. Without it, as the upstream says.
        /// Example: `response_timeout = "5s"`
        pub response_timeout: Option<Duration> = optional_value(duration(MILLISECOND..=DAY)),
        /// Whether a stream (WebSocket, events, download) ends when its token expires.
        /// Example: `close_at_expiry = true`
        pub close_at_expiry: bool = or(boolean(), false),
        /// Which pages of other origins may use the route, in place of `[cors]`. `false` leaves CORS
        /// and preflights to the upstream. Without it, `[cors]` applies.
        /// Example: `cors = { origins = ["https://app.example.com"] }`
        pub cors: RouteCors = table_or_false(Cors::read),
        /// Headers of requests to set and remove before the upstream gets them. Without it, none.
        /// Example: `request_headers = { set = { "X-Api-Key" = { env = "API_KEY" } }, remove = ["Cookie"] }`
        pub request_headers: Option<RequestHeaders> = optional_table(RequestHeaders::read),
        /// Headers of responses to set and remove, refusals included. They apply after those of
        /// `[server]`. Without it, only those apply.
        /// Example: `response_headers = { set = { "Cache-Control" = "no-store" } }`
        pub response_headers: Option<ResponseHeaders> = optional_table(ResponseHeaders::read),
        /// The response of the route, instead of an upstream's. Without it, `upstream` is required.
        /// Example: `respond = { status = 503 }`
        pub respond: Option<Respond> = optional_table(Respond::read),
        /// An MCP server behind the route.
        pub mcp: Option<Mcp> = computed(mcp(table)),
        /// Rules for operations of the MCP server. Without it, the scopes of the route suffice for
        /// all of them.
        /// Example: `tools = [{ method = "tools/call", name = "delete_*", scope = "tools.delete" }]`
        pub tools: Vec<Tool> = tables(Tool::read),
        /// Headers that give the upstream claims of the token.
        pub claim_headers: Vec<ClaimHeader> = computed(claim_headers(table)),
    }
}

impl Route {
    /// The first of its paths. Reading refuses a route without one.
    #[must_use]
    pub fn first_path(&self) -> &Spanned<String> {
        &self.path[0]
    }

    /// Whether it takes the tokens of the issuer with this name, if it takes any.
    #[must_use]
    pub fn takes_issuer(&self, name: &str) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|one| one.value == name)
    }

    /// The name of its upstream; none if it responds itself.
    #[must_use]
    pub fn upstream_name(&self) -> Option<&str> {
        self.upstream.as_ref().map(|name| name.value.as_str())
    }

    /// Its place in the file, such as `routes[3]`.
    #[must_use]
    pub fn place(&self) -> &str {
        let key = self.first_path().key();
        key.split_once(".path").map_or(key, |(place, _)| place)
    }

    /// Its paths, quoted and separated by commas.
    #[must_use]
    pub fn quoted_paths(&self) -> String {
        let quoted = self.path.iter().map(|path| format!("{:?}", path.value));
        quoted.collect::<Vec<_>>().join(", ")
    }
}

/// Who may use a route: exactly one of the four.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Everyone; no token is required or verified.
    Public,
    /// Clients with a valid access token.
    AnyToken,
    /// Clients whose token grants all of these scopes.
    Scope(Spanned<String>),
    /// Clients whose token grants all scopes of at least one set.
    AnyScope(Vec<Spanned<String>>),
}

impl Access {
    /// The sets of scopes of which a token must grant one; none if no scope is required.
    #[must_use]
    pub fn scopes(&self) -> &[Spanned<String>] {
        match self {
            Self::Public | Self::AnyToken => &[],
            Self::Scope(scope) => std::slice::from_ref(scope),
            Self::AnyScope(sets) => sets,
        }
    }
}

/// A header that sends a claim of the token to the upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimHeader {
    /// The header.
    pub header: Spanned<HeaderName>,
    /// The claim whose value it gets: a name, or a JSON Pointer.
    pub claim: String,
    /// How the value is written.
    pub format: ClaimFormat,
}

/// The names that routes may refer to.
pub(super) struct Declarations {
    pub(super) issuers: DeclaredNames,
    pub(super) upstreams: DeclaredNames,
    pub(super) limits: DeclaredNames,
}

/// The names of a section, readable or not: a faulty declaration still declares its name.
pub(super) struct DeclaredNames {
    /// `None` if they are unreadable, which is a fault of its own.
    names: Option<BTreeSet<String>>,
    /// Remaining number of hints. Only the first faults are printed, and comparing very many wrong
    /// names with very many declared ones takes minutes.
    hints: Cell<usize>,
}

impl DeclaredNames {
    pub(super) fn new(names: Option<BTreeSet<String>>) -> Self {
        Self {
            names,
            hints: Cell::new(100),
        }
    }

    fn reference_to(&self, kind: &'static str) -> impl ValueType<String> {
        value_type(
            move |value| {
                let name = read_text(value).ok();
                match &self.names {
                    None => name.ok_or_else(|| expected(format!("a declared {kind}"))),
                    Some(names) => name
                        .filter(|name| names.contains(name))
                        .ok_or_else(|| self.undeclared(value, kind, names)),
                }
            },
            move || Description::text(&format!("name of {} {kind}", article(kind))),
        )
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
            "*" | "all" | "any" if kind == "issuer" => {
                format!("; without {kind}s, every {kind} is accepted")
            }
            text if text.contains("://") && kind != "limit" => {
                format!("; declare the URL in [{kind}s.NAME], and write NAME here")
            }
            _ => near,
        };
        undeclared.with_help(format!("declared: {list}{remedy}"))
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['i', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// Keys about tokens, which a public route excludes.
const TOKEN_KEYS: [&str; 7] = [
    "scope",
    "any_scope",
    "claims",
    "step_up",
    "issuers",
    "enforce",
    "token_from",
];

fn access(table: &mut Table<'_>) -> Access {
    let public = key(
        "public",
        "Whether requests need no token. Excludes `scope`, `any_scope`, `claims`, `step_up`, `issuers`, `enforce` and `token_from`. \
         Example: `public = true`",
    );
    let scope = key(
        "scope",
        "Scopes that the token must grant, all of them, separated by spaces. `{name}` is replaced by the value of the \
         path parameter. Without it, any valid token is sufficient, unless `any_scope` or `public` is set. \
         Example: `scope = \"orders.read orders.{id}\"`",
    );
    let any_scope = key(
        "any_scope",
        "Sets of scopes. The token must grant all scopes of one set. The 403 names the first set. Without it, see `scope`. \
         Example: `any_scope = [\"orders.read\", \"orders.admin audit\"]`",
    );
    let public = table.or(public, boolean(), false);
    let scope = table.optional(scope, scopes_in_one());
    let any_scope = table.bracketed_list(any_scope, text(), 1);
    table.refuse_both("scope", "any_scope");
    table.rule(|| {
        json!({
            "if": {"properties": {"public": {"const": true}}, "required": ["public"]},
            "then": {"properties": forbidden(&TOKEN_KEYS)},
        })
    });
    if public {
        for key in TOKEN_KEYS.into_iter().filter(|key| table.has(key)) {
            table.push_both("public", key);
        }
        return Access::Public;
    }
    scope
        .map(Access::Scope)
        .or(any_scope.map(Access::AnyScope))
        .unwrap_or(Access::AnyToken)
}

/// Keys about an upstream, which a route that responds itself excludes.
const UPSTREAM_KEYS: [&str; 10] = [
    "upstream",
    "strip_prefix",
    "rewrite",
    "forward_token",
    "response_timeout",
    "close_at_expiry",
    "request_headers",
    "claim_headers",
    "mcp",
    "tools",
];

fn upstream(table: &mut Table<'_>, declared: &Declarations) -> Option<Spanned<String>> {
    let key = key(
        "upstream",
        "Name of an `[upstreams.NAME]`. Without it, `respond` is required. \
         Example: `upstream = \"orders\"`",
    );
    let upstream = table.optional(key, declared.upstreams.reference_to("upstream"));
    table.rule(|| {
        json!({
            "if": {"required": ["respond"]},
            "then": {"properties": forbidden(&UPSTREAM_KEYS)},
            "else": {"required": ["upstream"]},
        })
    });
    if table.has("respond") {
        for key in UPSTREAM_KEYS.into_iter().filter(|key| table.has(key)) {
            table.push_both("respond", key);
        }
    } else if !table.has("upstream") {
        let message = "expected the name of an upstream, but found nothing";
        let fault = table
            .fault("upstream", message)
            .with_help("add upstream = \"NAME\", or respond if the gateway itself responds");
        table.push_unless_misspelt(&["upstream", "respond"], fault);
    }
    upstream
}

fn mcp(table: &mut Table<'_>) -> Option<Mcp> {
    let key = key(
        "mcp",
        "The server behind the route speaks MCP. The gateway judges the operation that a request asks for. \
         Without it, it judges no body. Example: `mcp = { body = \"verify\" }`",
    );
    let mcp = table.optional_table(key, Mcp::read);
    table.rule(|| json!({"if": {"required": ["tools"]}, "then": {"required": ["mcp"]}}));
    if table.has("tools") && !table.has("mcp") {
        let message = "expected mcp beside tools, but found nothing";
        let fault = table
            .fault("tools", message)
            .with_help("add mcp = {} to the route");
        table.push_unless_misspelt(&["mcp"], fault);
    }
    mcp
}

fn rewrite(table: &mut Table<'_>) -> Option<Spanned<String>> {
    let key = key(
        "rewrite",
        "The path that goes upstream, in place of the requested one. `{name}` and `{*rest}` are those of `path`. \
         The rewritten path may be one that another route protects, and that route's checks do not apply. \
         Excludes `strip_prefix`. Without it, the requested path goes upstream. \
         Example: `rewrite = \"/v2/orders/{id}\"`",
    );
    let path = table.optional(key, text());
    table.refuse_both("strip_prefix", "rewrite");
    path
}

fn scopes_in_one() -> impl ValueType<String> {
    let help = "write scopes that are all required in one string: \"a b\"; any_scope takes a list";
    value_type(
        move |value| {
            read_text(value).map_err(|mismatch| {
                if value.is_array() {
                    mismatch.with_help(help)
                } else {
                    mismatch
                }
            })
        },
        || Description::text("string"),
    )
}

fn method() -> impl ValueType<Method> {
    value_type(read_method, || {
        Description::pattern("method", "^[A-Z0-9!#$%&'*+.^_`|~-]+$")
    })
}

/// Methods are case-sensitive (RFC 9110 §9.1), and every registered one is in capitals.
fn read_method(value: &DeValue<'_>) -> Result<Method, Mismatch> {
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
    let key = key(
        "claim_headers",
        "Headers that send claims of the token to the upstream: a claim by its name, or a value in it by a JSON Pointer. The format `json` writes the whole value as JSON. \
         Without it, none. Example: \
         `claim_headers = { \"X-Client-Id\" = \"client_id\", \"X-Groups\" = { claim = \"groups\", format = \"json\" } }`",
    );
    for (name, claim) in table.map(key, HEADER_NAME, claim()) {
        let spelling = canonical_spelling(&name.value);
        let Ok(header) = HeaderName::from_bytes(name.value.as_bytes()) else {
            table.push(name.fault(format!(
                "expected the name of a header, but found {:?}",
                name.value
            )));
            continue;
        };
        // Users of an issuer may choose a claim's value.
        if claim_header_refusal(&spelling).is_some() {
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

fn claim() -> impl ValueType<(String, ClaimFormat)> {
    value_type(read_claim, || {
        let mut format = Value::Object(keyword::<ClaimFormat>().describe().schema);
        format["default"] = json!(ClaimFormat::Text.keyword());
        format["description"] = json!(
            "text: one string, or list items without white space. json: the whole value as compact JSON in ASCII."
        );
        let schema = json!({
            "type": ["string", "object"],
            "minLength": 1,
            "properties": {
                "claim": {"description": "The name of the claim, or a JSON Pointer.", "type": "string", "minLength": 1},
                "format": format,
            },
            "required": ["claim"],
            "additionalProperties": false,
        });
        Description::new("claim", schema)
    })
}

fn read_claim(value: &DeValue<'_>) -> Result<(String, ClaimFormat), Mismatch> {
    let Some(table) = value.as_table() else {
        return read_text(value)
            .map(|claim| (claim, ClaimFormat::Text))
            .map_err(|_| expected(CLAIM_FORMS));
    };
    let (mut claim, mut format) = (None, ClaimFormat::Text);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "claim" => {
                claim = Some(
                    read_text(value.get_ref())
                        .map_err(|_| expected(CLAIM_FORMS).but_found("another table"))?,
                )
            }
            "format" => format = claim_format(value.get_ref())?,
            other => return Err(unknown_member(CLAIM_FORMS, other, &["claim", "format"])),
        }
    }
    let claim = claim.ok_or_else(|| expected(CLAIM_FORMS).but_found("a table without a claim"))?;
    Ok((claim, format))
}

fn claim_format(value: &DeValue<'_>) -> Result<ClaimFormat, Mismatch> {
    read_keyword(value).map_err(|mismatch| {
        let expected = format!("{} as format", mismatch.expected);
        Mismatch {
            expected,
            found: Some(describe(value)),
            help: mismatch.help,
        }
    })
}
