//! The token endpoint: client credentials, scopes and client authentication.

use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use scopegate::values::SigningAlgorithm;
use serde_json::{Value, json};

use crate::fixture::{FORM, FORMATS, Fixture, read, send};

#[tokio::test]
async fn client_credentials_return_a_bearer_token_that_is_not_stored() {
    let fixture = Fixture::new().await;
    let request =
        fixture.token_request("grant_type=client_credentials&scope=sendMessage+accessRestricted");
    let response = send(request.basic_auth("test", Some("test"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["pragma"], "no-cache");
    assert_eq!(response.headers()["content-type"], "application/json");
    let response: Value = response.json().await.expect("JSON");
    assert_eq!(response["token_type"], "Bearer");
    assert_eq!(response["expires_in"], 3600);
    assert_eq!(response["scope"], "sendMessage accessRestricted");
}

#[tokio::test]
async fn published_key_verifies_tokens_of_each_algorithm() {
    for (signing, algorithm) in [
        (SigningAlgorithm::Rs256, Algorithm::RS256),
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
    ] {
        let fixture = Fixture::with(signing).await;
        let (_, response) = fixture
            .request_token("grant_type=client_credentials&scope=a")
            .await;
        fixture.verify(&response, algorithm).await;
    }
}

#[tokio::test]
async fn tokens_carry_the_claims_of_rfc_9068() {
    let fixture = Fixture::new().await;
    let claims = fixture
        .claims("grant_type=client_credentials&scope=a+b")
        .await;
    assert_eq!(claims["iss"], fixture.issuer());
    assert_eq!(claims["aud"], "scopegate-development");
    assert_eq!(claims["scope"], "a b");
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("test"), &json!("test"))
    );
    let seconds = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(seconds("exp") - seconds("iat"), 3600);
    let again = fixture
        .claims("grant_type=client_credentials&scope=a+b")
        .await;
    assert_ne!(claims["jti"], again["jti"]);
}

#[tokio::test]
async fn client_chooses_audience_and_validity_period() {
    let fixture = Fixture::new().await;
    let body =
        "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example.com&validity_period=5";
    let claims = fixture.claims(body).await;
    assert_eq!(claims["aud"], "https://api.example.com");
    let seconds = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(seconds("exp") - seconds("iat"), 5);
}

#[tokio::test]
async fn resource_that_is_no_absolute_uri_without_fragment_is_an_invalid_target() {
    let fixture = Fixture::new().await;
    let long = format!("https://api.example.com/{}", "a".repeat(2048));
    for junk in [
        "api.example.com",
        "/mcp",
        "https://api.example.com/#part",
        "https://api.example.com/#",
        " https://api.example.com",
        "https://api.example.com/a\tb",
        "https://api.example.com/\u{e9}",
        "https://",
        &long,
    ] {
        let form = [("grant_type", "client_credentials"), ("resource", junk)];
        let request = fixture
            .http
            .post(format!("{}/token", fixture.issuer()))
            .form(&form);
        let (status, response) = read(request.basic_auth("test", Some("test"))).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_target")),
            "{junk:?}"
        );
    }
    let many = "grant_type=client_credentials".to_owned() + &"&resource=urn:a".repeat(9);
    let (_, response) = fixture.request_token(&many).await;
    assert_eq!(response["error"], "invalid_target");
}

// Resource servers compare `aud` with their own spelling.
#[tokio::test]
async fn resources_become_the_audience_as_they_are_spelt() {
    let fixture = Fixture::new().await;
    for (parameters, audience) in [
        ("resource=", json!("scopegate-development")),
        (
            "resource=http%3A%2F%2FLOCALHOST:80%2Fmcp%3Fa=b",
            json!("http://LOCALHOST:80/mcp?a=b"),
        ),
        ("resource=urn:a&resource=urn:a", json!("urn:a")),
        ("resource=urn:a&resource=urn:b", json!(["urn:a", "urn:b"])),
        ("audience=orders&resource=urn:a", json!(["orders", "urn:a"])),
    ] {
        let claims = fixture
            .claims(&format!("grant_type=client_credentials&{parameters}"))
            .await;
        assert_eq!(claims["aud"], audience, "{parameters}");
    }
}

