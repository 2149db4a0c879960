//! A certificate authority for one test.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// Signs certificates; its own is in a file for `tls_ca`.
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

    /// Where its own certificate is.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where a client's certificate and key are, signed by it.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign("client.test", ExtendedKeyUsagePurpose::ClientAuth);
        let files = (
            self.folder.path().join("client.crt"),
            self.folder.path().join("client.key"),
        );
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }

    /// A server called `name`, which asks for client certificates of this authority where `asks` says so.
    pub fn server(&self, name: &str, asks: bool) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let provider = scopegate::transport::tls::cryptography();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        let builder = if asks {
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

    /// Where a server's certificate and key for `name` are, in files that are called `file`.
    pub fn files(&self, file: &str, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        let files = (
            self.folder.path().join(format!("{file}.crt")),
            self.folder.path().join(format!("{file}.key")),
        );
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }

    /// What a client trusts, and shows if it has something to show.
    pub fn trusting(&self, shown: Option<&(PathBuf, PathBuf)>) -> rustls::ClientConfig {
        let roots = scopegate::transport::tls::roots_from(&self.file()).expect("roots");
        let shown = shown.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        scopegate::transport::tls::client(roots, shown).expect("a TLS configuration")
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
