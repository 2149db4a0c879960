//! MCP messages over HTTP/2.

use http::{HeaderMap, Request};

use super::client;
use crate::mcp::{ROUTES, call, request};
use harness::TestBed;

fn post(token: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::post("http://api.test/mcp")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

#[test]
fn message_over_http2_is_judged_and_forwarded_with_its_length() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("mcp.use");
    for (message, status) in [
        (call("add"), 200),
        (call("delete_all"), 403),
        (request("prompts/list", "{}"), 403),
        ("[]".to_owned(), 400),
        (call("add").replace("\"name\"", "\"Name\""), 400),
    ] {
        let before = test_bed.hits();
        let response = client::ask(
            test_bed.address,
            post(&token, &[]),
            message.as_bytes(),
            None,
        );
        assert_eq!(response.status, status, "{message}");
        assert_eq!(test_bed.hits() - before, usize::from(status == 200));
        if status == 200 {
            let last = test_bed.last();
            assert_eq!(last.body, message.as_bytes());
            assert_eq!(last.header("content-length"), [message.len().to_string()]);
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("mcp-name", "delete_all".parse().expect("a value"));
    let message = call("add");
    let response = client::ask(
        test_bed.address,
        post(&token, &[]),
        message.as_bytes(),
        Some(trailers),
    );
    assert_eq!(response.status, 200);
    assert_eq!(test_bed.last().header("mcp-name"), [""; 0]);
}

#[test]
fn headers_over_http2_must_agree_with_the_message() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("mcp.use");
    let message = call("add");
    for (headers, status) in [
        (
            &[
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tools/call"),
                ("mcp-name", "add"),
            ][..],
            200,
        ),
        (&[("mcp-name", "delete_all")], 400),
        (&[("mcp-protocol-version", "2026-07-28")], 400),
        (&[("content-encoding", "gzip")], 415),
    ] {
        let response = client::ask(
            test_bed.address,
            post(&token, headers),
            message.as_bytes(),
            None,
        );
        assert_eq!(response.status, status, "{headers:?}");
    }
}

#[test]
fn too_large_message_over_http2_is_a_413() {
    let routes = ROUTES.replacen("mcp = {}", "mcp = {}\nmax_body_size = \"100B\"", 1);
    let test_bed = TestBed::routes(&routes);
    let token = test_bed.token("mcp.use");
    let long = call(&"x".repeat(200));
    let response = client::ask(test_bed.address, post(&token, &[]), long.as_bytes(), None);
    assert_eq!(response.status, 413);
    assert_eq!(test_bed.hits(), 0);
}