#[tokio::test]
async fn endless_validity_period_saturates() {
    let fixture = Fixture::new().await;
    let claims = fixture
        .claims("grant_type=client_credentials&validity_period=18446744073709551615")
        .await;
    assert_eq!(claims["exp"], i64::MAX);
}

#[tokio::test]
async fn validity_period_that_is_no_positive_number_is_an_invalid_request() {
    let fixture = Fixture::new().await;
    for junk in ["0", "-1", "1.5", "soon", "18446744073709551616"] {
        let (status, response) = fixture
            .request_token(&format!(
                "grant_type=client_credentials&validity_period={junk}"
            ))
            .await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request")),
            "{junk}"
        );
    }
}

// An empty text is no scope (RFC 6749 App. A.4), and some clients refuse it.
#[tokio::test]
async fn empty_scope_is_in_no_response_and_no_claim() {
    for format in FORMATS {
        let fixture = Fixture::with_format(format).await;
        for body in [
            "grant_type=client_credentials",
            "grant_type=client_credentials&scope=",
        ] {
            let (status, response) = fixture.request_token(body).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!(response.get("scope"), None, "{body}");
            let token = response["access_token"].as_str().expect("a token");
            let claims = fixture.introspect(token).await;
            assert_eq!(
                (&claims["active"], claims.get("scope")),
                (&json!(true), None)
            );
        }
    }
    let claims = Fixture::new()
        .await
        .claims("grant_type=client_credentials")
        .await;
    assert_eq!(claims.get("scope"), None);
}

#[tokio::test]
async fn scope_beyond_the_allowed_scope_is_an_invalid_scope() {
    let fixture = Fixture::new().await;
    let cases = [
        ("messages.write", true),
        ("push.application.com.acme messages.write", true),
        // A wildcard in a request stands for its literal characters.
        ("push.application.*", true),
        ("push.application.com.*", true),
        ("push.application.", false),
        ("push.*", false),
        ("*", false),
        ("messages.*", false),
        ("messages.write audit", false),
        ("messages.write  messages.write", false),
        ("push.application.\"", false),
    ];
    for (scope, granted) in cases {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = fixture
            .http
            .post(format!("{}/token", fixture.issuer()))
            .form(&form);
        let (status, response) = read(request.basic_auth("narrow", Some("narrow"))).await;
        let expected = if granted {
            (StatusCode::OK, Value::Null)
        } else {
            (StatusCode::BAD_REQUEST, json!("invalid_scope"))
        };
        assert_eq!((status, response["error"].clone()), expected, "{scope}");
    }
}

#[tokio::test]
async fn client_with_the_lone_wildcard_gets_every_scope_even_a_wildcard() {
    let fixture = Fixture::new().await;
    let (status, response) = fixture
        .request_token("grant_type=client_credentials&scope=*+a.*")
        .await;
    assert_eq!(
        (status, &response["scope"]),
        (StatusCode::OK, &json!("* a.*"))
    );
}

#[tokio::test]
async fn client_may_authenticate_in_the_form_or_in_json() {
    let fixture = Fixture::new().await;
    let form = "grant_type=client_credentials&client_id=test&client_secret=test";
    assert_eq!(
        send(fixture.token_request(form)).await.status(),
        StatusCode::OK
    );

    let body = json!({
        "grant_type": "client_credentials", "client_id": "test", "client_secret": "test",
        "audience": "https://fhir.example.com", "scope": "system/*.read", "validity_period": 60,
    });
    let request = fixture
        .http
        .post(format!("{}/token", fixture.issuer()))
        .json(&body);
    let (status, response) = read(request).await;
    assert_eq!(
        (status, &response["expires_in"]),
        (StatusCode::OK, &json!(60))
    );
    assert_eq!(
        fixture.verify(&response, Algorithm::EdDSA).await["aud"],
        "https://fhir.example.com"
    );
}

// As `curl -u 'plain:x+y%41'` sends them (RFC 7617).
#[tokio::test]
async fn basic_credentials_are_accepted_as_they_are() {
    let fixture = Fixture::new().await;
    for (secret, expected) in [
        ("x+y%41", 200),
        ("x%2By%2541", 200),
        ("x y%41", 401),
        ("xA", 401),
    ] {
        let request = fixture.token_request("grant_type=client_credentials&scope=read");
        let (status, _) = read(request.basic_auth("plain", Some(secret))).await;
        assert_eq!(status.as_u16(), expected, "{secret}");
    }
}

