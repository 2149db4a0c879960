//! What the listeners show to clients who speak TLS, and its renewal while they are served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use rustls::ServerConfig;

use crate::config::{Fault, Listener, ListenerTls};
use crate::net::tls::{self, TlsError};

/// How often the files are looked at. Certificates are renewed days before they end, and a look costs two reads.
const LOOKED_AT_EACH: Duration = Duration::from_secs(1);

/// The certificates of one listener, as they are now.
#[derive(Debug)]
pub struct Certificates {
    pairs: Vec<(PathBuf, PathBuf)>,
    client_ca: Option<PathBuf>,
    current: ArcSwap<ServerConfig>,
}

/// Loads the certificates of every listener, in their order; a plain one has none.
///
/// # Errors
/// A fault for every file that is none of what it should be.
pub fn certificates(listeners: &[Listener]) -> Result<Vec<Option<Arc<Certificates>>>, Vec<Fault>> {
    let (mut loaded, mut faults) = (Vec::new(), Vec::new());
    for listener in listeners {
        match listener.tls.as_ref().map(Certificates::load).transpose() {
            Ok(certificates) => loaded.push(certificates.map(Arc::new)),
            Err(fault) => faults.push(*fault),
        }
    }
    if faults.is_empty() { Ok(loaded) } else { Err(faults) }
}

impl Certificates {
    fn load(written: &ListenerTls) -> Result<Self, Box<Fault>> {
        let pairs = written.certificates.iter().map(|pair| (pair.certificate.value.clone(), pair.key.value.clone()));
        let (pairs, client_ca) =
            (pairs.collect::<Vec<_>>(), written.client_ca.as_ref().map(|client_ca| client_ca.value.clone()));
        let config = read(&pairs, client_ca.as_deref()).map_err(|error| {
            let files = written.certificates.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
            let mut files = files.chain(&written.client_ca);
            let place = files
                .find(|file| error.path() == Some(&*file.value))
                .or(written.certificates.first().map(|pair| &pair.certificate));
            match place {
                Some(place) => place.fault(error.to_string()),
                None => Fault { key: "listeners".to_owned(), span: None, message: error.to_string(), help: None },
            }
        })?;
        Ok(Self { pairs, client_ca, current: ArcSwap::from_pointee(config) })
    }

    /// What the next handshake is made with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Looks at the files now and ever again, and shows what has come in them; belongs in a task of the control plane.
    /// Files that are no good change nothing.
    pub async fn keep(self: Arc<Self>) {
        let mut shown = self.content();
        loop {
            tokio::time::sleep(LOOKED_AT_EACH).await;
            let found = self.content();
            // Compared by content: a new file may bear an old date, and Kubernetes swaps links.
            if found.as_ref().map(AsRef::as_ref) == shown.as_ref().map(AsRef::as_ref) {
                continue;
            }
            match read(&self.pairs, self.client_ca.as_deref()) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    tracing::info!(certificates = %self, "new certificates are shown from now on");
                }
                Err(error) => {
                    tracing::error!(certificates = %self, %error, "new certificates are no good: the old ones are shown on");
                }
            }
            shown = found;
        }
    }

    // None where a file cannot be read: it may be about to be replaced.
    fn content(&self) -> Option<Digest> {
        let files = self.pairs.iter().flat_map(|(certificate, key)| [certificate, key]).chain(&self.client_ca);
        let mut content = Vec::new();
        for file in files {
            let bytes = zeroize::Zeroizing::new(std::fs::read(file).ok()?);
            content.extend_from_slice(digest(&SHA256, &bytes).as_ref());
        }
        Some(digest(&SHA256, &content))
    }
}

impl std::fmt::Display for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.pairs.iter().map(|(certificate, _)| certificate.display().to_string()).collect();
        f.write_str(&names.join(", "))
    }
}

fn read(pairs: &[(PathBuf, PathBuf)], client_ca: Option<&Path>) -> Result<ServerConfig, TlsError> {
    let pairs: Vec<_> = pairs.iter().map(|(certificate, key)| (certificate.as_path(), key.as_path())).collect();
    tls::server(&pairs, client_ca)
}
