//! A gateway in this process, whose clock the test sets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use scopegate::admin::Admin;
use scopegate::clock::Clock;
use scopegate::config::{Config, ListenAddress, Report, Source};
use scopegate::gateway::{SharedSnapshot, Snapshot, compile};
use scopegate::oauth::UnixTime;
use scopegate::reload::{Reloaded, Reloader};
use scopegate::server::tls::{CurrentCertificates, certificates};
use scopegate::server::{Server, Settings, listen};
use scopegate::telemetry::{Collector, Spans, Telemetry};
use scopegate::transport::tls;
use scopegate::{config, gateway};
use tokio::sync::{mpsc, oneshot};

use super::TIMEOUT;
use super::client::{Response, send};
use super::issuer::NOW;
use super::logs::Requests;

/// A running gateway; it stops when dropped.
pub struct Gateway {
    pub address: SocketAddr,
    /// The addresses of all listeners with a port; `address` is the first.
    pub addresses: Vec<SocketAddr>,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    pub clock: Clock,
    /// Its access log.
    pub requests: Requests,
    drain_timeout: Arc<Mutex<Duration>>,
    reload_requests: Option<mpsc::UnboundedSender<ReloadRequest>>,
    control: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    /// Starts it with a gateway.toml; `listen` is added, and one worker unless it says `workers`.
    pub fn start(toml: &str) -> Self {
        Self::start_altered(toml, |_| {})
    }

    /// The same with these variables instead of the environment of the process.
    pub fn start_in(environment: &[(&'static str, &str)], toml: &str) -> Self {
        let owned = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let environment = environment.iter().map(owned).collect();
        Self::start_with(Some(environment), toml, |_| {})
    }

    /// The same as [`Gateway::start`], after `alter` has changed the compiled snapshot.
    pub fn start_altered(toml: &str, alter: impl FnOnce(&mut Snapshot)) -> Self {
        Self::start_with(None, toml, alter)
    }

    fn start_with(
        environment: Option<Environment>,
        toml: &str,
        alter: impl FnOnce(&mut Snapshot),
    ) -> Self {
        super::logs::capture();
        let parsed = move |toml: &str| parsed(toml, environment.as_ref());
        let (config, source) = parsed(toml).unwrap_or_else(|report| panic!("{report}"));
        let mut snapshot =
            compile(&config).unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        alter(&mut snapshot);
        let settings = Settings::from(&config);
        let certificates = certificates(&config.listeners)
            .unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        let addresses: Vec<_> = config
            .listeners
            .iter()
            .map(|listener| listener.address.value.clone())
            .collect();
        let listeners = listen(&addresses, config.server.workers, false).expect("a free port");
        let bound = listeners.addresses().iter();
        let addresses: Vec<_> = bound.filter_map(ListenAddress::ip).collect();
        let admin_listener =
            Admin::listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).expect("a free port");
        let admin = admin_listener.addresses()[0].ip().expect("a port");
        let clock = Clock::by_hand(UnixTime::from_seconds(NOW));
        let requests = Requests::capture();
        let access_log = requests.access_log();
        let (reload_requests, mut requested_reloads) = mpsc::unbounded_channel::<ReloadRequest>();
        // Short: requests that a test leaves in flight must not delay its end.
        let drain_timeout = Arc::new(Mutex::new(Duration::from_millis(100)));
        let control = thread::spawn({
            let (clock, drain_timeout) = (clock.clone(), Arc::clone(&drain_timeout));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let snapshot: SharedSnapshot = Arc::new(ArcSwap::from_pointee(snapshot));
                    gateway::start_background_tasks(&snapshot.load(), None);
                    let certificates: Vec<_> = certificates
                        .into_iter()
                        .map(CurrentCertificates::new)
                        .collect();
                    let collector =
                        config
                            .telemetry
                            .otlp_endpoint
                            .as_ref()
                            .map(|endpoint| Collector {
                                endpoint: endpoint.value.to_string(),
                                service_name: config.telemetry.service_name.clone(),
                            });
                    let (spans, exporter) = collector
                        .map(|collector| {
                            let tls = tls::client(RootCertStore::empty(), None).expect("a client");
                            Spans::start(&collector, tls).expect("a client")
                        })
                        .unzip();
                    let telemetry = Telemetry::with_access_log(access_log, spans);
                    let server = Server::start(
                        listeners,
                        &certificates,
                        &settings,
                        &snapshot,
                        &clock,
                        &telemetry,
                    )
                    .expect("threads");
                    let mut reloader = Reloader::new(config, Arc::clone(&snapshot), certificates);
                    let (reloads, liveness) = (Arc::clone(reloader.reloads()), server.liveness());
                    tokio::spawn(
                        Admin::new(snapshot, telemetry, reloads, liveness, clock)
                            .serve(admin_listener),
                    );
                    while let Some(ReloadRequest { toml, responder }) =
                        requested_reloads.recv().await
                    {
                        let outcome = reloader.reload(&server, parsed(&toml)).await;
                        let _ = responder.send(outcome.map_err(|refused| refused.to_string()));
                    }
                    let drain_timeout = *drain_timeout.lock().expect("no panic");
                    let _ = server.drain(drain_timeout).await;
                    if let Some(exporter) = exporter {
                        exporter.finish().await;
                    }
                });
                // A worker that a test left hanging must not delay the other tests.
                runtime.shutdown_background();
            }
        });
        Self {
            address: addresses[0],
            addresses,
            admin,
            clock,
            requests,
            drain_timeout,
            reload_requests: Some(reload_requests),
            control: Some(control),
        }
    }

    /// Reloads with another gateway.toml.
    pub fn reload(&self, toml: &str) -> Result<Reloaded, String> {
        let (responder, outcome) = oneshot::channel();
        let reload_requests = self.reload_requests.as_ref().expect("a running gateway");
        reload_requests
            .send(ReloadRequest {
                toml: toml.to_owned(),
                responder,
            })
            .expect("a running gateway");
        outcome.blocking_recv().expect("an outcome")
    }

    /// Begins to drain, and returns without waiting for the requests in flight.
    pub fn begin_drain(mut self) {
        *self.drain_timeout.lock().expect("no panic") = TIMEOUT;
        drop((self.reload_requests.take(), self.control.take()));
    }

    /// Sends a GET to the admin listener.
    pub fn get_admin(&self, path: &str) -> Response {
        send(
            self.admin,
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        )
    }

    /// The value of a metric series, named with all its labels; `None` if there is no such series.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get_admin("/metrics").text();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Sets the clock to [`NOW`] plus `seconds`.
    pub fn set_time(&self, seconds: i64) {
        self.clock.set(UnixTime::from_seconds(NOW + seconds));
    }
}

/// A request to reload with this file.
struct ReloadRequest {
    toml: String,
    responder: oneshot::Sender<Result<Reloaded, String>>,
}

/// Variables by their names.
type Environment = HashMap<&'static str, String>;

fn parsed(toml: &str, environment: Option<&Environment>) -> Result<(Config, Source), Report> {
    let server = if toml.contains("[server]") {
        ""
    } else {
        "[server]\n"
    };
    let workers = if toml.contains("\nworkers = ") {
        ""
    } else {
        "workers = 1\n"
    };
    let added = format!("[server]\nlisten = \"127.0.0.1:0\"\n{workers}");
    let toml = format!("{server}{toml}").replacen("[server]\n", &added, 1);
    match environment {
        Some(environment) => config::parse_with("gateway.toml", &toml, &|name| {
            environment.get(name).cloned()
        }),
        None => config::parse("gateway.toml", &toml),
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.reload_requests.take());
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
    }
}
