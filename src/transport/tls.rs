//! TLS towards authorization servers and upstreams, and towards clients.

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

use crate::files::{self, FileError, MAX_NAMED};

/// HTTP/2's name in the handshake (RFC 9113 §3.2).
pub const HTTP2: &[u8] = b"h2";
/// HTTP/1.1's.
pub const HTTP1: &[u8] = b"http/1.1";

/// Why a TLS configuration cannot be made.
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
    /// What is in a file is no PEM.
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
            Self::File { path, .. } | Self::Pem { path, .. } | Self::Certificate { path, .. } => {
                Some(path)
            }
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
        roots
            .add(certificate)
            .map_err(|source| TlsError::Certificate {
                path: path.to_owned(),
                source,
            })?;
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
        tracing::warn!("system has no trust roots; install ca-certificates or set tls_ca");
    }
    roots
}

/// How we connect to others: whom we trust, and as whom we show ourselves.
///
/// # Errors
/// [`TlsError`] when our certificate and its key do not fit each other.
pub fn client(
    roots: RootCertStore,
    shown: Option<(&Path, &Path)>,
) -> Result<ClientConfig, TlsError> {
    let config = ClientConfig::builder_with_provider(cryptography())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let Some((certificate, key)) = shown else {
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

/// How clients connect to us: with a certificate of `pairs` (each its chain and its private key in PEM) that bears the name
/// which the client asks for (RFC 6066 §3), else with the first; and whether they are asked for one of `client_ca`.
///
/// # Errors
/// [`TlsError`] when a file is none of what it should be, or a certificate and its key do not fit each other.
pub fn server(
    pairs: &[(&Path, &Path)],
    client_ca: Option<&Path>,
) -> Result<ServerConfig, TlsError> {
    let provider = cryptography();
    let mut named = Vec::new();
    for &(certificate, key) in pairs {
        let private = private_key(key)?;
        let certified = CertifiedKey::from_der(certificates(certificate)?, private, &provider);
        named.push(Arc::new(certified.map_err(|source| {
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
            // Asked for, and not demanded: whether a request needs one is for its route to say.
            let roots = Arc::new(roots_from(path)?);
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
    let mut config = builder.with_cert_resolver(Arc::new(ByName(named)));
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    // Tickets are good for every worker; their keys change by themselves.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// Certificates, to be chosen by the name that a client asks for.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let bears = |key: &&Arc<CertifiedKey>| {
            let certificate = key
                .end_entity_cert()
                .ok()
                .and_then(|der| ParsedCertificate::try_from(der).ok());
            asked
                .as_ref()
                .zip(certificate)
                .is_some_and(|(name, own)| verify_server_name(&own, name).is_ok())
        };
        self.0
            .iter()
            .find(bears)
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

fn explained(error: &pem::Error) -> String {
    if matches!(error, pem::Error::NoItemsFound) {
        return "what is in it is something else".to_owned();
    }
    error.to_string()
}
