//! Registration of clients (RFC 7591).

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::code_flow::{REDIRECT_URI, VERIFIER};
use crate::fixture::{Fixture, read, send};

#[tokio::test]
async fn redirect_uris_off_this_machine_are_refused() {
    let fixture = Fixture::new().await;
    for uris in [
        json!(null),
        json!([]),
        json!(["https://app.example/callback"]),
        json!([REDIRECT_URI, "https://app.example/callback"]),
        json!(["http://127.0.0.1.evil.example/"]),
        json!(["http://127.0.0.1@evil.example/"]),
        json!(["http://10.0.0.1/"]),
        json!(["app://callback"]),
        json!(["javascript:alert(1)"]),
        json!(["http://127.0.0.1/#a"]),
        json!(vec![REDIRECT_URI; 9]),
        json!([format!("http://127.0.0.1/{}", "a".repeat(2048))]),
    ] {
        let (status, response) = fixture.register(&json!({ "redirect_uris": uris })).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_redirect_uri")),
            "{uris}"
        );
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_granted_is_refused() {
    let fixture = Fixture::new().await;
    for (member, value) in [
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("grant_types", json!(["client_credentials"])),
        ("grant_types", json!([])),
        ("response_types", json!(["token"])),
        ("client_name", json!("a".repeat(201))),
        ("client_name", json!("a\nb")),
        ("client_name", json!(["a"])),
        ("redirect_uris", json!(REDIRECT_URI)),
    ] {
        let mut metadata = json!({ "redirect_uris": [REDIRECT_URI] });
        metadata[member] = value;
        let (status, response) = fixture.register(&metadata).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{metadata}"
        );
    }
}

#[tokio::test]
async fn registration_is_json_of_at_most_64_kib() {
    let fixture = Fixture::new().await;
    let metadata = json!({ "redirect_uris": [REDIRECT_URI] }).to_string();
    let twice = format!(
        "{{\"client_name\":\"a\",\"client_name\":\"b\",{}",
        &metadata[1..]
    );
    for (body, content_type) in [
        (metadata.clone(), "text/plain"),
        (metadata.clone(), "application/x-www-form-urlencoded"),
        (metadata.clone() + "x", "application/json"),
        (twice, "application/json"),
        (String::new(), "application/json"),
    ] {
        let request = fixture.http.post(format!("{}/register", fixture.issuer()));
        let request = request.header("content-type", content_type).body(body);
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")),
            "{content_type}"
        );
    }
    let large = json!({ "redirect_uris": [REDIRECT_URI], "logo_uri": "a".repeat(64 * 1024) });
    assert_eq!(
        fixture.register(&large).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn public_client_gets_an_id_and_no_secret() {
    let fixture = Fixture::new().await;
    let metadata = json!({
        "redirect_uris": [REDIRECT_URI], "client_name": "Example", "logo_uri": null,
        "token_endpoint_auth_method": "none", "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token"], "scope": "a b", "jwks": {},
    });
    let request = fixture.http.post(format!("{}/register", fixture.issuer()));
    let response = send(request.json(&metadata)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut client: Value = response.json().await.expect("JSON");
    let members = client.as_object_mut().expect("an object");
    assert!(members.remove("client_id").is_some_and(|id| id.is_string()));
    assert!(
        members
            .remove("client_id_issued_at")
            .is_some_and(|at| at.is_i64())
    );
    assert_eq!(
        client,
        json!({
            "redirect_uris": [REDIRECT_URI], "client_name": "Example",
            "token_endpoint_auth_method": "none", "response_types": ["code"],
            "grant_types": ["authorization_code"],
        })
    );
}

#[tokio::test]
async fn confidential_client_gets_a_secret_and_needs_it() {
    let fixture = Fixture::new().await;
    for method in [None, Some("client_secret_post")] {
        let (_, client) = fixture
            .register(
                &json!({ "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method }),
            )
            .await;
        let named = &client["token_endpoint_auth_method"];
        assert_eq!(named, method.unwrap_or("client_secret_basic"));
        assert_eq!(client["client_secret_expires_at"], 0);
        let [id, secret] =
            ["client_id", "client_secret"].map(|name| client[name].as_str().expect("a text"));
        let code = fixture.code(id, &[]).await;
        let (status, _) = fixture.redeem(id, &code, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let (status, _) = fixture
            .redeem(id, &code, &[("client_secret", secret)])
            .await;
        assert_eq!(status, StatusCode::OK);
    }
}

// Everybody on the machine can register. That alone must lead to nothing.
#[tokio::test]
async fn registered_client_gets_no_token_without_consent_and_introspects_nothing() {
    let fixture = Fixture::new().await;
    let (_, client) = fixture
        .register(&json!({ "redirect_uris": [REDIRECT_URI] }))
        .await;
    let [id, secret] =
        ["client_id", "client_secret"].map(|name| client[name].as_str().expect("a text"));
    let request = fixture.token_request("grant_type=client_credentials&scope=a");
    let refused = read(request.basic_auth(id, Some(secret))).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert_eq!(refused.1["error"], "unauthorized_client");

    let token = fixture.token("scope=a").await;
    let request = fixture.introspection_request(&token);
    let refused = read(request.basic_auth(id, Some(secret))).await;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    assert_eq!(refused.1["error"], "unauthorized_client");

    let public = fixture.public_client().await;
    let request =
        fixture.token_request(&format!("grant_type=client_credentials&client_id={public}"));
    assert_eq!(read(request).await.1["error"], "unauthorized_client");
}

#[tokio::test]
async fn oldest_of_more_than_a_thousand_clients_is_forgotten() {
    let fixture = Fixture::new().await;
    let oldest = fixture.public_client().await;
    for _ in 0..1_000 {
        fixture.public_client().await;
    }
    let page = fixture.open(&oldest, &[]).await;
    assert_eq!(page.status(), StatusCode::BAD_REQUEST);
    // The clients of the file stay.
    let page = fixture.open("test", &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let (status, _) = fixture
        .redeem(&oldest, "any", &[("code_verifier", VERIFIER)])
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
