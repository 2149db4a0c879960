//! `scopegate run`: the control plane, from start to stop.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::warnings::weak_choices;
use super::{LogFormat, LogLevel, Options, service, story};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::dev;
use crate::gateway::{self, Publisher, Snapshot};
use crate::net::Renewed;
use crate::oauth::scope::{GrantedWildcards, ScopeSet};
use crate::server::tls::Certificates;
use crate::server::{self, Inherited, Server, listen_or_inherit};
use crate::telemetry;

pub(super) fn run(options: &Options) -> ExitCode {
    let (config, source) = match super::read(&options.config) {
        Ok(read) => read,
        Err(code) => return code,
    };
    // Before any thread is started.
    let inherited = match Inherited::from_environment() {
        Ok(inherited) => inherited,
        Err(error) => return failed(error),
    };
    // Before the file is compiled: that may have something to warn of.
    start_log(&config.log, options);
    let (snapshot, certificates) = match super::compiled(&config, &source) {
        Ok(compiled) => compiled,
        Err(code) => return code,
    };
    let weak = weak_choices(&config).len();
    if weak > 0 && config.development.is_none() {
        tracing::warn!(weak, "the file has weak choices; `scopegate check` tells which");
    }
    match serve(&config, snapshot, &certificates, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error),
    }
}

fn failed(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("scopegate: {error}");
    ExitCode::FAILURE
}

fn serve(
    config: &Config,
    snapshot: Snapshot,
    certificates: &[Option<Arc<Certificates>>],
    mut inherited: Inherited,
) -> io::Result<()> {
    let addresses: Vec<_> = config.listeners.iter().map(|listener| listener.address.value).collect();
    let listeners = listen_or_inherit(&addresses, config.server.workers, config.server.share_port, &mut inherited)
        .map_err(io::Error::other)?;
    inherited.all_taken(&addresses).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let development = match &config.development {
            Some(development) => Some(dev::start(development_settings(development)).await?),
            None => None,
        };
        let publisher: Publisher = Arc::new(ArcSwap::from_pointee(snapshot));
        gateway::attend_to(&publisher.load());
        for certificates in certificates.iter().flatten() {
            tokio::spawn(Renewed::keep(Arc::downgrade(certificates)));
        }
        let settings = server::Settings::from(&config.server);
        let server = Server::start(listeners, certificates, &settings, &publisher, &Clock::system())?;
        for (address, certificates) in server.addresses().iter().zip(certificates) {
            tracing::info!(%address, tls = certificates.is_some(), "listening");
        }
        if let Some(development) = &development {
            tracing::warn!(
                issuer = %development.issuer_address,
                echo = %development.echo_address,
                "[development]: an authorization server that everybody knows the secrets of; for trying things out only"
            );
            story::print(&publisher.load(), server.addresses(), development.issuer_address);
        }

        service::ready();
        tokio::spawn(service::watchdog(server.pulse()));

        signals.next().await;
        tracing::info!("stopping");
        service::stopping();
        tokio::select! {
            () = drain(server, &config.server) => {}
            () = signals.next() => tracing::warn!("stopped at once"),
        }
        Ok(())
    });
    // Not waited for: whoever still waits for the workers waits for requests that were to be cut off.
    runtime.shutdown_background();
    outcome
}

async fn drain(server: Server, settings: &config::Server) {
    tokio::time::sleep(settings.drain_delay).await;
    if server.drain(settings.drain_timeout).await {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped, with requests that did not end within drain_timeout cut off");
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn development_settings(development: &config::Development) -> dev::Settings {
    let clients = development.clients.iter().map(|client| dev::Client {
        id: client.value.id.clone(),
        secret: client.value.secret.expose().into(),
        // More scopes than a token may grant could not be granted anyway.
        allowed_scope: ScopeSet::parse(&client.value.allowed_scope, GrantedWildcards::Honoured)
            .unwrap_or(ScopeSet::empty()),
    });
    dev::Settings {
        listen: development.listen.value,
        echo: development.echo.value,
        runtime: development.runtime.clone(),
        token_lifetime: development.token_lifetime,
        token_format: match development.token_format {
            config::TokenFormat::Jwt => dev::TokenFormat::Jwt,
            config::TokenFormat::Opaque => dev::TokenFormat::Opaque,
        },
        audience: development.audience.clone(),
        algorithm: match development.algorithm {
            config::DevelopmentAlgorithm::RS256 => dev::SigningAlgorithm::Rs256,
            config::DevelopmentAlgorithm::ES256 => dev::SigningAlgorithm::Es256,
            config::DevelopmentAlgorithm::EdDSA => dev::SigningAlgorithm::EdDsa,
        },
        clients: clients.collect(),
    }
}

fn start_log(log: &config::Log, options: &Options) {
    let format = match (options.log_format, log.format) {
        (Some(LogFormat::Pretty), _) | (None, config::LogFormat::Pretty) => telemetry::LogFormat::Pretty,
        (Some(LogFormat::Json), _) | (None, config::LogFormat::Json) => telemetry::LogFormat::Json,
    };
    let level = match (options.log_level, log.level) {
        (Some(LogLevel::Error), _) | (None, config::LogLevel::Error) => LevelFilter::ERROR,
        (Some(LogLevel::Warn), _) | (None, config::LogLevel::Warn) => LevelFilter::WARN,
        (Some(LogLevel::Info), _) | (None, config::LogLevel::Info) => LevelFilter::INFO,
        (Some(LogLevel::Debug), _) | (None, config::LogLevel::Debug) => LevelFilter::DEBUG,
        (Some(LogLevel::Trace), _) | (None, config::LogLevel::Trace) => LevelFilter::TRACE,
    };
    telemetry::start_log(format, level);
    telemetry::log_panics();
}
