//! The data plane: listeners, and the workers that serve them.
//!
//! Each worker is a thread with its own runtime, its own connections to the upstreams, and its own
//! listening socket on each port. Unix sockets and inherited sockets are shared by all workers. A
//! worker may hand a new connection to another one (`connection_balancer`); from then on, its requests
//! stay on that thread.
//! The locks that a request can meet are listed in the [crate's documentation](crate#locks).

mod accepted;
mod acceptor;
mod bound_socket;
mod clients;
mod closing;
mod connection;
mod connection_balancer;
mod connection_limit;
mod descriptors;
mod eviction;
mod http1;
mod http2;
mod inherited;
mod listen;
mod liveness;
mod proxy_protocol;
mod socket_file;
pub mod tls;
mod worker;
mod worker_state;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::{self, Clock};
use crate::config::{Config, ListenAddress, Listener};
use crate::gateway::{HttpsRedirect, Networks, SharedSnapshot};
use crate::telemetry::{InFlight, Telemetry};

pub(crate) use closing::close;
pub use descriptors::Descriptors;
pub use inherited::{InheritError, Inherited};
pub use listen::{ListenError, Listeners, Sharing, listen, listen_or_inherit};
pub use liveness::Liveness;

use accepted::ListenerState;
use clients::Clients;
use connection_balancer::ConnectionBalancer;
use connection_limit::ConnectionLimit;
use eviction::Evictors;
use socket_file::SocketFile;
use tls::CurrentCertificates;
use worker::Worker;

/// Settings of the data plane: `[server]` and `[[listeners]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Threads that serve requests.
    pub workers: usize,
    /// Maximum client connections of all workers. Beyond it, idle connections are evicted, or new
    /// ones wait.
    pub max_connections: usize,
    /// Maximum connections of one client; 0 for no limit.
    pub max_connections_per_client: usize,
    /// Whether a listener requires a PROXY header, for each listener in their order.
    pub proxy_protocol: Vec<bool>,
    /// Where a listener redirects every request, for each listener in their order; none if it serves
    /// routes.
    pub redirects: Vec<Option<HttpsRedirect>>,
    /// The limit per client does not count their connections, and only they may send a PROXY
    /// header.
    pub trusted_proxies: Networks,
    /// From the first byte of a request's head to its end.
    pub header_timeout: Duration,
    /// Between two writes of a response.
    pub body_idle_timeout: Duration,
    /// Between a response and the first byte of the next request.
    pub keep_alive_timeout: Duration,
    /// Maximum bytes of a request head.
    pub max_header_size: usize,
    /// Maximum header fields of a request.
    pub max_headers: usize,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let server = &config.server;
        let requires_header =
            |listener: &Listener| listener.proxy_protocol.as_ref().is_some_and(|on| on.value);
        Self {
            proxy_protocol: config.listeners.iter().map(requires_header).collect(),
            redirects: HttpsRedirect::of_listeners(config),
            workers: server.workers,
            max_connections: server.max_connections,
            max_connections_per_client: server.max_connections_per_client,
            trusted_proxies: Networks::trusted_proxies(config),
            header_timeout: server.header_timeout,
            body_idle_timeout: server.body_idle_timeout,
            keep_alive_timeout: server.keep_alive_timeout,
            max_header_size: server.max_header_size,
            max_headers: server.max_headers,
        }
    }
}

/// Maximum bytes of a body that are buffered. hyper's default is seven times as much for each fast
/// upload.
const BODY_BUFFER: usize = 64 * 1024;
/// Maximum bytes that are read beyond a head before it is found to be too long.
const AFTER_HEAD_BUFFER: usize = 8 * 1024;

impl Settings {
    // With the ports that were picked for listeners with port 0.
    fn with_ports(mut self, addresses: &[ListenAddress]) -> Self {
        let port_of = |index: usize| Some(addresses.get(index)?.ip()?.port());
        for redirect in &mut self.redirects {
            *redirect = redirect.take().map(|one| one.with_ports(port_of));
        }
        self
    }

