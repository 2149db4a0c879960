//! OAuth clients in web pages: which origins may use which endpoint (CORS).

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::code_flow::REDIRECT_URI;
use crate::fixture::{Fixture, send};

/// What a client in a page calls.
const ENDPOINTS: [(&str, &str); 6] = [
    ("GET", ".well-known/oauth-authorization-server"),
    ("GET", ".well-known/openid-configuration"),
    ("GET", "jwks"),
    ("POST", "token"),
    ("POST", "register"),
    ("POST", "revoke"),
];

const FOREIGN: [&str; 6] = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://localhost:3000@evil.example",
    "http://localhost:3000/",
    "file://",
];

async fn preflight(fixture: &Fixture, path: &str, origin: &str) -> (StatusCode, HeaderMap) {
    let url = format!("{}/{path}", fixture.issuer());
    let request = fixture
        .http
        .request(Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,mcp-protocol-version",
        );
    let response = send(request).await;
    (response.status(), response.headers().clone())
}

#[tokio::test]
async fn foreign_pages_may_call_nothing() {
    let fixture = Fixture::new().await;
    for (method, path) in ENDPOINTS {
        for origin in FOREIGN {
            let (status, headers) = preflight(&fixture, path, origin).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {origin}");
            assert!(!headers.contains_key("access-control-allow-origin"));
            let url = format!("{}/{path}", fixture.issuer());
            let method = method.parse().expect("a method");
            let request = fixture.http.request(method, url).header("origin", origin);
            let response = send(request).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} {origin}");
            assert!(
                !response
                    .headers()
                    .contains_key("access-control-allow-origin")
            );
        }
    }
}

#[tokio::test]
async fn pages_on_loopback_may_call_what_a_client_needs() {
    let fixture = Fixture::new().await;
    for origin in [
        "http://localhost:6274",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
    ] {
        for (_, path) in ENDPOINTS {
            let (status, headers) = preflight(&fixture, path, origin).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
            for (name, value) in [
                ("access-control-allow-origin", origin),
                ("access-control-allow-methods", "GET, POST"),
                (
                    "access-control-allow-headers",
                    "authorization, content-type, mcp-protocol-version",
                ),
                ("vary", "origin"),
            ] {
                assert_eq!(headers[name], value, "{path}");
            }
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
        let request = fixture.http.post(format!("{}/register", fixture.issuer()));
        let request = request
            .header("origin", origin)
            // localhost and 127.0.0.1 are two sites.
            .header("sec-fetch-site", "cross-site")
            .json(&json!({ "redirect_uris": [REDIRECT_URI] }));
        let response = send(request).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["access-control-allow-origin"], origin);
        // A script must be able to read why it was refused.
        let request = fixture
            .token_request("grant_type=password")
            .header("origin", origin);
        let response = send(request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["access-control-allow-origin"], origin);
    }
}

#[tokio::test]
async fn no_page_may_introspect_or_end_sessions() {
    let fixture = Fixture::new().await;
    let own = fixture.issuer();
    for origin in [
        "http://localhost:6274",
        own.as_str(),
        "https://evil.example",
    ] {
        for (method, path) in [(Method::POST, "introspect"), (Method::DELETE, "Session")] {
            let (status, _) = preflight(&fixture, path, origin).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {origin}");
            let url = format!("{}/{path}", fixture.issuer());
            let request = fixture.http.request(method, url).header("origin", origin);
            assert_eq!(
                send(request).await.status(),
                StatusCode::FORBIDDEN,
                "{path} {origin}"
            );
        }
    }
}

#[tokio::test]
async fn responses_to_programs_carry_no_origin_but_vary_by_it() {
    let fixture = Fixture::new().await;
    let response = send(fixture.http.get(format!("{}/jwks", fixture.issuer()))).await;
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    assert_eq!(response.headers()["vary"], "origin");
    let request = fixture
        .http
        .request(Method::OPTIONS, format!("{}/token", fixture.issuer()));
    assert_eq!(send(request).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}
