//! The introspection endpoint (RFC 7662): claims of active tokens, and who may ask for them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use scopegate::values::{SigningAlgorithm, TokenFormat};
use serde_json::{Value, json};

use crate::fixture::{FORMATS, Fixture, read, send};

/// The claims of a JWT, without verification.
fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn introspection_returns_the_claims_of_an_active_token() {
    for algorithm in [
        SigningAlgorithm::Rs256,
        SigningAlgorithm::Es256,
        SigningAlgorithm::EdDsa,
    ] {
        let fixture = Fixture::with(algorithm).await;
        let token = fixture.token("scope=a+b&audience=orders").await;
        let response = send(
            fixture
                .introspection_request(&token)
                .basic_auth("test", Some("test")),
        )
        .await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        let mut claims: Value = response.json().await.expect("JSON");
        let claims = claims.as_object_mut().expect("an object");
        assert_eq!(
            (claims.remove("active"), claims.remove("token_type")),
            (Some(json!(true)), Some(json!("Bearer")))
        );
        assert_eq!(
            Value::Object(claims.clone()),
            payload(&token),
            "{algorithm:?}"
        );
    }
}

#[tokio::test]
async fn opaque_token_introspects_to_the_claims_of_a_jwt() {
    let fixture = Fixture::with_format(TokenFormat::Opaque).await;
    let token = fixture
        .token("scope=a+b&audience=orders&validity_period=60")
        .await;
    assert_eq!(URL_SAFE_NO_PAD.decode(&token).expect("base64url").len(), 32);
    let opaque = fixture.introspect(&token).await;
    let (iat, jti) = (
        opaque["iat"].as_i64().expect("a time"),
        opaque["jti"].as_str().expect("an id"),
    );
    let expected = json!({
        "active": true, "token_type": "Bearer", "iss": fixture.issuer(), "sub": "test", "client_id": "test",
        "aud": "orders", "exp": iat + 60, "iat": iat, "jti": jti, "scope": "a b",
    });
    assert_eq!(opaque, expected);
}

#[tokio::test]
async fn expired_tokens_are_inactive_and_authorize_nothing() {
    let (jwt, opaque) = (
        Fixture::with_format(TokenFormat::Jwt).await,
        Fixture::with_format(TokenFormat::Opaque).await,
    );
    let mut tokens = Vec::new();
    for fixture in [&jwt, &opaque] {
        tokens.push((fixture, fixture.token("scope=*&validity_period=1").await));
    }
    // The tokens have a lifetime of one second, and the process has the real clock.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for (fixture, token) in tokens {
        assert_eq!(fixture.introspect(&token).await, json!({ "active": false }));
        let response = send(fixture.introspection_request(&token).bearer_auth(&token)).await;
        assert_eq!(
            response.headers()["www-authenticate"],
            r#"Bearer error="invalid_token""#
        );
    }
}

#[tokio::test]
async fn clients_and_bearers_may_introspect_at_both_endpoints() {
    for token_format in FORMATS {
        let fixture = Fixture::with_format(token_format).await;
        for path in ["/introspect", "/mfp/api/az/v1/introspection"] {
            introspect_with_every_kind_of_credentials(&fixture, path).await;
        }
    }
}

async fn introspect_with_every_kind_of_credentials(fixture: &Fixture, path: &str) {
    let token = fixture.token("scope=a").await;
    let request = |form: &[(&str, &str)]| {
        fixture
            .http
            .post(format!("{}{path}", fixture.issuer()))
            .form(form)
    };
    let form = [("token", &*token), ("token_type_hint", "refresh_token")];
    let mut requests = vec![
        request(&form).basic_auth("narrow", Some("narrow")),
        request(&[form[0], ("client_id", "test"), ("client_secret", "test")]),
    ];
    for scope in ["authorization.introspect", "a+authorization.*", "*"] {
        requests.push(request(&form).bearer_auth(fixture.token(&format!("scope={scope}")).await));
    }
    for request in requests {
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["active"]),
            (StatusCode::OK, &json!(true)),
            "{path}: {response}"
        );
    }
}

#[tokio::test]
async fn unauthorized_introspection_is_challenged_with_the_scheme_of_the_request() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=a").await;
    let request = || fixture.introspection_request(&token);
    let basic = r#"Basic realm="scopegate development""#;
    let no_scope = r#"Bearer error="insufficient_scope", scope="authorization.introspect""#;
    let (invalid, malformed) = (
        r#"Bearer error="invalid_token""#,
        r#"Bearer error="invalid_request""#,
    );
    for (request, status, error, challenge) in [
        (request(), 401, "invalid_client", basic),
        (
            request().basic_auth("test", Some("wrong")),
            401,
            "invalid_client",
            basic,
        ),
        (
            request().bearer_auth(&token),
            403,
            "insufficient_scope",
            no_scope,
        ),
        (
            request().bearer_auth("wrong"),
            401,
            "invalid_token",
            invalid,
        ),
        (
            request().bearer_auth(Fixture::new().await.token("scope=*").await),
            401,
            "invalid_token",
            invalid,
        ),
        (
            request().bearer_auth("two words"),
            400,
            "invalid_request",
            malformed,
        ),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["www-authenticate"], challenge);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let response: Value = response.json().await.expect("JSON");
        assert_eq!(response["error"], error);
    }
}

#[tokio::test]
async fn introspection_without_a_token_or_with_two_credentials_is_an_invalid_request() {
    let fixture = Fixture::new().await;
    let bearer = fixture.token("scope=*").await;
    let request = |form: &[(&str, &str)]| {
        fixture
            .http
            .post(format!("{}/introspect", fixture.issuer()))
            .form(form)
    };
    for request in [
        request(&[("token_type_hint", "access_token")]).basic_auth("test", Some("test")),
        request(&[("token", "")]).bearer_auth(&bearer),
        request(&[
            ("token", "a"),
            ("client_id", "test"),
            ("client_secret", "test"),
        ])
        .bearer_auth(&bearer),
        request(&[("token", "a")])
            .bearer_auth(&bearer)
            .bearer_auth(&bearer),
    ] {
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{response}"
        );
    }
}

#[tokio::test]
async fn foreign_and_malformed_tokens_are_only_reported_as_inactive() {
    let fixture = Fixture::new().await;
    let valid = fixture.token("scope=a").await;
    let foreign = Fixture::new().await.token("scope=a").await;
    let (head, signature) = valid.rsplit_once('.').expect("a signature");
    let (header, _) = head.split_once('.').expect("a header");
    let (_, foreign_payload) = foreign
        .rsplit_once('.')
        .expect("a signature")
        .0
        .split_once('.')
        .expect("a payload");
    for token in [
        &foreign,
        "garbage",
        "a.b.c",
        &format!("{head}."),
        &format!("{valid}="),
        &format!("{head}.{}", signature.chars().rev().collect::<String>()),
        &format!("{header}.{foreign_payload}.{signature}"),
    ] {
        assert_eq!(
            fixture.introspect(token).await,
            json!({ "active": false }),
            "{token}"
        );
    }
}
