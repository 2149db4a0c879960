//! Replaces the active configuration without a restart. No request is lost, and none is judged by a
//! mix of two configurations.
//!
//! 1. A file is applied as a whole or rejected as a whole. A file with errors is rejected, and so is
//!    a change that needs a restart. The log says why.
//! 2. Each request is judged and forwarded by the snapshot that was active when it arrived; see
//!    [`Gate`](crate::gateway::Gate).
//! 3. Unchanged issuers and upstreams keep their keys, cached tokens and connections.
//! 4. The keys of a new issuer are fetched, or their fetch has failed, before its routes are active.
//! 5. The file is read every half second, and applied once two reads agree: a file may still be being
//!    written. There are no file system events to rely on: not every file system has them, and none
//!    reports that a symbolic link on the way was swapped, as Kubernetes does.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::clock;
use crate::config::{Config, Report, Source};
use crate::gateway::{self, SharedSnapshot, Snapshot, compile_after};
use crate::server::tls::{CurrentCertificates, certificates};
use crate::server::{Server, Settings};
use crate::sync::lock;
use crate::telemetry::metrics::Counter;
use crate::transport::FileContents;

const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The active configuration, and what is needed to replace it.
pub struct Reloader {
    config: Config,
    shared_snapshot: SharedSnapshot,
    /// The certificates of each listener, in the order of the file.
    certificates: Vec<Arc<CurrentCertificates>>,
    reloads: Arc<Reloads>,
}

/// Counts of reloads, and the outcome of the last one.
#[derive(Debug)]
pub struct Reloads {
    /// Configurations that were applied.
    pub accepted: Counter,
    /// Configurations that were rejected.
    pub rejected: Counter,
    last: Mutex<LastReload>,
}

/// The outcome of the last reload.
#[derive(Clone, Copy, Debug)]
pub struct LastReload {
    /// Whether the file that was read last is active.
    pub is_active: bool,
    /// When a file was last read and found active or applied.
    pub success: Instant,
}

/// The outcome of a reload that was not rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The configuration has not changed.
    Unchanged,
    /// The new configuration is active.
    Changed,
}

/// Why a configuration is rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// It has errors.
    #[error("{0}")]
    Invalid(Report),
    /// It changes keys that are read only when the process starts.
    #[error("{} changed, which needs a restart", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
}

impl Reloader {
    /// `config` is active: `shared_snapshot` and `certificates` were compiled from it.
    #[must_use]
    pub fn new(
        config: Config,
        shared_snapshot: SharedSnapshot,
        certificates: Vec<Arc<CurrentCertificates>>,
    ) -> Self {
        Self {
            config,
            shared_snapshot,
            certificates,
            reloads: Arc::new(Reloads::new(clock::now())),
        }
    }

    /// The active configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The active snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared_snapshot.load_full()
    }

    /// Applies a loaded configuration. Waits for the keys of new issuers, for at most twice their
    /// `timeout`.
    ///
    /// A reload that is cancelled changes nothing.
    ///
    /// # Errors
    /// [`Rejected`]; the previous configuration stays active.
    pub async fn reload(
        &mut self,
        server: &Server,
        loaded: Result<(Config, Source), Report>,
    ) -> Result<Reloaded, Rejected> {
        let outcome = self.apply(server, loaded).await;
        match &outcome {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Changed) => self.reloads.accepted.count(),
            Err(_) => self.reloads.rejected.count(),
        }
        self.reloads.record(outcome.is_ok(), clock::now());
        outcome
    }

    /// Counts of reloads, and the outcome of the last one.
    #[must_use]
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.reloads
    }

    async fn apply(
        &mut self,
        server: &Server,
        loaded: Result<(Config, Source), Report>,
    ) -> Result<Reloaded, Rejected> {
        let (config, source) = loaded.map_err(Rejected::Invalid)?;
        let previous = self.shared_snapshot.load_full();
        let (snapshot, certificates) = match (
            compile_after(&config, Some(&previous)),
            certificates(&config.listeners),
        ) {
            (Ok(snapshot), Ok(certificates)) => (snapshot, certificates),
            (snapshot, certificates) => {
                let faults = [snapshot.err(), certificates.err()];
                return Err(Rejected::Invalid(
                    source.report(faults.into_iter().flatten().flatten().collect()),
                ));
            }
        };
        if config == self.config && has_same_issuers(&snapshot, &previous) {
            return Ok(Reloaded::Unchanged);
        }
        let needs_restart = changes_that_need_restart(&self.config, &config);
        if !needs_restart.is_empty() {
            return Err(Rejected::NeedsRestart(needs_restart));
        }
        gateway::start_background_tasks(&snapshot, Some(&previous));
        wait_for_new_issuers(&config, &snapshot, &previous).await;

        let snapshot = Arc::new(snapshot);
        self.shared_snapshot.store(Arc::clone(&snapshot));
        let listeners = self.config.listeners.iter().zip(&config.listeners);
        for ((current, loaded), (before, after)) in
            self.certificates.iter().zip(certificates).zip(listeners)
        {
            // Unchanged files are watched anyway, and their TLS sessions stay resumable.
            if before.tls != after.tls {
                current.replace(loaded);
            }
        }
        if let Some((revocations, written)) = snapshot
            .verifier
            .revocations()
            .zip(config.revocations.as_ref())
        {
            revocations.set_max_entries(written.max_entries);
        }
        server.set(Settings::from(&config));
        self.config = config;
        Ok(Reloaded::Changed)
    }
}

