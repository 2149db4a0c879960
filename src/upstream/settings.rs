//! An upstream as it was compiled from `[upstreams.NAME]`: plain data, and no live state.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::{PathAndQuery, Scheme};
use rustls::pki_types::ServerName;

use crate::values::{Balance, Protocol};

/// Where and how requests are sent to an upstream.
#[derive(Debug)]
pub struct UpstreamSettings {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// The protocol of its connections.
    pub protocol: Protocol,
    /// The servers; at least one.
    pub targets: Vec<Target>,
    /// How an endpoint is selected for a request.
    pub balance: Balance,
    /// Active health checks; `None` where they are off.
    pub health_check: Option<HealthCheck>,
    /// Ejection after failed responses; `None` where only failures to connect eject.
    pub outlier: Option<Outlier>,
    /// For TCP and TLS together, and for a DNS lookup where the name was not looked up yet.
    pub connect_timeout: Duration,
    /// From the last byte of the request that arrived from the client to the response head. It passes
    /// after at most twice this time.
    pub response_timeout: Duration,
    /// Between two reads of the response body, and between two writes of the request.
    pub body_idle_timeout: Duration,
    /// Maximum retries of one request. Only requests that cannot have had an effect are retried.
    pub retries: u32,
    /// Maximum idle connections for each worker and endpoint.
    pub pool_idle: usize,
    /// How long an idle connection stays open.
    pub pool_idle_timeout: Duration,
    /// The `Host` that the upstream sees.
    pub host: HostHeader,
}

/// One server of an upstream, or several behind one name.
#[derive(Debug)]
pub struct Target {
    /// Where it listens.
    pub address: TargetAddress,
    /// The `Host` of requests to it, for [`HostHeader::Target`].
    pub authority: HeaderValue,
    /// The name that its certificate must contain; `None` for `http`.
    pub tls_name: Option<ServerName<'static>>,
    /// How many requests each of its addresses gets for each one of an address with weight 1.
    pub weight: u32,
}

/// Where a target listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAddress {
    /// On the network.
    Network {
        /// A name or an IP address, as a resolver takes it.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// On a Unix socket.
    Unix(Arc<Path>),
}

/// Which `Host` an upstream sees.
#[derive(Debug, Clone)]
pub enum HostHeader {
    /// The client's.
    Pass,
    /// The target's own.
    Target,
    /// Always this one.
    Fixed(HeaderValue),
}

/// How the endpoints of an upstream are checked.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// What is requested.
    pub path: PathAndQuery,
    /// Between two checks, give or take a tenth.
    pub interval: Duration,
    /// Failed checks in a row that make an endpoint unhealthy.
    pub unhealthy_after: u32,
    /// Successful checks in a row that make it healthy again.
    pub healthy_after: u32,
}

/// When failed responses eject an endpoint.
#[derive(Clone, Debug)]
pub struct Outlier {
    /// Failed responses in a row that eject it.
    pub consecutive: u32,
    /// How long it gets no requests.
    pub ejection_time: Duration,
    /// The share of the endpoints that may be ejected at a time, of which at least one stays.
    pub max_ejected_percent: u8,
}

impl UpstreamSettings {
    /// Whether the weights of its targets differ.
    pub(super) fn is_weighted(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.weight != self.targets[0].weight)
    }

    /// Whether a connection can switch to another protocol. One that exchanges share cannot.
    #[must_use]
    pub fn supports_upgrade(&self) -> bool {
        self.protocol == Protocol::Http1
    }
}

impl Target {
    pub(super) fn scheme(&self) -> Scheme {
        if self.tls_name.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    /// Whether its host is a name, which DNS has to resolve.
    pub(super) fn is_name(&self) -> bool {
        match &self.address {
            TargetAddress::Network { host, .. } => host.parse::<IpAddr>().is_err(),
            TargetAddress::Unix(_) => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            TargetAddress::Network { host, port } => write!(f, "{host}:{port}"),
            TargetAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
