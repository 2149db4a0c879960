//! What is made of files, and made anew when they change.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};

use super::tls::TlsError;
use crate::files::{self, MAX_CONFIGURATION};

/// How often the files are looked at. Certificates are renewed days before they end, and a look costs a read of each.
const LOOKED_AT_EACH: Duration = Duration::from_secs(1);

/// A `T` that is made of files, as they are now.
pub struct Reloadable<T> {
    name: String,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>,
    current: ArcSwap<T>,
    /// What was in the files before it was made.
    first: FileContents,
    renewals: AtomicU64,
    refusals: AtomicU64,
}

impl<T: Send + Sync + 'static> Reloadable<T> {
    /// Makes it. `name` says in the log what it is.
    ///
    /// # Errors
    /// That of `make`.
    pub fn new(
        name: String,
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let first = FileContents::of(&files);
        let current = ArcSwap::from_pointee(make()?);
        let (renewals, refusals) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self {
            name,
            files,
            make: Box::new(make),
            current,
            first,
            renewals,
            refusals,
        })
    }

    /// As the files were when they were last good.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// How often new files have been taken up, and how often they were no good.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.renewals.load(Ordering::Relaxed),
            self.refusals.load(Ordering::Relaxed),
        )
    }

    /// Looks at the files for as long as somebody has use for what is made of them; belongs in a task of the control
    /// plane. Files that are no good change nothing.
    pub async fn keep(this: Weak<Self>) {
        let Some(mut seen) = this.upgrade().map(|this| this.first.clone()) else {
            return;
        };
        loop {
            tokio::time::sleep(LOOKED_AT_EACH).await;
            let Some(this) = this.upgrade().filter(|this| !this.files.is_empty()) else {
                return;
            };
            let found = FileContents::of(&this.files);
            // Compared by content: a new file may bear an old date, and Kubernetes swaps links.
            if found != seen {
                this.renew();
                seen = found;
            }
        }
    }

    fn renew(&self) {
        match (self.make)() {
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

/// What is in some files, to be compared with what is in them later.
#[derive(Clone, PartialEq, Eq)]
pub struct FileContents(Option<Vec<u8>>);

impl FileContents {
    /// What is in `files` now. One that cannot be read is like nothing but another one: it may be about to be replaced.
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

    /// Whether all of them could be read.
    #[must_use]
    pub fn is_there(&self) -> bool {
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
