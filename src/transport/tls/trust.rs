//! Which certificates of servers are trusted: those that a trusted authority signed, and those
//! that the operator names one by one.
//!
//! webpki looks for an authority above the server's certificate, so it refuses a self-signed one
//! that may also sign others, which is what `openssl req -x509` makes (`CaUsedAsEndEntity`). Here a
//! certificate that is named is trusted as it is, for its own names and until it expires, as
//! `curl --cacert` does. Only equal bytes count: an equal subject or key proves nothing.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

/// The authorities and the servers that connections trust.
#[derive(Clone, Debug)]
pub struct TrustedCertificates {
    authorities: RootCertStore,
    servers: Vec<TrustedServer>,
}

/// A certificate that may be a server's own.
#[derive(Clone, Debug)]
struct TrustedServer {
    certificate: CertificateDer<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl From<RootCertStore> for TrustedCertificates {
    fn from(authorities: RootCertStore) -> Self {
        Self {
            authorities,
            servers: Vec::new(),
        }
    }
}

impl TrustedCertificates {
    /// Trusts each of these: an authority for what it signs, and each certificate for itself.
    ///
    /// # Errors
    /// If one of them is no X.509 certificate.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let mut trusted = Self::from(RootCertStore::empty());
        for certificate in certificates {
            let parsed = match X509Certificate::from_der(&certificate) {
                Ok(([], parsed)) => Some(parsed),
                // webpki is more lenient with old roots, and judges them below.
                Ok(_) | Err(_) => None,
            };
            let is_authority = parsed.as_ref().is_none_or(may_sign_certificates);
            let server = parsed
                .filter(authenticates_servers)
                .map(|parsed| TrustedServer {
                    certificate: certificate.clone(),
                    not_before: unix_time(parsed.validity().not_before.timestamp()),
                    not_after: unix_time(parsed.validity().not_after.timestamp()),
                });
            if is_authority {
                trusted.authorities.add(certificate)?;
            } else {
                ParsedCertificate::try_from(&certificate)?;
            }
            trusted.servers.extend(server);
        }
        Ok(trusted)
    }

    /// The verifier for connections to servers.
    ///
    /// # Errors
    /// If the authorities are unusable.
    pub(super) fn verifier(
        self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let by_authority = if self.authorities.is_empty() {
            None
        } else {
            let roots = Arc::new(self.authorities);
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
            Some(verifier.map_err(|error| Error::General(error.to_string()))?)
        };
        Ok(Arc::new(NamedServerVerifier {
            servers: self.servers,
            by_authority,
            algorithms: provider.signature_verification_algorithms,
        }))
    }
}

// A server's own certificate must not vouch for other names. RFC 5280 §4.2.1.9: a certificate of
// version 3 is an authority only if it says so. Roots of version 1 cannot say so, and some old ones
// say it in their key usage alone, which OpenSSL accepts.
fn may_sign_certificates(certificate: &X509Certificate<'_>) -> bool {
    let signs_by_usage = || {
        let usage = certificate.key_usage().ok().flatten();
        let is_silent = matches!(certificate.basic_constraints(), Ok(None));
        is_silent && usage.is_some_and(|usage| usage.value.key_cert_sign())
    };
    certificate.version() != X509Version::V3 || certificate.is_ca() || signs_by_usage()
}

// RFC 5280 §4.2.1.12. webpki demands the same of certificates that an authority signed.
fn authenticates_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    }
}

// Dates before 1970 count as 1970.
fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Accepts named certificates of servers, and leaves all others to webpki.
#[derive(Debug)]
struct NamedServerVerifier {
    servers: Vec<TrustedServer>,
    /// `None` if there is no authority, which webpki does not provide for.
    by_authority: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl TrustedServer {
    fn verify(&self, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
        if now < self.not_before {
            return Err(CertificateError::NotValidYetContext {
                time: now,
                not_before: self.not_before,
            }
            .into());
        }
        if now > self.not_after {
            return Err(CertificateError::ExpiredContext {
                time: now,
                not_after: self.not_after,
            }
            .into());
        }
        // Refuses critical extensions that webpki does not know, too.
        verify_server_name(&ParsedCertificate::try_from(&self.certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for NamedServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_presented = |server: &&TrustedServer| server.certificate == *end_entity;
        if let Some(named) = self.servers.iter().find(is_presented) {
            return named.verify(server_name, now);
        }
        match &self.by_authority {
            Some(webpki) => webpki.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    // A certificate is public. Only these signatures prove that the server has its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