    /// The builder of HTTP/1 connections.
    #[must_use]
    pub fn http1(&self) -> Builder {
        let mut http1 = Builder::new();
        http1
            .max_headers(self.max_headers)
            .max_header_size(self.max_header_size);
        http1.max_buf_size(self.max_header_size.max(BODY_BUFFER) + AFTER_HEAD_BUFFER);
        // Our own deadlines bound the head; hyper's needs a timer for each request.
        http1.header_read_timeout(None);
        http1.half_close(false);
        http1
    }
}

/// How long a worker may take to cut off the remaining requests.
const CUT_OFF_TIMEOUT: Duration = Duration::from_secs(1);

/// The phase of the server, which its workers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    Serve,
    /// As `Serve`, but responses announce that their connections close.
    Stopping,
    /// No connection is accepted, and idle ones are closed.
    Drain,
    /// The remaining requests are cut off.
    CutOff,
}

/// The result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were cut off.
    pub requests: usize,
    /// Exchanges without an end of their own that were ended: event streams and tunnels.
    pub streams: usize,
    /// Workers that hang. Their requests are not counted.
    pub hanging_workers: usize,
}

/// How many connections the process has file descriptors for.
#[derive(Clone, Copy)]
struct DescriptorLimit {
    connections: usize,
    descriptors: Descriptors,
}

/// The running data plane.
pub struct Server {
    addresses: Vec<ListenAddress>,
    /// Removed before the server stops to accept.
    socket_files: Vec<SocketFile>,
    settings: Arc<ArcSwap<Settings>>,
    limit: ConnectionLimit,
    /// `None` until [`fit_into`](Self::fit_into) is called.
    descriptor_limit: Option<DescriptorLimit>,
    liveness: Liveness,
    phase: watch::Sender<Phase>,
    workers: Vec<thread::JoinHandle<InFlight>>,
}

impl Server {
    /// Starts the workers on sockets that already listen.
    ///
    /// `certificates` are in the order of the listeners; a listener without any serves plain HTTP.
    /// No worker accepts before all are ready: the kernel may queue a connection at any of the
    /// sockets.
    ///
    /// # Errors
    /// A worker cannot be started.
    pub fn start(
        listeners: Listeners,
        certificates: &[Arc<CurrentCertificates>],
        settings: &Settings,
        snapshot: &SharedSnapshot,
        clock: &Clock,
        telemetry: &Arc<Telemetry>,
    ) -> io::Result<Self> {
        let (phase, _) = watch::channel(Phase::Start);
        let (ready, started) = mpsc::channel();
        let limit = ConnectionLimit::new(settings.max_connections);
        let addresses = listeners.addresses().to_vec();
        let bound = settings.clone().with_ports(&addresses);
        let shared = Arc::new(ArcSwap::from_pointee(bound));
        let listener_states = listener_states(&listeners, certificates, telemetry);
        let (workers, socket_files) = listeners.into_workers();
        let liveness = Liveness::new(workers.len(), clock::now());
        let (evictors, evictions) = Evictors::new(workers.len());
        let balancers = ConnectionBalancer::for_workers(workers.len(), clock::now());
        let clients = Clients::new();
        let workers = workers
            .into_iter()
            .zip(evictions.into_iter().zip(balancers))
            .enumerate()
            .map(|(index, (sockets, (evictions, (balancer, handed_over))))| {
                let worker = Worker {
                    sockets: sockets
                        .into_iter()
                        .zip(listener_states.iter().cloned())
                        .collect(),
                    settings: Arc::clone(&shared),
                    snapshot: snapshot.clone(),
                    clock: clock.clone(),
                    telemetry: Arc::clone(telemetry),
                    limit: limit.clone(),
                    clients: Arc::clone(&clients),
                    evictors: evictors.clone(),
                    evictions,
                    balancer,
                    handed_over,
                    heartbeat: liveness.heartbeat(index),
                    phase: phase.subscribe(),
                };
                let ready = ready.clone();
                thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn(move || worker.run(&ready))
            })
            .collect::<io::Result<Vec<_>>>()?;
        drop(ready);
        started
            .iter()
            .take(workers.len())
            .collect::<io::Result<()>>()?;
        // An error means that a worker has ended already; its thread has logged why.
        let _ = phase.send(Phase::Serve);
        Ok(Self {
            addresses,
            socket_files,
            settings: shared,
            limit,
            descriptor_limit: None,
            liveness,
            phase,
            workers,
        })
    }

