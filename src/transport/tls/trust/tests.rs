use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::CertificateError::{
    ExpiredContext, NotValidForNameContext, NotValidYetContext, UnknownIssuer,
};

use super::*;
use crate::transport::tls::cryptography;

const NAME: &str = "id.test";

#[test]
fn named_certificate_is_accepted_for_its_names_whether_or_not_it_may_sign_others() {
    for is_ca in [
        IsCa::NoCa,
        IsCa::ExplicitNoCa,
        IsCa::Ca(BasicConstraints::Unconstrained),
    ] {
        let certificate = self_signed(&["id.test", "*.inner.test", "127.0.0.1"], |params| {
            params.is_ca = is_ca;
        });
        let trusted = [certificate.der().clone()];
        for name in ["id.test", "a.inner.test", "127.0.0.1"] {
            let outcome = verify(&trusted, certificate.der(), name);
            assert!(outcome.is_ok(), "{is_ca:?} {name}: {outcome:?}");
        }
        for name in ["other.test", "a.b.inner.test", "127.0.0.2", "::1"] {
            let error = verify(&trusted, certificate.der(), name).expect_err("another name");
            let is_name = matches!(
                error,
                Error::InvalidCertificate(NotValidForNameContext { .. })
            );
            assert!(is_name, "{is_ca:?} {name}: {error}");
        }
    }
}

#[test]
fn named_certificate_is_refused_before_and_after_its_dates() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let certificate = self_signed(&[NAME], |params| {
            params.is_ca = is_ca;
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        });
        let verifier = verifier(&[certificate.der().clone()]);
        let (first, last) = (1_577_836_800, 1_609_459_200);
        for (seconds, is_accepted) in [
            (first - 1, false),
            (first, true),
            (last, true),
            (last + 1, false),
        ] {
            let outcome = verify_at(&*verifier, certificate.der(), NAME, seconds);
            let is_date = matches!(
                outcome,
                Err(Error::InvalidCertificate(
                    ExpiredContext { .. } | NotValidYetContext { .. }
                ))
            );
            assert_eq!(
                (outcome.is_ok(), is_date),
                (is_accepted, !is_accepted),
                "{seconds}"
            );
        }
    }
}

#[test]
fn certificate_with_the_same_subject_or_the_same_key_is_another_one() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().expect("a key");
        let alter = |params: &mut CertificateParams| params.is_ca = is_ca;
        let named = self_signed_by(&key, &[NAME], alter);
        let trusted = [named.der().clone()];
        let same_subject = self_signed(&[NAME], alter);
        assert!(verify(&trusted, same_subject.der(), NAME).is_err());
        // It would be good for a name that the operator never saw.
        let same_key = self_signed_by(&key, &["other.test"], alter);
        assert!(verify(&trusted, same_key.der(), "other.test").is_err());
        let mut changed = named.der().to_vec();
        *changed.last_mut().expect("a signature") ^= 1;
        assert!(verify(&trusted, &changed.into(), NAME).is_err());
    }
}

#[test]
fn certificate_of_a_server_is_no_authority() {
    let key_usage = |params: &mut CertificateParams| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    };
    let ordinary: [fn(&mut CertificateParams); 3] = [
        |_| {},
        |params| params.is_ca = IsCa::ExplicitNoCa,
        key_usage,
    ];
    for alter in ordinary {
        let (issuer, signed) = issuer_and_signed(alter);
        let error = verify(&[issuer], signed.der(), NAME).expect_err("no authority signed it");
        assert_eq!(error, UnknownIssuer.into());
    }
}

#[test]
fn authority_vouches_for_what_it_signs_beside_named_certificates() {
    let authorities: [fn(&mut CertificateParams); 2] = [
        |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign],
    ];
    for alter in authorities {
        let (issuer, signed) = issuer_and_signed(alter);
        let named = self_signed(&["named.test"], |_| {});
        let trusted = [named.der().clone(), issuer];
        assert!(verify(&trusted, signed.der(), NAME).is_ok());
        assert!(verify(&trusted, signed.der(), "named.test").is_err());
        assert!(verify(&trusted, named.der(), "named.test").is_ok());
        assert!(verify(&trusted, named.der(), NAME).is_err());
    }
}

#[test]
fn certificate_that_an_unknown_authority_signed_may_be_named() {
    let (_, signed) =
        issuer_and_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(verify(&[signed.der().clone()], signed.der(), NAME).is_ok());
}

#[test]
fn certificate_of_a_client_is_refused() {
    let certificate = self_signed(&[NAME], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let trusted = [certificate.der().clone()];
    assert_eq!(
        verify(&trusted, certificate.der(), NAME).expect_err("a client's"),
        UnknownIssuer.into()
    );
}

#[test]
fn without_certificates_nothing_is_trusted() {
    let certificate = self_signed(&[NAME], |_| {});
    assert!(verify(&[], certificate.der(), NAME).is_err());
    assert!(TrustedCertificates::new(vec![b"no certificate".to_vec().into()]).is_err());
}

fn self_signed(names: &[&str], alter: impl Fn(&mut CertificateParams)) -> Certificate {
    self_signed_by(&KeyPair::generate().expect("a key"), names, alter)
}

fn self_signed_by(
    key: &KeyPair,
    names: &[&str],
    alter: impl Fn(&mut CertificateParams),
) -> Certificate {
    let params = params(names, alter);
    params.self_signed(key).expect("a certificate")
}

// A self-signed certificate, and one for `NAME` that its key signed.
fn issuer_and_signed(
    alter: impl Fn(&mut CertificateParams),
) -> (CertificateDer<'static>, Certificate) {
    let key = KeyPair::generate().expect("a key");
    let issuer =
        CertifiedIssuer::self_signed(params(&["issuer.test"], alter), key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let mut leaf = params(&[NAME], |_| {});
    leaf.distinguished_name.push(DnType::CommonName, "leaf");
    let signed = leaf.signed_by(&key, &issuer).expect("a certificate");
    (issuer.der().clone(), signed)
}

fn params(names: &[&str], alter: impl Fn(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("a certificate");
    alter(&mut params);
    params
}

fn verifier(trusted: &[CertificateDer<'static>]) -> Arc<dyn ServerCertVerifier> {
    let trusted = TrustedCertificates::new(trusted.to_vec()).expect("certificates");
    trusted.verifier(&cryptography()).expect("a verifier")
}

fn verify(
    trusted: &[CertificateDer<'static>],
    presented: &CertificateDer<'_>,
    name: &str,
) -> Result<ServerCertVerified, Error> {
    verify_at(&*verifier(trusted), presented, name, 1_700_000_000)
}

fn verify_at(
    verifier: &dyn ServerCertVerifier,
    presented: &CertificateDer<'_>,
    name: &str,
    seconds: i64,
) -> Result<ServerCertVerified, Error> {
    let name = ServerName::try_from(name).expect("a name");
    verifier.verify_server_cert(presented, &[], &name, &[], unix_time(seconds))
}