impl Reloads {
    // The configuration of the start counts as applied.
    fn new(now: Instant) -> Self {
        let last = Mutex::new(LastReload {
            is_active: true,
            success: now,
        });
        Self {
            accepted: Counter::default(),
            rejected: Counter::default(),
            last,
        }
    }

    fn record(&self, is_active: bool, now: Instant) {
        let mut last = lock(&self.last);
        last.is_active = is_active;
        if is_active {
            last.success = now;
        }
    }

    /// The outcome of the last reload.
    #[must_use]
    pub fn last(&self) -> LastReload {
        *lock(&self.last)
    }
}

// Without this log line, a waiting reload looks like a hanging one.
async fn wait_for_new_issuers(config: &Config, snapshot: &Snapshot, previous: &Snapshot) {
    let new = gateway::new_key_issuers(snapshot, previous);
    if new.is_empty() {
        return;
    }
    let names: Vec<_> = new.iter().map(|issuer| &*issuer.settings.name).collect();
    let new_issuers = config
        .issuers
        .iter()
        .filter(|issuer| names.contains(&issuer.name.value.as_str()));
    // One timeout for the metadata, one for the keys.
    let timeout = new_issuers
        .map(|issuer| issuer.timeout * 2)
        .max()
        .unwrap_or_default();
    tracing::info!(
        issuers = names.join(", "),
        timeout_seconds = timeout.as_secs_f64(),
        "waiting for the keys of new issuers"
    );
    gateway::wait_for_keys(&new, timeout).await;
}

fn has_same_issuers(snapshot: &Snapshot, previous: &Snapshot) -> bool {
    let (issuers, known) = (snapshot.verifier.issuers(), previous.verifier.issuers());
    issuers.len() == known.len()
        && issuers
            .iter()
            .zip(known)
            .all(|(one, other)| Arc::ptr_eq(one, other))
}

fn changes_that_need_restart(from: &Config, to: &Config) -> Vec<&'static str> {
    let addresses = |config: &Config| {
        config
            .listeners
            .iter()
            .map(|listener| listener.address.value.clone())
            .collect::<Vec<_>>()
    };
    let revocation_file = |config: &Config| {
        let file = config.revocations.as_ref()?.file.as_ref()?;
        Some(file.value.clone())
    };
    let changes = [
        (
            "the addresses of the listeners",
            addresses(from) != addresses(to),
        ),
        ("server.workers", from.server.workers != to.server.workers),
        (
            "server.share_port",
            from.server.share_port != to.server.share_port,
        ),
        ("admin.listen", from.admin_address() != to.admin_address()),
        (
            "[revocations]",
            from.revocations.is_some() != to.revocations.is_some(),
        ),
        (
            "revocations.file",
            revocation_file(from) != revocation_file(to),
        ),
        ("[fleet]", from.fleet != to.fleet),
        ("[telemetry]", from.telemetry != to.telemetry),
        ("[development]", from.development != to.development),
    ];
    changes
        .into_iter()
        .filter(|(_, is_changed)| *is_changed)
        .map(|(what, _)| what)
        .collect()
}

/// Detects changes of a file by reading it periodically.
pub struct FileWatcher {
    path: PathBuf,
    last_seen: FileContents,
}

impl FileWatcher {
    /// Starts from the present contents.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            last_seen: FileContents::of([&path]),
            path,
        }
    }

    /// Marks the present contents as known, because a reload on a signal reads them now.
    pub fn mark_read(&mut self) {
        self.last_seen = FileContents::of([&self.path]);
    }

    /// Waits until the contents change and stay the same for two reads. A deleted file counts as
    /// changed when it exists again, with any contents.
    pub async fn changed(&mut self) {
        let mut last = self.last_seen.clone();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let found = FileContents::of([&self.path]);
            if found == last && found != self.last_seen {
                self.last_seen = found.clone();
                if found.is_readable() {
                    return;
                }
            }
            last = found;
        }
    }
}
