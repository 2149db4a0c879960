//! `scopegate run`: the control plane, from start to stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing_subscriber::filter::LevelFilter;

#[cfg(feature = "development")]
use super::development::DevelopmentServers;
use super::warnings::weak_choices;
use super::{Options, service};
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{self, Config, Purpose};
use crate::fleet;
use crate::gateway::{self, SharedSnapshot, Snapshot};
use crate::reload::{FileWatcher, Reloaded, Reloader};
use crate::revocation::Revocations;
use crate::server::tls::{Certificates, CurrentCertificates};
use crate::server::{
    self, Descriptors, Drained, Inherited, ListenError, Listeners, Server, listen_or_inherit,
};
use crate::sync::Epoch;
use crate::telemetry::{self, Collector, Log, SpanExportTask, Spans, Telemetry};
use crate::transport::tls;
use crate::values::{LogFormat, LogLevel};

pub(super) fn run(options: &Options) -> ExitCode {
    // Created before the file is read, so that a change during startup is noticed.
    let watched = FileWatcher::new(&options.config);
    let (config, source) = match super::read(&options.config, Purpose::Run) {
        Ok(read) => read,
        Err(code) => return code,
    };
    // This changes the environment, which is safe only before the first thread starts.
    let inherited = match Inherited::from_environment() {
        Ok(inherited) => inherited,
        Err(error) => return failed(error),
    };
    // Compiling the file may log warnings, so the log starts before.
    let (format, level) = log_settings(&config.log, options);
    let log = match Log::start(format, level) {
        Ok(log) => log,
        Err(error) => return failed(error),
    };
    telemetry::log_panics();
    let (snapshot, certificates) = match super::compile_file(&config, &source) {
        Ok(compiled) => compiled,
        Err(code) => return code,
    };
    let weak = weak_choices(&config, &source, &snapshot).len();
    if weak > 0 && config.development.is_none() {
        tracing::warn!(weak, "configuration has weak choices; run scopegate check");
    }
    log_shadow_mode(&snapshot);
    // Without what was revoked, nothing may be served.
    if let Err(fault) = gateway::open_revocations(&snapshot, &config, Clock::system().now()) {
        drop(log);
        return failed(fault);
    }
    log_security_events(&snapshot);
    let startup = Startup {
        config,
        snapshot,
        certificates,
        inherited,
        watched,
    };
    let served = serve(startup, options, &log);
    // Flushes the log before an error is printed.
    drop(log);
    match served {
        Ok(code) => code,
        Err(error) => failed(error),
    }
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("scopegate: {error}");
    ExitCode::FAILURE
}

/// What exists before the first thread starts.
struct Startup {
    config: Config,
    snapshot: Snapshot,
    certificates: Vec<Option<Arc<Certificates>>>,
    inherited: Inherited,
    watched: FileWatcher,
}

/// Listening sockets from which nothing was accepted yet.
struct Sockets {
    workers: Listeners,
    admin: Option<Listeners>,
    /// The process's limit of file descriptors.
    descriptors: Descriptors,
}

impl Sockets {
    fn open(config: &Config, mut inherited: Inherited) -> io::Result<Self> {
        // Raised before the first socket is opened.
        let descriptors = Descriptors::raise();
        let addresses: Vec<_> = config
            .listeners
            .iter()
            .map(|listener| listener.address.value.clone())
            .collect();
        let server = &config.server;
        let admin = match config.admin_address() {
            Some(address) => {
                let listener = Admin::listen(address, server.share_port);
                Some(listener.map_err(|error| listen_error("admin.listen", &error))?)
            }
            None => None,
        };
        let workers = listen_or_inherit(
            &addresses,
            server.workers,
            server.share_port,
            &mut inherited,
        )
        .map_err(|error| {
            let failed = config
                .listeners
                .iter()
                .find(|listener| listener.address.value == error.address);
            let key = failed.map_or("server.listen", |listener| listener.address.key());
            listen_error(key, &error)
        })?;
        inherited
            .check_all_taken(&addresses)
            .map_err(io::Error::other)?;
        Ok(Self {
            workers,
            admin,
            descriptors,
        })
    }
}

