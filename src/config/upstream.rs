//! `[upstreams.NAME]`: where permitted requests go.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use toml::de::DeValue;
use url::Url;

use super::hints;
use super::listener::Certificate;
use super::read::Table;
use super::report::Placed;
use super::units::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, count, duration};
use super::values::{Mismatch, expected, host_name, keyword, origin, path};
use crate::values::{Balance, Protocol};

/// `[upstreams.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The name by which routes speak of it.
    pub name: Placed<String>,
    /// Scheme, host and port of each of its servers, at least one.
    pub targets: Vec<Placed<Url>>,
    /// What is spoken with them.
    pub protocol: Protocol,
    /// Which of them gets a request.
    pub balance: Balance,
    /// How they are asked whether they serve.
    pub health: Option<Health>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the head of a response may take.
    pub response_timeout: Duration,
    /// How often a request is tried again that cannot have had an effect.
    pub retries: usize,
    /// Idle connections kept, for each worker and target.
    pub pool_idle: usize,
    /// How long an idle connection is kept.
    pub pool_idle_timeout: Duration,
    /// The Host header they get.
    pub host: UpstreamHost,
    /// The name their certificates must have, if not that of the target.
    pub tls_server_name: Option<Placed<String>>,
    /// The roots their certificates must lead to, if not the system's.
    pub tls_ca: Option<Placed<PathBuf>>,
    /// Our own certificate.
    pub tls_client: Option<Certificate>,
}

/// `health` of an upstream: how its servers are asked whether they serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What is asked for.
    pub path: PathAndQuery,
    /// From one check to the next.
    pub interval: Duration,
    /// Checks in a row that must fail before a server gets no requests.
    pub unhealthy_after: usize,
    /// Checks in a row that must be good before it gets some again.
    pub healthy_after: usize,
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
    pub(super) fn read(name: Placed<String>, table: &mut Table<'_>) -> Option<Self> {
        let targets =
            table.required_one_or_many("targets", "the URL of at least one server", origin);
        Some(Self {
            name,
            protocol: table.or("protocol", Protocol::Http1, keyword),
            balance: table.or("balance", Balance::LeastRequests, keyword),
            health: table.optional_section("health", Health::read).flatten(),
            connect_timeout: table.or(
                "connect_timeout",
                2 * SECOND,
                duration(MILLISECOND..=MINUTE),
            ),
            response_timeout: table.or("response_timeout", MINUTE, duration(MILLISECOND..=DAY)),
            retries: table.or("retries", 1, count(0..=10)),
            pool_idle: table.or("pool_idle", 256, count(0..=65_536)),
            pool_idle_timeout: table.or(
                "pool_idle_timeout",
                4 * SECOND,
                duration(MILLISECOND..=HOUR),
            ),
            host: table.or("host", UpstreamHost::Pass, upstream_host),
            tls_server_name: table.optional("tls_server_name", host_name),
            tls_ca: table.optional("tls_ca", path(table.folder())),
            tls_client: table
                .optional_section("tls_client", Certificate::read)
                .flatten(),
            // What may be missing comes last, when every key was taken.
            targets: targets?,
        })
    }
}

impl Upstream {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Placed<PathBuf>> {
        let shown = self
            .tls_client
            .iter()
            .flat_map(|shown| [&shown.certificate, &shown.key]);
        shown.chain(&self.tls_ca)
    }
}

impl Health {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let path = table.required(
            "path",
            "the path of a check, such as \"/healthz\"",
            path_and_query,
        );
        Some(Self {
            interval: table.or("interval", 5 * SECOND, duration(100 * MILLISECOND..=HOUR)),
            unhealthy_after: table.or("unhealthy_after", 3, count(1..=100)),
            healthy_after: table.or("healthy_after", 2, count(1..=100)),
            path: path?.value,
        })
    }
}

fn path_and_query(value: &DeValue<'_>) -> Result<PathAndQuery, Mismatch> {
    let text = value
        .as_str()
        .filter(|text| text.starts_with('/') && !text.contains('#'));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| expected("a path that begins with \"/\""))
}

fn upstream_host(value: &DeValue<'_>) -> Result<UpstreamHost, Mismatch> {
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
