//! X.509 certificates as a way to publish keys (RFC 7517 §4.7; the maps of Firebase).
//!
//! Only the public key counts. Whether the certificate is valid, and who issued it, is not judged:
//! anybody who can publish it at the issuer's URL could also publish a key without one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// How a PEM certificate begins (RFC 7468 §5.1).
pub(super) const PEM: &str = "-----BEGIN CERTIFICATE-----";
/// The maximum size of a certificate. Those of issuers take 1 KiB.
const MAX_CERTIFICATE: usize = 64 * 1024;

/// The public key of a certificate. Its numbers are not judged here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertifiedKey {
    /// Both numbers big-endian without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// The name of the curve as in a JWK, and the encoded point.
    Ec { curve: &'static str, point: Vec<u8> },
    /// 32 bytes.
    Ed25519(Vec<u8>),
}

/// Not a certificate with such a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadCertificate;

/// The key of the first certificate in PEM.
pub(super) fn from_pem(text: &str) -> Result<CertifiedKey, BadCertificate> {
    let certificate =
        CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| BadCertificate)?;
    from_der(&certificate)
}

/// The key of a certificate in base64, which is not base64url here (RFC 7517 §4.7).
pub(super) fn from_base64(text: &str) -> Result<CertifiedKey, BadCertificate> {
    if text.len() > 2 * MAX_CERTIFICATE {
        return Err(BadCertificate);
    }
    let der = STANDARD.decode(text).map_err(|_| BadCertificate)?;
    from_der(&der)
}

fn from_der(der: &[u8]) -> Result<CertifiedKey, BadCertificate> {
    if der.len() > MAX_CERTIFICATE {
        return Err(BadCertificate);
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => material(certificate.public_key()),
        Ok(_) | Err(_) => Err(BadCertificate),
    }
}

fn material(key: &SubjectPublicKeyInfo<'_>) -> Result<CertifiedKey, BadCertificate> {
    if key.subject_public_key.unused_bits != 0 {
        return Err(BadCertificate);
    }
    match key.parsed().map_err(|_| BadCertificate)? {
        PublicKey::RSA(rsa) => {
            // The sign of an ASN.1 INTEGER is its first bit.
            let number = |bytes: &[u8]| match bytes.first() {
                Some(first) if first & 0x80 == 0 => Ok(without_leading_zeros(bytes)),
                Some(_) | None => Err(BadCertificate),
            };
            Ok(CertifiedKey::Rsa {
                modulus: number(rsa.modulus)?,
                exponent: number(rsa.exponent)?,
            })
        }
        PublicKey::EC(point) => {
            let parameters = key.algorithm.parameters.as_ref();
            let named = parameters.and_then(|parameters| parameters.as_oid().ok());
            let curve = [
                (OID_EC_P256, "P-256"),
                (OID_NIST_EC_P384, "P-384"),
                (OID_NIST_EC_P521, "P-521"),
            ]
            .into_iter()
            .find_map(|(oid, curve)| (named.as_ref() == Some(&oid)).then_some(curve));
            Ok(CertifiedKey::Ec {
                curve: curve.ok_or(BadCertificate)?,
                point: point.data().to_vec(),
            })
        }
        PublicKey::Unknown(x) if key.algorithm.algorithm == OID_SIG_ED25519 && x.len() == 32 => {
            Ok(CertifiedKey::Ed25519(x.to_vec()))
        }
        PublicKey::Unknown(_)
        | PublicKey::DSA(_)
        | PublicKey::GostR3410(_)
        | PublicKey::GostR3410_2012(_) => Err(BadCertificate),
    }
}

fn without_leading_zeros(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256,
    };

    use super::*;

    fn certificate(key: &KeyPair) -> rcgen::Certificate {
        let names = vec!["securetoken.test".to_owned()];
        let params = CertificateParams::new(names).expect("a name");
        params.self_signed(key).expect("a certificate")
    }

    #[test]
    fn keys_of_certificates_are_those_that_signed_them() {
        for (algorithm, expected) in [
            (&PKCS_RSA_SHA256, "RSA"),
            (&PKCS_ECDSA_P256_SHA256, "P-256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "P-384"),
            (&rcgen::PKCS_ECDSA_P521_SHA512, "P-521"),
            (&PKCS_ED25519, "Ed25519"),
        ] {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let certificate = certificate(&key);
            let found = from_pem(&certificate.pem()).expect(expected);
            let base64 = STANDARD.encode(certificate.der());
            assert_eq!(from_base64(&base64), Ok(found.clone()));
            let raw = key.public_key_raw();
            match found {
                CertifiedKey::Rsa { modulus, exponent } => {
                    assert_eq!(expected, "RSA");
                    let holds = |part: &[u8]| raw.windows(part.len()).any(|found| found == part);
                    assert!(modulus.len() == 256 && holds(&modulus) && holds(&exponent));
                }
                CertifiedKey::Ec { curve, point } => {
                    assert_eq!((curve, &*point), (expected, raw));
                }
                CertifiedKey::Ed25519(x) => assert_eq!(("Ed25519", &*x), (expected, raw)),
            }
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let key = KeyPair::generate().expect("a key");
        let certificate = certificate(&key);
        let der = certificate.der();
        let mut long = der.to_vec();
        long.push(0);
        for bytes in [&[][..], &[0x30], &der[..der.len() - 1], &der[1..], &long] {
            let found = from_base64(&STANDARD.encode(bytes));
            assert_eq!(found, Err(BadCertificate));
        }
        let good = STANDARD.encode(der);
        for text in [
            "AA",
            "ÄÄ",
            &URL_SAFE_NO_PAD.encode([0xff; 10]),
            &format!("{good}\n"),
            &certificate.pem(),
            &"A".repeat(4 * MAX_CERTIFICATE),
        ] {
            assert_eq!(from_base64(text), Err(BadCertificate));
        }
        for text in ["", PEM, &good, &key.public_key_pem()] {
            assert_eq!(from_pem(text), Err(BadCertificate));
        }
        // Every truncation and every changed byte: an answer, and no panic.
        for index in 0..der.len() {
            let mut changed = der.to_vec();
            changed[index] ^= 0xff;
            let _ = from_der(&changed);
            assert_eq!(from_der(&der[..index]), Err(BadCertificate));
        }
    }
}
