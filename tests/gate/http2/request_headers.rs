//! `request_headers` over HTTP/2 and for gRPC calls.

use std::fs;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::client;
use harness::{Gateway, HyperServer};

#[test]
fn clients_cannot_send_a_header_that_a_route_sets_from_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, "s3cret\n").expect("a writable folder");
    for (is_http2, protocol) in [(false, "http1"), (true, "http2")] {
        let upstream = HyperServer::start(is_http2, None);
        let gateway = Gateway::start(&format!(
            "[upstreams.up]\ntargets = \"http://{}\"\nprotocol = \"{protocol}\"\n\
             [[routes]]\npath = \"/keyed\"\npublic = true\nupstream = \"up\"\n\
             request_headers = {{ set = {{ \"X-Api-Key\" = {{ file = {:?} }}, \"X-Tenant\" = \"acme\" }}, remove = \"Cookie\" }}\n\
             [[routes]]\npath = \"/plain\"\npublic = true\nupstream = \"up\"\n",
            upstream.address,
            file.display().to_string()
        ));
        for content_type in ["text/plain", "application/grpc"] {
            for (path, is_set) in [("/keyed", true), ("/plain", false)] {
                let request = Request::post(format!("http://api.test{path}"))
                    .header("content-type", content_type)
                    .header("x-api-key", "forged")
                    .header("x_api_key", "forged")
                    .header("x.api.key", "forged")
                    .header("x-tenant", "mine")
                    .header("cookie", "a=1")
                    .header("cookie", "b=2");
                let mut trailers = HeaderMap::new();
                for name in ["x-api-key", "x_api_key"] {
                    let name = HeaderName::from_static(name);
                    trailers.insert(name, HeaderValue::from_static("forged"));
                }
                let request = request.body(()).expect("a request");
                client::ask(gateway.address, request, b"hello", Some(trailers));
                let seen = upstream.seen().pop().expect("a request");
                let headers = &seen.headers;
                let of = |name: &str| {
                    let values = headers.get_all(name).iter();
                    let values = values.map(|value| value.to_str().expect("ASCII"));
                    values.collect::<Vec<_>>()
                };
                let place = format!("{protocol} {content_type} {path}");
                assert_eq!(
                    of("x-api-key"),
                    if is_set { &["s3cret"][..] } else { &[] },
                    "{place}"
                );
                assert_eq!(
                    of("x-tenant"),
                    [if is_set { "acme" } else { "mine" }],
                    "{place}"
                );
                assert_eq!(of("cookie").is_empty(), is_set, "{place}");
                let forged = headers.values().any(|value| value == "forged");
                assert!(!forged, "{place}: {headers:?}");
            }
        }
    }
}
