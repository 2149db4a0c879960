//! The certificates of the TLS listeners.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;

use crate::config::{Fault, Listener, ListenerTls};
use crate::transport::{Reloadable, tls};

/// The certificates of one listener, reloaded when their files change.
pub type Certificates = Reloadable<ServerConfig>;

/// The certificates that one listener uses for new connections; without any, it serves plain HTTP.
///
/// A reload of the configuration replaces them.
#[derive(Debug, Default)]
pub struct CurrentCertificates(ArcSwapOption<Certificates>);

impl CurrentCertificates {
    /// Starts with `certificates`, and follows their renewals. Call it on the control plane.
    #[must_use]
    pub fn new(certificates: Option<Arc<Certificates>>) -> Arc<Self> {
        let current = Self::default();
        current.replace(certificates);
        Arc::new(current)
    }

    /// Replaces them for new connections, and follows their renewals. Call it on the control plane.
    pub fn replace(&self, certificates: Option<Arc<Certificates>>) {
        if let Some(certificates) = &certificates {
            tokio::spawn(Reloadable::watch(Arc::downgrade(certificates)));
        }
        self.0.store(certificates);
    }

    /// The configuration of the next handshake; `None` for plain HTTP.
    pub(super) fn current(&self) -> Option<Arc<ServerConfig>> {
        self.0
            .load()
            .as_ref()
            .map(|certificates| certificates.current())
    }
}

/// Loads the certificates of every listener, in their order; `None` for a plain one.
///
/// # Errors
/// A fault for every file that cannot be read or parsed.
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
        let faulty_file = written
            .files()
            .find(|file| error.path() == Some(&*file.value))
            .or(written.files().next());
        Box::new(match faulty_file {
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
