//! Another configuration in the place of the one in force: without a restart, and without a request lost or judged by a
//! mix of both.
//!
//! 1. A file is taken up as a whole or not at all. One that is faulty, or changes what only a restart can change, changes
//!    nothing; what the matter is stands in the log.
//! 2. Each request is judged and forwarded by the snapshot that was in force when it came; see
//!    [`Gate`](crate::gateway::Gate).
//! 3. Issuers and upstreams that are the same as before stay what they are: with their keys, what is known of tokens, and
//!    their connections.
//! 4. The keys of an issuer that is new are there when its routes are, or else it was tried.
//! 5. The file is read every half second, and taken up when it has been the same twice: a file that is still being
//!    written is no configuration, and not every file system tells that a file has changed (nor does any when a link on the
//!    way to it is swapped, as Kubernetes does).

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

/// What is in force, and what it takes to put something else there.
pub struct Reloader {
    config: Config,
    publisher: SharedSnapshot,
    /// In the order of the listeners.
    shown: Vec<Arc<CurrentCertificates>>,
    reloads: Arc<Reloads>,
}

/// What came of the reloads so far.
#[derive(Debug)]
pub struct Reloads {
    /// Another configuration was taken up.
    pub accepted: Counter,
    /// It was not, because of what it was.
    pub refused: Counter,
    last: Mutex<LastReload>,
}

/// What came of the reload that was last.
#[derive(Clone, Copy, Debug)]
pub struct LastReload {
    /// Whether what was read is in force.
    pub is_good: bool,
    /// When something last was, which it may have been already.
    pub success: Instant,
}

/// What a reload came to, where it was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// It is as it was.
    Same,
    /// Another configuration is in force.
    Changed,
}

/// Why a configuration is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is faulty.
    #[error("{0}")]
    Faulty(Report),
    /// It changes what is settled when the process starts.
    #[error("{} changed, which takes a restart", .0.join(", "))]
    TakesRestart(Vec<&'static str>),
}

impl Reloader {
    /// `config` is in force: it was compiled to what `publisher` publishes and what the listeners show.
    #[must_use]
    pub fn new(
        config: Config,
        publisher: SharedSnapshot,
        shown: Vec<Arc<CurrentCertificates>>,
    ) -> Self {
        Self {
            config,
            publisher,
            shown,
            reloads: Arc::new(Reloads::new(clock::now())),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it was compiled to.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.publisher.load_full()
    }

    /// Takes up what was loaded, if it is good. Waits for the keys of new issuers, for as long as asking for them may take.
    ///
    /// Dropped before its end, it changes nothing.
    ///
    /// # Errors
    /// [`Refused`], and nothing is changed.
    pub async fn reload(
        &mut self,
        server: &Server,
        loaded: Result<(Config, Source), Report>,
    ) -> Result<Reloaded, Refused> {
        let outcome = self.apply(server, loaded).await;
        match &outcome {
            Ok(Reloaded::Same) => {}
            Ok(Reloaded::Changed) => self.reloads.accepted.count(),
            Err(_) => self.reloads.refused.count(),
        }
        self.reloads.record(outcome.is_ok(), clock::now());
        outcome
    }

    /// What came of the reloads so far.
    #[must_use]
    pub fn reloads(&self) -> &Arc<Reloads> {
        &self.reloads
    }

    async fn apply(
        &mut self,
        server: &Server,
        loaded: Result<(Config, Source), Report>,
    ) -> Result<Reloaded, Refused> {
        let (config, source) = loaded.map_err(Refused::Faulty)?;
        let earlier = self.publisher.load_full();
        let (snapshot, certificates) = match (
            compile_after(&config, Some(&earlier)),
            certificates(&config.listeners),
        ) {
            (Ok(snapshot), Ok(certificates)) => (snapshot, certificates),
            (snapshot, certificates) => {
                let faults = [snapshot.err(), certificates.err()];
                return Err(Refused::Faulty(
                    source.report(faults.into_iter().flatten().flatten().collect()),
                ));
            }
        };
        if config == self.config && has_same_issuers(&snapshot, &earlier) {
            return Ok(Reloaded::Same);
        }
        let settled = changes_that_need_restart(&self.config, &config);
        if !settled.is_empty() {
            return Err(Refused::TakesRestart(settled));
        }
        gateway::start_background_tasks(&snapshot, Some(&earlier));
        settle_new_issuers(&config, &snapshot, &earlier).await;

        let snapshot = Arc::new(snapshot);
        self.publisher.store(Arc::clone(&snapshot));
        let listeners = self.config.listeners.iter().zip(&config.listeners);
        for ((shown, certificates), (before, after)) in
            self.shown.iter().zip(certificates).zip(listeners)
        {
            // What is the same is renewed by itself, and its sessions can be resumed.
            if before.tls != after.tls {
                shown.replace(certificates);
            }
        }
        server.set(Settings::from(&config.server));
        self.config = config;
        Ok(Reloaded::Changed)
    }
}

impl Reloads {
    // What was started with was taken up as well.
    fn new(now: Instant) -> Self {
        let last = Mutex::new(LastReload {
            is_good: true,
            success: now,
        });
        Self {
            accepted: Counter::default(),
            refused: Counter::default(),
            last,
        }
    }

    fn record(&self, is_good: bool, now: Instant) {
        let mut last = lock(&self.last);
        last.is_good = is_good;
        if is_good {
            last.success = now;
        }
    }

    /// What came of the last one.
    #[must_use]
    pub fn last(&self) -> LastReload {
        *lock(&self.last)
    }
}

// Whoever reloads reads in the log why nothing happens yet.
async fn settle_new_issuers(config: &Config, snapshot: &Snapshot, earlier: &Snapshot) {
    let new = gateway::new_key_issuers(snapshot, earlier);
    if new.is_empty() {
        return;
    }
    let names: Vec<_> = new.iter().map(|issuer| &*issuer.settings.name).collect();
    let timeouts = config
        .issuers
        .iter()
        .filter(|issuer| names.contains(&issuer.name.value.as_str()));
    // For its metadata, and for its keys.
    let longest = timeouts
        .map(|issuer| issuer.timeout * 2)
        .max()
        .unwrap_or_default();
    tracing::info!(issuers = names.join(", "), at_most = ?longest, "reload waits for the keys of new issuers");
    gateway::wait_for_keys(&new, longest).await;
}

fn has_same_issuers(snapshot: &Snapshot, earlier: &Snapshot) -> bool {
    let (issuers, known) = (snapshot.verifier.issuers(), earlier.verifier.issuers());
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
            .map(|listener| listener.address.value)
            .collect::<Vec<_>>()
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
        ("[telemetry]", from.telemetry != to.telemetry),
        ("[development]", from.development != to.development),
    ];
    changes
        .into_iter()
        .filter(|(_, is_changed)| *is_changed)
        .map(|(what, _)| what)
        .collect()
}

/// A file that is looked at for changes.
pub struct FileWatcher {
    path: PathBuf,
    known: FileContents,
}

impl FileWatcher {
    /// Looks for changes from what is in the file now.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            known: FileContents::of([&path]),
            path,
        }
    }

    /// The file is read now, for another reason than a change.
    pub fn mark_read(&mut self) {
        self.known = FileContents::of([&self.path]);
    }

    /// Waits until something else is in the file. A file that is gone is waited for; when it is back it has changed,
    /// whatever is in it.
    pub async fn changed(&mut self) {
        let mut last = self.known.clone();
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let found = FileContents::of([&self.path]);
            if found == last && found != self.known {
                self.known = found.clone();
                if found.is_there() {
                    return;
                }
            }
            last = found;
        }
    }
}