fn serve(mut startup: Startup, options: &Options, log: &Log) -> io::Result<ExitCode> {
    let inherited = std::mem::take(&mut startup.inherited);
    let sockets = Sockets::open(&startup.config, inherited)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(control_plane(startup, sockets, options, log));
    // Does not wait: a worker that hangs would keep the process from ending.
    runtime.shutdown_background();
    outcome
}

// Starts the workers and the tasks of the control plane. Returns after a signal has stopped them.
#[expect(
    clippy::too_many_lines,
    reason = "the order of start and stop, read from top to bottom"
)]
async fn control_plane(
    startup: Startup,
    sockets: Sockets,
    options: &Options,
    log: &Log,
) -> io::Result<ExitCode> {
    let Startup {
        config,
        snapshot,
        certificates,
        mut watched,
        ..
    } = startup;
    let mut signals = Signals::new()?;
    #[cfg(feature = "development")]
    let development = DevelopmentServers::start(&config).await?;
    let snapshot: SharedSnapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    gateway::start_background_tasks(&snapshot.load(), None);
    if config.revocations.is_some() {
        tokio::spawn(gateway::sweep_revocations(
            Arc::clone(&snapshot),
            Clock::system(),
        ));
    }
    start_fleet(&snapshot.load(), &config)?;
    let (spans, span_export) = match collector(&config.telemetry) {
        Some(collector) => {
            let (spans, span_export) = export_spans(&collector)?;
            (Some(spans), Some(span_export))
        }
        None => (None, None),
    };
    let telemetry = Telemetry::with_access_log(log.access().clone(), spans);
    let is_tls: Vec<_> = certificates.iter().map(Option::is_some).collect();
    let certificates: Vec<_> = certificates
        .into_iter()
        .map(CurrentCertificates::new)
        .collect();
    let mut server = Server::start(
        sockets.workers,
        &certificates,
        &server::Settings::from(&config),
        &snapshot,
        &Clock::system(),
        &telemetry,
    )?;
    server.fit_into(sockets.descriptors);
    for (address, tls) in server.addresses().iter().zip(is_tls) {
        tracing::info!(%address, tls, "listening");
    }
    #[cfg(feature = "development")]
    if let Some(development) = &development {
        let gateway: Vec<_> = server
            .addresses()
            .iter()
            .filter_map(config::ListenAddress::ip)
            .collect();
        development.announce(&snapshot.load(), &gateway);
    }

    let mut reloader = Reloader::new(config, Arc::clone(&snapshot), certificates);
    let reloads = Arc::clone(reloader.reloads());
    let admin = Admin::new(
        snapshot,
        telemetry,
        reloads,
        server.liveness(),
        Clock::system(),
    );
    let admin_task = sockets.admin.map(|listener| {
        for address in listener.addresses() {
            tracing::info!(%address, "admin listening");
        }
        tokio::spawn(Arc::clone(&admin).serve(listener))
    });
    service::ready();
    tokio::spawn(service::watchdog(server.liveness()));

    let reloading = async {
        loop {
            tokio::select! {
                _ = signals.hang_up.recv() => watched.mark_read(),
                () = watched.changed() => {}
            }
            reload(&mut reloader, &server, options, log).await;
        }
    };
    tokio::select! {
        () = signals.stop.next() => {}
        () = reloading => {}
    }
    let settings = &reloader.config().server;
    tracing::info!(
        drain_delay_seconds = settings.drain_delay.as_secs_f64(),
        drain_timeout_seconds = settings.drain_timeout.as_secs_f64(),
        "shutting down"
    );
    admin.stop();
    service::stopping();
    let code = tokio::select! {
        code = drain(server, settings, &admin, admin_task) => code,
        () = signals.stop.next() => {
            tracing::warn!("drain aborted by a second signal");
            ExitCode::SUCCESS
        }
    };
    if let Some(span_export) = span_export {
        span_export.finish().await;
    }
    Ok(code)
}

fn start_fleet(snapshot: &Snapshot, config: &config::Config) -> io::Result<()> {
    let settings = gateway::fleet_settings(config)
        .map_err(|_| io::Error::other("fleet: a file of [fleet] changed since it was read"))?;
    if let Some((settings, status)) = settings.zip(snapshot.fleet.as_ref()) {
        // Without [revocations], what others publish is not kept.
        let revocations = snapshot
            .verifier
            .revocations()
            .map_or_else(|| Revocations::new(0, Epoch::default()), Arc::clone);
        fleet::start(settings, Arc::clone(status), revocations, Clock::system());
    }
    Ok(())
}

