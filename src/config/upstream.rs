//! `[upstreams.NAME]`: services that permitted requests are forwarded to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use serde_json::{Value, json};
use toml::de::DeValue;
use url::Url;

use super::addresses::{host_name, origin, path};
use super::declare::table;
use super::hints;
use super::listener::Certificate;
use super::mismatch::{Mismatch, describe, expected, unknown_member};
use super::reference::Description;
use super::report::Spanned;
use super::scalars::keyword;
use super::units::{DAY, HOUR, MILLISECOND, MINUTE, count, duration, percentage};
use super::unix_path::{UNIX_PATH, read_unix_path, unix_text, with_unix_hint};
use super::value_type::{ValueType, value_type};
use crate::values::{Balance, Protocol};

table! {
    /// A service that permitted requests are forwarded to.
    pub struct Upstream {
        fn read(table, key: Spanned<String>) -> Option<Self>;

        /// The name that routes use.
        pub name: Spanned<String> = computed(key),
        /// URLs with `http` or `https`, host and port, or `unix:` and the path of a Unix socket. Every
        /// address of a host name is used. A target with a weight gets that many times the requests of one without; each address of its name
        /// has its weight.
        /// Example: `targets = ["http://10.0.0.7:9000", { url = "https://orders.internal:8443", weight = 3 }, "unix:/run/orders.sock"]`
        pub targets: Vec<Spanned<Target>> = required_list(target(table.folder()), "the URL of at least one server"),
        /// HTTP version towards the targets. `http2` is negotiated by ALPN for `https://`, and used
        /// by prior knowledge for `http://`.
        /// Example: `protocol = "http2"`
        pub protocol: Protocol = or(keyword(), "http1"),
        /// Which address gets a request: of two random ones, that with fewer requests of this
        /// worker in flight; or each in turn. Requests in flight are divided by the weight.
        /// Example: `balance = "round_robin"`
        pub balance: Balance = or(keyword(), "least_requests"),
        /// Health checks of the addresses. Without it, there are none.
        /// Example: `health = { path = "/healthz", interval = "5s", unhealthy_after = 3, healthy_after = 2 }`
        pub health: Option<Health> = optional_table(Health::read),
        /// Ejection of addresses whose responses fail: they break off, time out, or have the status
        /// 502, 503 or 504. Without it, only failures to connect eject an address.
        /// Example: `outlier = { consecutive = 5, ejection_time = "10s", max_ejected = "50%" }`
        pub outlier: Option<Outlier> = optional_table(Outlier::read),
        /// Maximum time to connect.
        /// Example: `connect_timeout = "500ms"`
        pub connect_timeout: Duration = or(duration(MILLISECOND..=MINUTE), "2s"),
        /// Maximum time to the response head. It does not run while the request body is still being
        /// sent.
        /// Example: `response_timeout = "10s"`
        pub response_timeout: Duration = or(duration(MILLISECOND..=DAY), "60s"),
        /// Maximum number of retries of a request. Only requests that cannot have had an effect are
        /// retried, within the retry budget.
        /// Example: `retries = 2`
        pub retries: usize = or(count(0..=10), 1),
        /// Maximum number of idle connections for each worker and address. HTTP/2 uses as many
        /// connections as it needs, with up to 100 streams on each.
        /// Example: `pool_idle = 64`
        pub pool_idle: usize = or(count(0..=65_536), 256),
        /// Time that an idle connection stays in the pool. Set it below the keep-alive
        /// timeout of the targets.
        /// Example: `pool_idle_timeout = "2s"`
        pub pool_idle_timeout: Duration = or(duration(MILLISECOND..=HOUR), "4s"),
        /// `Host` of forwarded requests: that of the client (`pass`), that of the target
        /// (`target`), or this name.
        /// Example: `host = "orders.internal"`
        pub host: UpstreamHost = or(upstream_host(), "pass"),
        /// Name that the certificates of the targets must have. Without it, the host of the target.
        /// Example: `tls_server_name = "orders.internal"`
        pub tls_server_name: Option<Spanned<String>> = optional(host_name()),
        /// Trusted authorities for the targets' certificates, in PEM. A target's own certificate may
        /// be named as well: it is trusted for its names until it expires. Changed files are used
        /// within two seconds. Without it, the authorities of the system.
        /// Example: `tls_ca = "internal-ca.pem"`
        pub tls_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
        /// Client certificate of the gateway. Changed files are used within two seconds. Without
        /// it, none is sent.
        /// Example: `tls_client = { certificate = "gateway.crt", key = "gateway.key" }`
        pub tls_client: Option<Certificate> = optional_table(Certificate::read),
    }
}

table! {
    /// Health checks of an upstream's addresses.
    pub struct Health {
        fn read(table) -> Option<Self>;

        /// Path of the check. A response with 2xx or 3xx is healthy.
        /// Example: `path = "/healthz"`
        pub path: PathAndQuery =
            required_value(path_and_query(), "the path of a check, such as \"/healthz\""),
        /// Time between two checks.
        /// Example: `interval = "10s"`
        pub interval: Duration = or(duration(100 * MILLISECOND..=HOUR), "5s"),
        /// Number of failed checks in a row after which an address gets no requests.
        /// Example: `unhealthy_after = 2`
        pub unhealthy_after: usize = or(count(1..=100), 3),
        /// Number of successful checks in a row after which it gets requests again.
        /// Example: `healthy_after = 1`
        pub healthy_after: usize = or(count(1..=100), 2),
    }
}

