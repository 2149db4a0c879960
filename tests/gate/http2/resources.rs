//! Protected resources over HTTP/2.

use http::Request;
use serde_json::json;

use super::client;
use crate::resources::{METADATA, TWO, token_for};
use harness::TestBed;

fn from(authority: &str, method: &str, path: &str, token: Option<&str>) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{authority}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).expect("a request")
}

#[test]
fn metadata_and_challenges_do_not_depend_on_the_authority() {
    let test_bed = TestBed::routes(TWO);
    let ask = |request| client::ask(test_bed.address, request, b"", None);
    let path = format!("{METADATA}/one");
    let wrong = token_for(&test_bed, json!("https://api.test/two"));
    for authority in ["api.test", "evil.test:8443"] {
        let response = ask(from(authority, "GET", &path, None));
        assert_eq!(response.status, 200);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        let document: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(document["resource"], "https://api.test/one");
        let response = ask(from(authority, "GET", "/one", Some(&wrong)));
        assert_eq!(response.status, 401);
        assert_eq!(
            response.header("www-authenticate"),
            Some(
                "Bearer error=\"invalid_token\", scope=\"one.read\", \
                 resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/one\""
            )
        );
    }
    let response = ask(from("api.test", "GET", "/two/x", Some(&wrong)));
    assert_eq!(response.status, 200);
    let response = ask(from("api.test", "HEAD", &path, None));
    assert_eq!((response.status.as_u16(), response.body.len()), (200, 0));
    assert!(response.header("content-length").is_some());
    let response = ask(from("api.test", "POST", &path, None));
    assert_eq!(response.status, 405);
}

#[test]
fn grpc_client_gets_the_challenge_too() {
    let test_bed = TestBed::routes(TWO);
    let mut request = from("api.test", "POST", "/one", None);
    let content_type = http::HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", content_type);
    let response = client::ask(test_bed.address, request, b"", None);
    assert_eq!(response.header("grpc-status"), Some("16"));
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("resource_metadata="), "{challenge}");
}

#[test]
fn step_up_is_the_same_over_http2_and_for_grpc() {
    let routes = "[[routes]]\npath = \"/pay\"\nstep_up = { acr = \"phr\" }\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(routes);
    let token = test_bed.token("");
    let mut request = from("api.test", "POST", "/pay", Some(&token));
    let expected = "Bearer error=\"insufficient_user_authentication\", acr_values=\"phr\"";
    let response = client::ask(test_bed.address, request.clone(), b"", None);
    assert_eq!(response.status, 401);
    assert_eq!(response.header("www-authenticate"), Some(expected));
    let content_type = http::HeaderValue::from_static("application/grpc");
    request.headers_mut().insert("content-type", content_type);
    let response = client::ask(test_bed.address, request, b"", None);
    assert_eq!(response.header("grpc-status"), Some("16"));
    assert_eq!(response.header("www-authenticate"), Some(expected));
    assert_eq!(test_bed.hits(), 0);
}
