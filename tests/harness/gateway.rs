//! A gateway in this process, at a time that the test sets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use scopegate::admin::Admin;
use scopegate::clock::Clock;
use scopegate::config::{Config, Report, Source};
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
    /// Where all its listeners are, that one first.
    pub addresses: Vec<SocketAddr>,
    /// Where its admin listener is.
    pub admin: SocketAddr,
    pub clock: Clock,
    /// What it logs of requests.
    pub requests: Requests,
    drain_timeout: Arc<Mutex<Duration>>,
    orders: Option<mpsc::UnboundedSender<ReloadRequest>>,
    control: Option<thread::JoinHandle<()>>,
}

impl Gateway {
    /// Starts it with a gateway.toml; `listen` and `workers` are seen to.
    pub fn start(toml: &str) -> Self {
        Self::start_altered(toml, |_| {})
    }

    /// The same, with a snapshot that is not what the file says.
    pub fn start_altered(toml: &str, alter: impl FnOnce(&mut Snapshot)) -> Self {
        super::logs::keep();
        let (config, source) = parsed(toml).unwrap_or_else(|report| panic!("{report}"));
        let mut snapshot =
            compile(&config).unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        alter(&mut snapshot);
        let settings = Settings::from(&config.server);
        let certificates = certificates(&config.listeners)
            .unwrap_or_else(|faults| panic!("{}", source.report(faults)));
        let addresses: Vec<_> = config
            .listeners
            .iter()
            .map(|listener| listener.address.value)
            .collect();
        let listeners = listen(&addresses, 1, false).expect("a free port");
        let addresses = listeners.addresses().to_vec();
        let admin_listener =
            Admin::listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).expect("a free port");
        let admin = admin_listener.addresses()[0];
        let clock = Clock::by_hand(UnixTime::from_seconds(NOW));
        let requests = Requests::keep();
        let access_log = requests.access_log();
        let (orders, mut ordered) = mpsc::unbounded_channel::<ReloadRequest>();
        // What a test leaves under way is not waited for.
        let drain_timeout = Arc::new(Mutex::new(Duration::from_millis(100)));
        let control = thread::spawn({
            let (clock, drain_timeout) = (clock.clone(), Arc::clone(&drain_timeout));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let publisher: SharedSnapshot = Arc::new(ArcSwap::from_pointee(snapshot));
                    gateway::start_background_tasks(&publisher.load(), None);
                    let shown: Vec<_> = certificates
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
                    let (spans, exporting) = collector
                        .map(|collector| {
                            let tls = tls::client(RootCertStore::empty(), None).expect("a client");
                            Spans::start(&collector, tls).expect("a client")
                        })
                        .unzip();
                    let telemetry = Telemetry::with_access_log(access_log, spans);
                    let server =
                        Server::start(listeners, &shown, &settings, &publisher, &clock, &telemetry)
                            .expect("threads");
                    let mut reloader = Reloader::new(config, Arc::clone(&publisher), shown);
                    let (reloads, pulse) = (Arc::clone(reloader.reloads()), server.liveness());
                    tokio::spawn(
                        Admin::new(publisher, telemetry, reloads, pulse, clock)
                            .serve(admin_listener),
                    );
                    while let Some(ReloadRequest { toml, answer }) = ordered.recv().await {
                        let outcome = reloader.reload(&server, parsed(&toml)).await;
                        let _ = answer.send(outcome.map_err(|refused| refused.to_string()));
                    }
                    let drain_timeout = *drain_timeout.lock().expect("no panic");
                    let _ = server.drain(drain_timeout).await;
                    if let Some(exporting) = exporting {
                        exporting.finish().await;
                    }
                });
                // A worker that a test left hanging must not hold up the others.
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
            orders: Some(orders),
            control: Some(control),
        }
    }

    /// Has another gateway.toml take the place of the one in force.
    pub fn reload(&self, toml: &str) -> Result<Reloaded, String> {
        let (answer, answered) = oneshot::channel();
        let orders = self.orders.as_ref().expect("it runs");
        orders
            .send(ReloadRequest {
                toml: toml.to_owned(),
                answer,
            })
            .expect("it runs");
        answered.blocking_recv().expect("an outcome")
    }

    /// Stops it, and lets what is under way end; returns at once.
    pub fn begin_drain(mut self) {
        *self.drain_timeout.lock().expect("no panic") = TIMEOUT;
        drop((self.orders.take(), self.control.take()));
    }

    /// What the admin listener answers to a GET.
    pub fn ask_admin(&self, path: &str) -> Response {
        send(
            self.admin,
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        )
    }

    /// The value of a series of the metrics, which is written with all its labels; none while there is no such series.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.ask_admin("/metrics").text();
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Sets the time to so many seconds after [`NOW`].
    pub fn at(&self, seconds: i64) {
        self.clock.set(UnixTime::from_seconds(NOW + seconds));
    }
}

/// To put this file in force.
struct ReloadRequest {
    toml: String,
    answer: oneshot::Sender<Result<Reloaded, String>>,
}

fn parsed(toml: &str) -> Result<(Config, Source), Report> {
    let server = if toml.contains("[server]") {
        ""
    } else {
        "[server]\n"
    };
    let toml = format!("{server}{toml}").replacen(
        "[server]\n",
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n",
        1,
    );
    config::parse("gateway.toml", &toml)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
    }
}