    /// The addresses of the listeners, with the ports that were picked for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Replaces the settings for new connections. The number of workers does not change.
    pub fn set(&self, settings: Settings) {
        if settings.max_connections != self.settings.load().max_connections {
            self.limit_connections(settings.max_connections);
        }
        let settings = settings.with_ports(&self.addresses);
        self.settings.store(Arc::new(settings));
    }

    /// Limits connections to the file descriptors that are free now.
    pub fn fit_into(&mut self, descriptors: Descriptors) {
        self.descriptor_limit = Some(DescriptorLimit {
            connections: descriptors.connections(),
            descriptors,
        });
        self.limit_connections(self.settings.load().max_connections);
    }

    fn limit_connections(&self, max_connections: usize) {
        let lower_limit = self
            .descriptor_limit
            .filter(|limit| limit.connections < max_connections);
        if let Some(DescriptorLimit {
            connections,
            descriptors,
        }) = lower_limit
        {
            tracing::warn!(
                max_connections,
                served = connections,
                descriptors = descriptors.limit(),
                "too few file descriptors for max_connections; raise LimitNOFILE (ulimit -Hn)"
            );
        }
        self.limit
            .set(lower_limit.map_or(max_connections, |limit| limit.connections));
    }

    /// The liveness of the workers. It stays valid after [`drain`](Self::drain).
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Announces in responses that connections will close. Connections are still accepted and
    /// served.
    pub fn begin_stopping(&self) {
        // An error means that no worker is left.
        let _ = self.phase.send(Phase::Stopping);
    }

    /// Stops the server: accepts no more, closes idle connections, waits up to `timeout` for
    /// requests in flight, and cuts off the remaining ones.
    pub async fn drain(self, timeout: Duration) -> Drained {
        // First: a client that finds no file learns at once that nobody listens.
        drop(self.socket_files);
        // An error means that no worker is left.
        let _ = self.phase.send(Phase::Drain);
        let mut joining = JoinSet::new();
        for worker in self.workers {
            joining.spawn_blocking(move || worker.join().unwrap_or_default());
        }
        let mut drained = Drained::default();
        if tokio::time::timeout(timeout, drained.join(&mut joining))
            .await
            .is_err()
        {
            let _ = self.phase.send(Phase::CutOff);
            // An error means that the remaining workers hang.
            let _ = tokio::time::timeout(CUT_OFF_TIMEOUT, drained.join(&mut joining)).await;
        }
        drained.hanging_workers = joining.len();
        drained
    }
}

impl Drained {
    async fn join(&mut self, workers: &mut JoinSet<InFlight>) {
        while let Some(worker) = workers.join_next().await {
            let InFlight { requests, streams } = worker.unwrap_or_default();
            self.requests += requests;
            self.streams += streams;
        }
    }
}

// For each address, the state that the sockets of all workers share.
fn listener_states(
    listeners: &Listeners,
    certificates: &[Arc<CurrentCertificates>],
    telemetry: &Telemetry,
) -> Vec<ListenerState> {
    let plain = std::iter::repeat_with(|| CurrentCertificates::new(None));
    let certificates = certificates.iter().cloned().chain(plain);
    let addresses = listeners.addresses().iter().zip(listeners.sharing());
    certificates
        .zip(addresses)
        .enumerate()
        .map(
            |(index, (certificates, (address, sharing)))| ListenerState {
                index,
                certificates,
                sharing: *sharing,
                connections: telemetry.connections(&address.to_string()),
            },
        )
        .collect()
}