table! {
    /// Ejection of addresses whose responses fail. Each worker counts its own.
    pub struct Outlier {
        fn read(table) -> Option<Self>;

        /// Number of failed responses in a row that eject an address.
        /// Example: `consecutive = 10`
        pub consecutive: u32 = or(count(1..=1000), 5),
        /// Time that an ejected address gets no requests. After that, one failure ejects it again,
        /// until a response succeeds.
        /// Example: `ejection_time = "30s"`
        pub ejection_time: Duration = or(duration(100 * MILLISECOND..=HOUR), "10s"),
        /// Maximum share of the addresses that are ejected at a time. One may always be ejected if
        /// there are two or more, and one always stays.
        /// Example: `max_ejected = "30%"`
        pub max_ejected: u8 = or(percentage(), "50%"),
    }
}

/// A server of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: TargetAddress,
    /// How many requests it gets for each one of a target with weight 1.
    pub weight: u32,
}

/// Where a server of an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAddress {
    /// Scheme, host and port.
    Url(Url),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// The `Host` of forwarded requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// That of the client.
    Pass,
    /// The target's host and port.
    Target,
    /// This one.
    Name(Authority),
}

impl Upstream {
    /// The files that the table names.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<PathBuf>> {
        let presented = self
            .tls_client
            .iter()
            .flat_map(|client| [&client.certificate, &client.key]);
        presented.chain(&self.tls_ca)
    }
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

const TARGET_FORMS: &str = "the URL of a server or { url = \"URL\", weight = NUMBER }";

fn target(folder: &Path) -> impl ValueType<Target> {
    value_type(
        move |value| read_target(value, folder),
        || {
            let of = |doc, description: Description| {
                let mut schema = Value::Object(description.schema);
                schema["description"] = json!(doc);
                schema
            };
            let mut weight = of(
                "How many requests it gets for each one of a target with weight 1.",
                weight().describe(),
            );
            weight["default"] = json!(1);
            let url = target_address(Path::new("")).describe();
            let mut schema = Value::Object(url.schema.clone());
            schema["type"] = json!(["string", "object"]);
            schema["properties"] = json!({
                "url": of("Scheme, host and port of the server, or `unix:` and a path.", url),
                "weight": weight,
            });
            schema["required"] = json!(["url"]);
            schema["additionalProperties"] = json!(false);
            Description::new("target", schema)
        },
    )
}

fn weight() -> impl ValueType<u32> {
    count(1..=1000)
}

fn read_target(value: &DeValue<'_>, folder: &Path) -> Result<Target, Mismatch> {
    let Some(table) = value.as_table() else {
        let address = target_address(folder).read(value)?;
        return Ok(Target { address, weight: 1 });
    };
    let (mut address, mut weight) = (None, 1);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "url" => address = Some(member(value.get_ref(), "url", target_address(folder))?),
            "weight" => weight = member(value.get_ref(), "weight", self::weight())?,
            other => return Err(unknown_member(TARGET_FORMS, other, &["url", "weight"])),
        }
    }
    address
        .map(|address| Target { address, weight })
        .ok_or_else(|| expected(TARGET_FORMS).but_found("a table without a url"))
}

fn target_address(folder: &Path) -> impl ValueType<TargetAddress> {
    let read = move |value: &DeValue<'_>| match value.as_str().and_then(unix_text) {
        Some(path) => read_unix_path(path, folder).map(TargetAddress::Unix),
        None => origin()
            .read(value)
            .map(TargetAddress::Url)
            .map_err(|mismatch| with_unix_hint(mismatch, value, folder)),
    };
    value_type(read, || {
        let url = origin().describe().schema["pattern"].clone();
        let url = url.as_str().unwrap_or_default();
        Description::pattern("URL or Unix socket", &format!("{url}|{UNIX_PATH}"))
    })
}

fn member<T>(value: &DeValue<'_>, name: &str, values: impl ValueType<T>) -> Result<T, Mismatch> {
    values.read(value).map_err(|mismatch| Mismatch {
        expected: format!("{} as {name}", mismatch.expected),
        found: mismatch.found.or_else(|| Some(describe(value))),
        help: mismatch.help,
    })
}

fn path_and_query() -> impl ValueType<PathAndQuery> {
    value_type(read_path_and_query, || {
        Description::pattern("path", "^/[^# ]*$")
    })
}

fn upstream_host() -> impl ValueType<UpstreamHost> {
    value_type(read_upstream_host, || {
        Description::pattern("`pass`, `target` or host name", r"^[A-Za-z0-9._~:\[\]-]+$")
    })
}

fn read_path_and_query(value: &DeValue<'_>) -> Result<PathAndQuery, Mismatch> {
    let text = value
        .as_str()
        .filter(|text| text.starts_with('/') && !text.contains('#'));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| expected("a path that begins with \"/\""))
}

fn read_upstream_host(value: &DeValue<'_>) -> Result<UpstreamHost, Mismatch> {
    let authority = |text: &str| {
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
        text.parse::<Authority>()
            .ok()
            .filter(|_| text.bytes().all(is_of_name))
    };
    match value.as_str() {
        Some("pass") => Ok(UpstreamHost::Pass),
        Some("target") => Ok(UpstreamHost::Target),
        name => name
            .and_then(authority)
            .map(UpstreamHost::Name)
            .ok_or_else(|| {
                let hint =
                    name.and_then(|name| hints::host(name, |host| authority(host).is_some()));
                expected("\"pass\", \"target\" or the name of a host").or_help(hint)
            }),
    }
}
