//! What the listeners show to clients who speak TLS.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;

use crate::config::{Fault, Listener, ListenerTls};
use crate::transport::{Reloadable, tls};

/// The certificates of one listener, as they are now.
pub type Certificates = Reloadable<ServerConfig>;

/// What one listener shows: in the clear where it is none.
///
/// Another configuration may have it show something else from the next connection on.
#[derive(Debug, Default)]
pub struct CurrentCertificates(ArcSwapOption<Certificates>);

impl CurrentCertificates {
    /// A listener that shows `certificates`, and what they are renewed to; belongs on the control plane.
    #[must_use]
    pub fn new(certificates: Option<Arc<Certificates>>) -> Arc<Self> {
        let shown = Self::default();
        shown.replace(certificates);
        Arc::new(shown)
    }

    /// Has it show `certificates` from now on, and what they are renewed to; belongs on the control plane.
    pub fn replace(&self, certificates: Option<Arc<Certificates>>) {
        if let Some(certificates) = &certificates {
            tokio::spawn(Reloadable::keep(Arc::downgrade(certificates)));
        }
        self.0.store(certificates);
    }

    /// What the next handshake is made with, where there is to be one.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0
            .load()
            .as_ref()
            .map(|certificates| certificates.current())
    }
}

/// Loads the certificates of every listener, in their order; a plain one has none.
///
/// # Errors
/// A fault for every file that is none of what it should be.
pub fn certificates(listeners: &[Listener]) -> Result<Vec<Option<Arc<Certificates>>>, Vec<Fault>> {
    let (mut loaded, mut faults) = (Vec::new(), Vec::new());
    for listener in listeners {
        match listener
            .tls
            .as_ref()
            .map(|tls| load(tls).map_err(|fault| (tls, fault)))
            .transpose()
        {
            Ok(certificates) => loaded.push(certificates.map(Arc::new)),
            Err((tls, fault)) => {
                faults.extend(
                    tls.files()
                        .filter_map(|file| file.unreadable_beside(&fault)),
                );
                faults.push(*fault);
            }
        }
    }
    if faults.is_empty() {
        Ok(loaded)
    } else {
        Err(faults)
    }
}

fn load(written: &ListenerTls) -> Result<Certificates, Box<Fault>> {
    let pairs: Vec<_> = written
        .certificates
        .iter()
        .map(|pair| (pair.certificate.value.clone(), pair.key.value.clone()))
        .collect();
    let client_ca = written
        .client_ca
        .as_ref()
        .map(|client_ca| client_ca.value.clone());
    let names: Vec<_> = pairs
        .iter()
        .map(|(certificate, _)| certificate.display().to_string())
        .collect();
    let watched = written.files().map(|file| file.value.clone()).collect();
    Reloadable::new(names.join(", "), watched, move || {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(certificate, key)| (certificate.as_path(), key.as_path()))
            .collect();
        tls::server(&pairs, client_ca.as_deref())
    })
    .map_err(|error| {
        let blamed = written
            .files()
            .find(|file| error.path() == Some(&*file.value))
            .or(written.files().next());
        Box::new(match blamed {
            Some(file) => file.fault(error.to_string()),
            None => Fault {
                key: "listeners".to_owned(),
                span: None,
                message: error.to_string(),
                help: None,
            },
        })
    })
}
