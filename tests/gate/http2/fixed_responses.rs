//! `respond` over HTTP/2 and for gRPC calls.

use http::{HeaderValue, Method, Request};

use super::client;
use harness::{Gateway, TestBed};

const ROUTES: &str = "
[[routes]]
path = \"/closed\"
public = true
respond = { status = 503, body = \"Closed at 100 %.\\n\", headers = { \"Retry-After\" = \"600\" } }
[[routes]]
path = \"/scoped\"
scope = \"read\"
max_body_size = \"4B\"
respond = { status = 200, body = \"{}\", headers = { \"Content-Type\" = \"application/json\" } }
[[routes]]
path = \"/none\"
public = true
respond = { status = 204 }
";

fn request(method: Method, path: &str, content_type: &str, token: Option<&str>) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://api.test{path}"))
        .header("content-type", content_type);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(()).expect("a request")
}

#[test]
fn status_headers_and_body_are_those_of_the_route() {
    let gateway = Gateway::start(ROUTES);
    let ask = |method: Method, path| {
        let request = request(method, path, "text/plain", None);
        client::ask(gateway.address, request, b"", None)
    };
    let response = ask(Method::GET, "/closed");
    assert_eq!(response.status, 503);
    assert_eq!(response.body, b"Closed at 100 %.\n");
    assert_eq!(response.header("retry-after"), Some("600"));
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.header("grpc-status"), None);
    assert!(response.header("date").is_some());
    let head = ask(Method::HEAD, "/closed");
    assert_eq!((head.status.as_u16(), &*head.body), (503, &b""[..]));
    assert_eq!(head.header("content-length"), Some("17"));
    let none = ask(Method::GET, "/none");
    assert_eq!((none.status.as_u16(), &*none.body), (204, &b""[..]));
    assert!(none.error.is_none() && none.trailers.is_none());
}

#[test]
fn token_and_size_are_checked_first() {
    let test_bed = TestBed::routes(ROUTES);
    let hits = test_bed.hits();
    let token = test_bed.token("read");
    for (token, body, status) in [
        (None, "12345", 401),
        (Some("garbage"), "12345", 401),
        (Some(&*token), "1234", 200),
        (Some(&token), "12345", 413),
    ] {
        let mut request = request(Method::POST, "/scoped", "text/plain", token);
        let length = HeaderValue::from(body.len());
        request.headers_mut().insert("content-length", length);
        let response = client::ask(test_bed.address, request, body.as_bytes(), None);
        assert_eq!(response.status, status, "{token:?} {body}");
    }
    assert_eq!(test_bed.hits(), hits);
}

#[test]
fn grpc_call_gets_the_status_that_its_client_derives_and_no_body() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("read");
    for (path, status, grpc_status, message) in [
        ("/closed", 503, "14", Some("Closed at 100 %25.")),
        ("/scoped", 200, "2", Some("{}")),
        ("/none", 204, "2", None),
    ] {
        let request = request(Method::POST, path, "application/grpc", Some(&token));
        let response = client::ask(test_bed.address, request, b"", None);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.header("grpc-status"), Some(grpc_status), "{path}");
        assert_eq!(response.header("grpc-message"), message, "{path}");
        assert_eq!(
            response.header("content-type"),
            Some("application/grpc"),
            "{path}"
        );
        // The head alone ends the call (Trailers-Only).
        assert_eq!((&*response.body, response.trailers), (&b""[..], None));
        assert_eq!(response.error.map(|error| error.to_string()), None);
    }
    // A refusal is not the response of the route.
    let request = request(Method::POST, "/scoped", "application/grpc", None);
    let response = client::ask(test_bed.address, request, b"", None);
    assert_eq!(response.header("grpc-status"), Some("16"));
}