#[tokio::test]
async fn basic_credentials_are_form_decoded() {
    let fixture = Fixture::new().await;
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let request = fixture.token_request("grant_type=client_credentials&scope=read");
    let request = request.basic_auth(encode("odd:id & co"), Some(encode("100% +s/e=cret:")));
    assert_eq!(send(request).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn failed_authentication_is_challenged_with_basic() {
    let fixture = Fixture::new().await;
    let grant = "grant_type=client_credentials";
    for request in [
        fixture.token_request(grant),
        fixture
            .token_request(grant)
            .basic_auth("test", Some("wrong")),
        fixture
            .token_request(grant)
            .basic_auth("nobody", Some("test")),
        fixture.token_request(grant).bearer_auth("dGVzdDp0ZXN0"),
        fixture
            .token_request(grant)
            .header("authorization", "Basic ???"),
        fixture.token_request("grant_type=client_credentials&client_id=test&client_secret=wrong"),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            response.headers()["www-authenticate"],
            r#"Basic realm="scopegate development""#
        );
        let response: Value = response.json().await.expect("JSON");
        assert_eq!(response["error"], "invalid_client");
        assert!(response["error_description"].is_string());
    }
}

#[tokio::test]
async fn two_authentication_methods_at_once_are_an_invalid_request() {
    let fixture = Fixture::new().await;
    for request in [
        fixture
            .token_request("grant_type=client_credentials&client_id=test&client_secret=test")
            .basic_auth("test", Some("test")),
        fixture
            .token_request("grant_type=client_credentials")
            .basic_auth("test", Some("test"))
            .header("authorization", "Basic dGVzdDp0ZXN0"),
        fixture
            .token_request("grant_type=client_credentials&client_id=narrow")
            .basic_auth("test", Some("test")),
    ] {
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_request"))
        );
    }
}

#[tokio::test]
async fn malformed_token_requests_get_distinct_errors() {
    let fixture = Fixture::new().await;
    let cases = [
        ("", FORM, "invalid_request"),
        ("scope=a", FORM, "invalid_request"),
        ("grant_type=password", FORM, "unsupported_grant_type"),
        (
            "grant_type=client_credentials&scope=a&scope=b",
            FORM,
            "invalid_request",
        ),
        (
            "grant_type=client_credentials&x=&x=",
            FORM,
            "invalid_request",
        ),
        (
            "grant_type=client_credentials",
            "text/plain",
            "invalid_request",
        ),
        (
            r#"{"grant_type":"client_credentials","scope":"a","scope":"b"}"#,
            "application/json",
            "invalid_request",
        ),
        (
            r#"{"grant_type":"client_credentials","scope":["a"]}"#,
            "application/json",
            "invalid_request",
        ),
        (r#"["grant_type"]"#, "application/json", "invalid_request"),
        (
            r#"{"grant_type":"client_credentials"} x"#,
            "application/json",
            "invalid_request",
        ),
    ];
    for (body, content_type, error) in cases {
        let request = fixture.http.post(format!("{}/token", fixture.issuer()));
        let request = request
            .header("content-type", content_type)
            .body(body)
            .basic_auth("test", Some("test"));
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn oversized_token_request_is_refused() {
    let fixture = Fixture::new().await;
    let (status, _) = fixture
        .request_token(&format!(
            "grant_type=client_credentials&scope={}",
            "a".repeat(64 * 1024)
        ))
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn token_endpoint_has_the_path_of_mobile_first_and_those_of_the_file() {
    let fixture = Fixture::new().await;
    for (path, status) in [
        ("mfp/api/az/v1/token", StatusCode::OK),
        ("oauth2/token", StatusCode::OK),
        ("oauth2/token/", StatusCode::NOT_FOUND),
        ("auth/token", StatusCode::NOT_FOUND),
    ] {
        let request = fixture
            .http
            .post(format!("{}/{path}", fixture.issuer()))
            .basic_auth("test", Some("test"))
            .form(&[("grant_type", "client_credentials"), ("scope", "")]);
        assert_eq!(send(request).await.status(), status, "{path}");
    }
}
