//! How the gateway authenticates its introspection requests (R7, R9).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;

use super::{TestBed, form};
use harness::{Received, Reply};

#[test]
fn r7_client_secret_is_sent_in_the_form() {
    let test_bed = TestBed::with(
        "",
        "authentication = \"form\"\nclient_id = \"gate way\"\nclient_secret = \"a&b=c+d\"",
    );
    assert_eq!(test_bed.get("token").status, 200);
    let introspection = &test_bed.introspections()[0];
    assert!(introspection.header("authorization").is_empty());
    let expected = [
        ("token", "token"),
        ("token_type_hint", "access_token"),
        ("client_id", "gate way"),
        ("client_secret", "a&b=c+d"),
    ];
    assert_eq!(
        form(introspection),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

/// Servers that take Basic literally want the secret as it is; others decode it.
#[test]
fn r7_basic_credentials_are_escaped_as_the_file_says() {
    for (encoding, expected) in [
        ("", "gate way:Secr3t!%2B%25"),
        ("basic_encoding = \"minimal\"", "gate way:Secr3t!%2B%25"),
        ("basic_encoding = \"form\"", "gate+way:Secr3t%21%2B%25"),
        ("basic_encoding = \"raw\"", "gate way:Secr3t!+%"),
    ] {
        let test_bed = TestBed::with(
            "",
            &format!(
                "authentication = \"basic\"\n{encoding}\nclient_id = \"gate way\"\nclient_secret = \"Secr3t!+%\""
            ),
        );
        assert_eq!(test_bed.get("token").status, 200);
        let introspection = &test_bed.introspections()[0];
        let expected = format!("Basic {}", STANDARD.encode(expected));
        assert_eq!(introspection.header("authorization"), [expected]);
    }
}

#[test]
fn no_credentials_are_sent_with_authentication_none() {
    let test_bed = TestBed::with("", "authentication = \"none\"");
    assert_eq!(test_bed.get("token").status, 200);
    assert!(
        test_bed.introspections()[0]
            .header("authorization")
            .is_empty()
    );
}

#[test]
fn private_key_signs_a_fresh_assertion_for_each_introspection_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gateway.pem");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    std::fs::write(&path, pair.serialize_pem()).expect("a file");
    let test_bed = TestBed::with(
        "",
        &format!(
            "authentication = \"private_key_jwt\"\nclient_id = \"gateway\"\nclient_key = \"{}\"\n\
             client_key_id = \"ours\"\nclient_key_algorithm = \"ES256\"",
            path.display()
        ),
    );
    for token in ["one", "two"] {
        assert_eq!(test_bed.get(token).status, 200);
    }
    let assertion = |introspection: &Received| {
        let form = form(introspection);
        let parameter = |name: &str| {
            form.iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        assert_eq!(parameter("client_id").as_deref(), Some("gateway"));
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(parameter("client_assertion_type").as_deref(), Some(kind));
        parameter("client_assertion").expect("an assertion")
    };
    let introspections = test_bed.introspections();
    let mut ids = Vec::new();
    for introspection in &introspections {
        let mut rules = Validation::new(jsonwebtoken::Algorithm::ES256);
        // RFC 7523 §3: the audience is the authorization server.
        rules.set_audience(&[&test_bed.url]);
        rules.set_issuer(&["gateway"]);
        rules.validate_exp = false;
        let key = DecodingKey::from_ec_der(pair.public_key_raw());
        let decoded = jsonwebtoken::decode::<Value>(assertion(introspection), &key, &rules)
            .expect("a valid assertion");
        assert_eq!(decoded.header.kid.as_deref(), Some("ours"));
        assert_eq!(decoded.claims["sub"], "gateway");
        let lifetime = decoded.claims["exp"]
            .as_i64()
            .zip(decoded.claims["iat"].as_i64());
        assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(60));
        ids.push(decoded.claims["jti"].as_str().map(str::to_owned));
    }
    assert!(ids[0].is_some() && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn private_key_that_cannot_sign_is_refused_when_the_file_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    for (content, algorithm, expected) in [
        (None, "ES256", "but found none: No such file"),
        (Some(String::new()), "ES256", "but found something else"),
        (
            Some("secret-secret-secret".to_owned()),
            "ES256",
            "but found something else",
        ),
        (
            Some(pair.public_key_pem()),
            "ES256",
            "but found something else",
        ),
        (
            Some(pair.serialize_pem()),
            "ES384",
            "but found something else",
        ),
        (
            Some(pair.serialize_pem()),
            "RS256",
            "but found something else",
        ),
        (
            Some(pair.serialize_pem()),
            "EdDSA",
            "but found something else",
        ),
        (Some(pair.serialize_pem()), "ES256", ""),
    ] {
        let path = folder.path().join("gateway.pem");
        match &content {
            Some(content) => std::fs::write(&path, content).expect("a file"),
            None => assert!(!path.exists()),
        }
        let toml = format!(
            "[issuers.corp]\nissuer = \"https://issuer.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
             [issuers.corp.introspection]\nendpoint = \"https://issuer.test/ask\"\nauthentication = \"private_key_jwt\"\n\
             client_id = \"gateway\"\nclient_key = \"{}\"\nclient_key_algorithm = \"{algorithm}\"\n",
            path.display()
        );
        let (config, source) = scopegate::config::parse("gateway.toml", &toml)
            .unwrap_or_else(|report| panic!("{report}"));
        let report = scopegate::gateway::compile(&config)
            .err()
            .map_or_else(String::new, |faults| source.report(faults).to_string());
        assert_eq!(
            report.contains("gateway.toml:9: issuers.corp.introspection.client_key: "),
            !expected.is_empty(),
            "{report}"
        );
        assert!(
            report.contains(expected) && !report.contains("secret-secret"),
            "{algorithm}: {report}"
        );
    }
}

#[test]
fn conflict_409_reaches_the_client_only_where_configured() {
    let test_bed = TestBed::with("", "conflict = true");
    test_bed.respond_with(Reply::status(409));
    for _ in 0..2 {
        let response = test_bed.get("token");
        assert_eq!(
            (
                response.status,
                response.challenge(),
                response.header("mfp-conflict")
            ),
            (409, None, Some("true"))
        );
    }
    assert_eq!(
        (test_bed.introspections().len(), test_bed.hits()),
        (2, 0),
        "a conflict is not cached"
    );
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("token").status, 200);

    let test_bed = TestBed::start();
    test_bed.respond_with(Reply::status(409));
    let response = test_bed.get("token");
    assert_eq!(
        (
            response.status,
            response.challenge(),
            response.header("mfp-conflict")
        ),
        (503, None, None)
    );
}
