//! A certificate authority.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

/// Signs certificates; its own certificate is in a file for `tls_ca`.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn generate() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, folder }
    }

    /// The file of its own certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The files of a client certificate and its key.
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign("client.test", ExtendedKeyUsagePurpose::ClientAuth);
        let files = (
            self.folder.path().join("client.crt"),
            self.folder.path().join("client.key"),
        );
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }

    /// The TLS configuration of a server called `name`.
    ///
    /// With `requires_client_certificate`, it accepts only clients that this authority certified.
    pub fn server_config(
        &self,
        name: &str,
        requires_client_certificate: bool,
    ) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = scopegate::transport::tls::cryptography();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        let builder = if requires_client_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).expect("a root");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        Arc::new(
            builder
                .with_single_cert(vec![certificate.der().clone()], key)
                .expect("a certificate"),
        )
    }

    /// The files `FILE.crt` and `FILE.key` of a server certificate for `name`.
    pub fn server_files(&self, file: &str, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let files = (
            self.folder.path().join(format!("{file}.crt")),
            self.folder.path().join(format!("{file}.key")),
        );
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }

    /// The configuration of a client that trusts this authority, with its own certificate if any.
    pub fn client_config(&self, identity: Option<&(PathBuf, PathBuf)>) -> rustls::ClientConfig {
        let trusted = scopegate::transport::tls::trusted_from(&self.ca_file()).expect("roots");
        let identity = identity.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        scopegate::transport::tls::client(trusted, identity).expect("a TLS configuration")
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a certificate");
        params.extended_key_usages.push(usage);
        (
            params.signed_by(&key, &self.issuer).expect("a certificate"),
            key,
        )
    }
}

/// A server that signed its own certificate.
pub struct SelfSigned {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl SelfSigned {
    /// A certificate for `name` as `openssl req -x509` makes it: it may also sign others.
    pub fn generate(name: &str) -> Self {
        Self::generate_with(name, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    }

    /// A certificate for `name` with these changes; it may sign no others.
    pub fn generate_with(name: &str, alter: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a certificate");
        alter(&mut params);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, key }
    }

    /// Its certificate, for `tls_ca`.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The TLS configuration of the server.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config_with(&self.key, rustls::ALL_VERSIONS)
    }

    /// The TLS configuration of a server that has the certificate, but the key of `other`.
    pub fn server_config_of_thief(
        &self,
        other: &Self,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ServerConfig> {
        self.server_config_with(&other.key, &[version])
    }

    fn server_config_with(
        &self,
        key: &KeyPair,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let provider = scopegate::transport::tls::cryptography();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let certified = CertifiedKey::new(vec![self.certificate.der().clone()], key);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("TLS versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Arc::new(config)
    }
}
