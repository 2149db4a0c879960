//! TLS configurations for clients, upstreams and authorization servers.

mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

pub use trust::TrustedCertificates;

use crate::files::{self, FileError, MAX_NAMED};

/// The ALPN identifier of HTTP/2 (RFC 9113 §3.2).
pub const HTTP2: &[u8] = b"h2";
/// The ALPN identifier of HTTP/1.1.
pub const HTTP1: &[u8] = b"http/1.1";

/// Why a TLS configuration cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("expected PEM in {}, but found {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// A file is not PEM.
    #[error("expected PEM in {}, but found none: {}", path.display(), explanation(source))]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A certificate or key is invalid.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The cryptography supports none of the protocol versions.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

impl TlsError {
    /// The file with the fault.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Pem { path, .. } | Self::Certificate { path, .. } => {
                Some(path)
            }
            Self::Unusable(_) => None,
        }
    }
}

/// The implementation of cryptography that this process uses.
#[must_use]
pub fn cryptography() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads the certificates that servers are trusted by from a PEM file.
///
/// # Errors
/// [`TlsError`] if the file holds none.
pub fn trusted_from(path: &Path) -> Result<TrustedCertificates, TlsError> {
    TrustedCertificates::new(certificates(path)?).map_err(|source| TlsError::Certificate {
        path: path.to_owned(),
        source,
    })
}

/// The trusted roots of this machine; none if it has no store.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Roots that cannot be parsed are skipped: some systems have very old ones.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        tracing::warn!("system has no trust roots; install ca-certificates or set tls_ca");
    }
    roots
}

/// The configuration for connections to servers: what is trusted, and a client certificate with
/// its key.
///
/// # Errors
/// [`TlsError`] if the certificate and its key do not match.
pub fn client(
    trusted: impl Into<TrustedCertificates>,
    identity: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let provider = cryptography();
    let verifier = trusted.into().verifier(&provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // rustls calls every verifier but its own dangerous. `trust` says what this one adds.
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((certificate, key)) = identity else {
        return Ok(config.with_no_client_auth());
    };
    let private = private_key(key)?;
    config
        .with_client_auth_cert(certificates(certificate)?, private)
        .map_err(|source| TlsError::Certificate {
            path: certificate.to_owned(),
            source,
        })
}

/// The configuration of a listener.
///
/// `pairs` are certificate chains and their private keys, in PEM. A client gets the first whose
/// certificate contains the name in its SNI (RFC 6066 §3), or else the first of all. With
/// `client_ca`, clients are asked for a certificate of it.
///
/// # Errors
/// [`TlsError`] if a file cannot be read or parsed, or a certificate and its key do not match.
pub fn server(
    pairs: &[(&Path, &Path)],
    client_ca: Option<&Path>,
) -> Result<ServerConfig, TlsError> {
    let provider = cryptography();
    let mut certified_keys = Vec::new();
    for &(certificate, key) in pairs {
        let private = private_key(key)?;
        let certified = CertifiedKey::from_der(certificates(certificate)?, private, &provider);
        certified_keys.push(Arc::new(certified.map_err(|source| {
            TlsError::Certificate {
                path: certificate.to_owned(),
                source,
            }
        })?));
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            // Optional here: the route of a request decides whether a certificate is required.
            let roots = Arc::new(authorities_from(path)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| TlsError::Certificate {
                        path: path.to_owned(),
                        source: rustls::Error::General(error.to_string()),
                    })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(CertificatesByName(certified_keys)));
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // All workers accept the tickets. Their keys rotate automatically.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Reads the authorities of client certificates. Each counts, whatever its certificate says.
fn authorities_from(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Certificate {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

/// Selects a certificate by the name in the client's SNI.
#[derive(Debug)]
struct CertificatesByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for CertificatesByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let requested = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let has_name = |key: &&Arc<CertifiedKey>| {
            let certificate = key
                .end_entity_cert()
                .ok()
                .and_then(|der| ParsedCertificate::try_from(der).ok());
            requested
                .as_ref()
                .zip(certificate)
                .is_some_and(|(name, certificate)| verify_server_name(&certificate, name).is_ok())
        };
        self.0
            .iter()
            .find(has_name)
            .or_else(|| self.0.first())
            .map(Arc::clone)
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path, MAX_NAMED).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let pem = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if certificates.is_empty() {
        Err(unreadable(pem::Error::NoItemsFound))
    } else {
        Ok(certificates)
    }
}

fn explanation(error: &pem::Error) -> String {
    if matches!(error, pem::Error::NoItemsFound) {
        return "the file has no PEM section of that kind".to_owned();
    }
    error.to_string()
}
