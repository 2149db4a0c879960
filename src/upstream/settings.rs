//! An upstream as it was compiled from `[upstreams.NAME]`.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::endpoint::Endpoints;
use super::health_check::HealthCheck;
use super::resolver::Resolver;
use super::stats::{PerWorker, UpstreamStats};
use crate::transport::Renewed;
use crate::values::{Balance, Protocol};

/// Where and how to send an upstream's requests.
#[derive(Debug)]
pub struct Settings {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// What is spoken with it.
    pub protocol: Protocol,
    /// At least one.
    pub targets: Vec<Target>,
    /// Where they are, as the control plane finds it.
    pub endpoints: Endpoints,
    /// Who is asked where a name is.
    pub resolver: Resolver,
    /// Which of them gets a request.
    pub balance: Balance,
    /// How they are asked whether they serve; not at all where this is absent.
    pub check: Option<HealthCheck>,
    /// For TCP and TLS together, and for looking up a name that was not yet looked up.
    pub connect_timeout: Duration,
    /// From the request's last byte, or the last that the upstream took, to the head of the answer.
    pub response_timeout: Duration,
    /// Between two reads of the answer's body, and between two writes of the request.
    pub body_idle_timeout: Duration,
    /// How often a request may be repeated that cannot have had an effect, where the budget allows it.
    pub retries: u32,
    /// Idle connections kept for each worker and endpoint.
    pub pool_idle: usize,
    /// How long an idle connection is kept.
    pub pool_idle_timeout: Duration,
    /// The `Host` that the upstream sees.
    pub host: HostHeader,
    /// For `https` targets.
    pub tls: Arc<Renewed<ClientConfig>>,
    /// What the workers count.
    pub exchanges: PerWorker<UpstreamStats>,
}

/// One server of an upstream, or several behind one name.
#[derive(Debug)]
pub struct Target {
    /// A name or an address, as a resolver takes it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The `Host` of requests to it, where [`HostHeader::Target`] asks for it.
    pub authority: HeaderValue,
    /// The name that its certificate must bear; none for `http`.
    pub tls_name: Option<ServerName<'static>>,
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

impl Settings {
    /// Whether a connection can go on in another protocol: one that requests share cannot.
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

    /// Whether it has to be looked up.
    pub(super) fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
