//! TLS towards authorization servers and upstreams.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore};

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("expected PEM in {}, but found none: {}", path.display(), explained(source))]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A certificate that cannot be trusted or shown.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The cryptography has none of the protocol versions.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

impl TlsError {
    /// The file that is to blame.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Pem { path, .. } | Self::Certificate { path, .. } => Some(path),
            Self::Unusable(_) => None,
        }
    }
}

/// The one implementation of cryptography in this process.
#[must_use]
pub fn cryptography() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads trusted roots from a PEM file.
///
/// # Errors
/// [`TlsError`] when there is none.
pub fn roots_from(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Certificate { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// The roots that this machine trusts; none where it has no store of them.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Some of a system's roots may be too old to be read; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::warn!("the system trusts no roots, so no https works without tls_ca: install ca-certificates");
    }
    roots
}

/// How we connect to others: whom we trust, and as whom we show ourselves.
///
/// # Errors
/// [`TlsError`] when our certificate and its key do not fit each other.
pub fn client(roots: RootCertStore, shown: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(cryptography())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((certificate, key)) = shown else { return Ok(config.with_no_client_auth()) };
    let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem { path: key.to_owned(), source })?;
    config
        .with_client_auth_cert(certificates(certificate)?, private)
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Pem { path: path.to_owned(), source };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect::<Result<_, _>>())
        .map_err(unreadable)?;
    if certificates.is_empty() { Err(unreadable(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

fn explained(error: &pem::Error) -> String {
    if let pem::Error::Io(error) = error
        && error.kind() == io::ErrorKind::NotFound
    {
        return "there is no such file".to_owned();
    }
    if matches!(error, pem::Error::NoItemsFound) {
        return "what is in it is something else".to_owned();
    }
    error.to_string()
}
