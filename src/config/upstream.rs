//! `[upstreams.NAME]`: where permitted requests go.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use toml::de::DeValue;
use url::Url;

use super::addresses::{host_name, origin, path};
use super::declare::table;
use super::hints;
use super::listener::Certificate;
use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::report::Spanned;
use super::scalars::keyword;
use super::units::{DAY, HOUR, MILLISECOND, MINUTE, count, duration};
use super::value_type::{ValueType, value_type};
use crate::values::{Balance, Protocol};

table! {
    /// A service that permitted requests are forwarded to.
    pub struct Upstream {
        fn read(table, key: Spanned<String>) -> Option<Self>;

        /// The name that routes use.
        pub name: Spanned<String> = computed(key),
        /// URLs with http or https, host and port; every address of a name is used.
        pub targets: Vec<Spanned<Url>> = required_list(origin(), "the URL of at least one server"),
        /// The protocol: http2 is negotiated over TLS, and spoken by prior knowledge without TLS.
        pub protocol: Protocol = or(keyword(), "http1"),
        /// Which address gets a request: of two drawn at random the one with fewer requests in flight, or each in turn.
        pub balance: Balance = or(keyword(), "least_requests"),
        /// Health checks of addresses. Without it, none are made.
        pub health: Option<Health> = optional_table(Health::read),
        /// How long connecting may take.
        pub connect_timeout: Duration = or(duration(MILLISECOND..=MINUTE), "2s"),
        /// How long the head of a response may take.
        pub response_timeout: Duration = or(duration(MILLISECOND..=DAY), "60s"),
        /// How often a request is tried again that cannot have had an effect.
        pub retries: usize = or(count(0..=10), 1),
        /// Idle connections in the pool, for each worker and address.
        pub pool_idle: usize = or(count(0..=65_536), 256),
        /// How long an idle connection stays in the pool.
        pub pool_idle_timeout: Duration = or(duration(MILLISECOND..=HOUR), "4s"),
        /// The Host of forwarded requests: the client's ("pass"), the "target"'s, or this name.
        pub host: UpstreamHost = or(upstream_host(), "pass"),
        /// The name that certificates of targets must have. Without it, that of the target.
        pub tls_server_name: Option<Spanned<String>> = optional(host_name()),
        /// The roots, in PEM, that certificates of targets must lead to. Without it, the system's.
        pub tls_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
        /// The client certificate of the gateway. Without it, none is presented.
        pub tls_client: Option<Certificate> = optional_table(Certificate::read),
    }
}

table! {
    /// Health checks of an upstream's addresses.
    pub struct Health {
        fn read(table) -> Option<Self>;

        /// The path that is requested; 2xx and 3xx are healthy responses.
        pub path: PathAndQuery =
            required_value(path_and_query(), "the path of a check, such as \"/healthz\""),
        /// The time between two checks.
        pub interval: Duration = or(duration(100 * MILLISECOND..=HOUR), "5s"),
        /// Failed checks in a row after which an address gets no requests.
        pub unhealthy_after: usize = or(count(1..=100), 3),
        /// Successful checks in a row after which it gets requests again.
        pub healthy_after: usize = or(count(1..=100), 2),
    }
}

/// The Host header that an upstream gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The client's.
    Pass,
    /// The target's host and port.
    Target,
    /// This one.
    Name(Authority),
}

impl Upstream {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<PathBuf>> {
        let presented = self
            .tls_client
            .iter()
            .flat_map(|client| [&client.certificate, &client.key]);
        presented.chain(&self.tls_ca)
    }
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
