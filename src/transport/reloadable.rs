//! Values that are loaded from files, and reloaded when the files change.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};

use super::tls::TlsError;
use crate::clock;
use crate::files::{self, MAX_CONFIGURATION};

/// How often the files are read. That is often enough for certificates, which are renewed days
/// before they expire.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A `T` that is loaded from files, and reloaded when they change.
pub struct Reloadable<T> {
    name: String,
    files: Vec<PathBuf>,
    load: Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>,
    current: ArcSwap<T>,
    /// The contents of the files before the first load.
    initial: FileContents,
    renewals: AtomicU64,
    refusals: AtomicU64,
}

impl<T: Send + Sync + 'static> Reloadable<T> {
    /// Loads it. `name` names it in the log.
    ///
    /// # Errors
    /// That of `load`.
    pub fn new(
        name: String,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let initial = FileContents::of(&files);
        let current = ArcSwap::from_pointee(load()?);
        let (renewals, refusals) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self {
            name,
            files,
            load: Box::new(load),
            current,
            initial,
            renewals,
            refusals,
        })
    }

    /// The value of the last successful load.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// How often new files were loaded, and how often they were rejected.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.renewals.load(Ordering::Relaxed),
            self.refusals.load(Ordering::Relaxed),
        )
    }

    /// Reloads the value when its files change, until it is dropped. Run it in a task of the
    /// control plane. Files that cannot be loaded change nothing.
    pub async fn watch(this: Weak<Self>) {
        let mut seen = None;
        clock::repeat_while_alive(this, async move |this| {
            if this.files.is_empty() {
                return None;
            }
            let found = FileContents::of(&this.files);
            // Compared by content: a new file may have an old date, and Kubernetes swaps symbolic
            // links.
            if found != *seen.as_ref().unwrap_or(&this.initial) {
                this.reload();
                seen = Some(found);
            }
            Some(CHECK_INTERVAL)
        })
        .await;
    }

    fn reload(&self) {
        match (self.load)() {
            Ok(new) => {
                self.current.store(Arc::new(new));
                let renewals = self.renewals.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::info!(name = self.name, renewals, "certificates reloaded");
            }
            Err(error) => {
                let refusals = self.refusals.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(name = self.name, refusals, %error, "certificates rejected; the previous ones stay active");
            }
        }
    }
}

/// A digest of the contents of some files, to detect changes.
#[derive(Clone, PartialEq, Eq)]
pub struct FileContents(Option<Vec<u8>>);

impl FileContents {
    /// The contents of `files` now. If one cannot be read, the result equals only that of another
    /// unreadable one: the file may be about to be replaced.
    pub fn of<'f>(files: impl IntoIterator<Item = &'f PathBuf>) -> Self {
        let mut digests = Vec::new();
        for file in files {
            let Ok(bytes) = files::read(file, MAX_CONFIGURATION).map(zeroize::Zeroizing::new)
            else {
                return Self(None);
            };
            digests.extend_from_slice(digest(&SHA256, &bytes).as_ref());
        }
        Self(Some(digests))
    }

    /// Whether all files could be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> std::fmt::Debug for Reloadable<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloadable")
            .field("name", &self.name)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