fn export_spans(collector: &Collector) -> io::Result<(Spans, SpanExportTask)> {
    let roots = if collector.endpoint.starts_with("https:") {
        tls::system_roots()
    } else {
        RootCertStore::empty()
    };
    let client = tls::client(roots, None).map_err(io::Error::other)?;
    let exported = Spans::start(collector, client).map_err(io::Error::other)?;
    tracing::info!(endpoint = collector.endpoint, "exporting spans");
    Ok(exported)
}

fn listen_error(key: &str, error: &ListenError) -> io::Error {
    io::Error::other(format!("{key}: {error}"))
}

async fn reload(reloader: &mut Reloader, server: &Server, options: &Options, log: &Log) {
    service::reloading();
    let loaded = super::load(&options.config, Purpose::Run);
    let outcome = reloader.reload(server, loaded).await;
    let (accepted, refused) = (
        reloader.reloads().accepted.read(),
        reloader.reloads().rejected.read(),
    );
    match outcome {
        Ok(Reloaded::Unchanged) => tracing::info!("configuration unchanged"),
        Ok(Reloaded::Changed) => {
            let (format, level) = log_settings(&reloader.config().log, options);
            log.change(format, level);
            log_shadow_mode(&reloader.snapshot());
            log_security_events(&reloader.snapshot());
            tracing::info!(accepted, "configuration reloaded");
        }
        Err(error) => {
            tracing::error!(refused, %error, "configuration rejected; the previous one stays active");
        }
    }
    service::ready();
}

fn log_shadow_mode(snapshot: &Snapshot) {
    let routes = snapshot.routes.unenforced().count();
    if routes > 0 {
        tracing::warn!(
            routes,
            "shadow mode: routes with enforce = false forward requests without a sufficient token"
        );
    }
}

fn log_security_events(snapshot: &Snapshot) {
    if let Some(receiver) = &snapshot.security_events {
        let issuers = snapshot.verifier.issuers().iter();
        let issuers = issuers
            .filter(|issuer| issuer.accepts_security_events())
            .count();
        let path = &receiver.path;
        tracing::info!(%path, issuers, "receiving security events");
    }
}

/// The task of the admin listener, if there is one.
type AdminTask = Option<JoinHandle<io::Result<()>>>;

async fn drain(
    server: Server,
    settings: &config::Server,
    admin: &Admin,
    admin_task: AdminTask,
) -> ExitCode {
    if !settings.drain_delay.is_zero() {
        server.begin_stopping();
        tokio::time::sleep(settings.drain_delay).await;
    }
    let close_admin = async {
        admin.close();
        if let Some(task) = admin_task {
            // An error means that the task panicked.
            let _ = task.await;
        }
    };
    let drained = if settings.share_port {
        // From here on the other process accepts every connection, probes included. A probe that
        // still came here would find a gateway that is not ready.
        tokio::join!(server.drain(settings.drain_timeout), close_admin).0
    } else {
        let drained = server.drain(settings.drain_timeout).await;
        close_admin.await;
        drained
    };
    let Drained {
        requests,
        streams,
        hanging_workers,
    } = drained;
    if requests == 0 && hanging_workers == 0 {
        tracing::info!(streams, "stopped");
        return ExitCode::SUCCESS;
    }
    tracing::warn!(
        requests,
        streams,
        hanging_workers,
        "stopped; requests aborted after drain_timeout"
    );
    ExitCode::FAILURE
}

/// The signals that the process handles.
struct Signals {
    stop: Stop,
    hang_up: Signal,
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let stop = Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        Ok(Self {
            stop,
            hang_up: signal(SignalKind::hangup())?,
        })
    }
}

impl Stop {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn collector(telemetry: &config::Telemetry) -> Option<Collector> {
    let endpoint = telemetry.otlp_endpoint.as_ref()?.value.to_string();
    Some(Collector {
        endpoint,
        service_name: telemetry.service_name.clone(),
    })
}

fn log_settings(log: &config::Log, options: &Options) -> (LogFormat, LevelFilter) {
    let format = options
        .log_format
        .or(log.format)
        .unwrap_or_else(LogFormat::of_standard_error);
    let level = match options.log_level.unwrap_or(log.level) {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    (format, level)
}
