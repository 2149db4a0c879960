//! `/metrics`: what is counted, and under which labels.

use std::net::SocketAddr;

use openmetrics_parser::openmetrics::parse_openmetrics;

use super::{ROUTE, requests};
use harness::{Connection, Gateway, Reply, Server, TestBed, eventually, send};

#[test]
fn requests_are_counted_by_route_method_status_decision_and_reason() {
    let test_bed = TestBed::routes(ROUTE);
    let token = test_bed.token("read");
    for _ in 0..3 {
        assert_eq!(test_bed.get("/things/7", Some(&token)).status, 200);
    }
    assert_eq!(test_bed.get("/things/8", None).status, 401);
    assert_eq!(
        test_bed
            .get("/things/8", Some(&test_bed.token("write")))
            .status,
        403
    );
    assert_eq!(test_bed.get("/nothing", None).status, 404);
    assert_eq!(
        send(
            test_bed.gateway.address,
            "BREW /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        .status,
        404
    );
    assert_eq!(
        test_bed.metric(&requests("GET", "2xx", "permitted", "")),
        Some(3.0)
    );
    assert_eq!(
        test_bed.metric(&requests("GET", "4xx", "refused", "no_token")),
        Some(1.0)
    );
    assert_eq!(
        test_bed.metric(&requests("GET", "4xx", "refused", "insufficient_scope")),
        Some(1.0)
    );
    for method in ["GET", "_OTHER"] {
        let series = format!(
            "scopegate_requests_total{{route=\"\",method=\"{method}\",status=\"4xx\",decision=\"refused\",reason=\"no_route\"}}"
        );
        assert_eq!(test_bed.metric(&series), Some(1.0), "{method}");
    }
    let duration = "http_server_request_duration_seconds";
    let labels =
        "http_request_method=\"GET\",http_route=\"/things/{id}\",http_response_status_code=\"200\"";
    assert_eq!(
        test_bed.metric(&format!("{duration}_count{{{labels}}}")),
        Some(3.0)
    );
    assert_eq!(
        test_bed.metric(&format!("{duration}_bucket{{le=\"+Inf\",{labels}}}")),
        Some(3.0)
    );
    assert!(
        test_bed
            .metric(&format!("{duration}_sum{{{labels}}}"))
            .is_some_and(|sum| sum > 0.0)
    );
}

#[test]
fn request_of_a_disconnected_client_is_counted_without_a_status() {
    let test_bed = TestBed::routes(ROUTE);
    test_bed.upstream.script(|_| Reply::RawThenHang(Vec::new()));
    let token = test_bed.token("read");
    let mut connection = Connection::open(test_bed.gateway.address);
    connection.write(format!(
        "GET /things/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    ));
    let in_flight = format!(
        "scopegate_upstream_target_in_flight{{upstream=\"up\",target=\"{}\"}}",
        test_bed.upstream.address
    );
    eventually("the request is in flight", || {
        test_bed.metric(&in_flight) == Some(1.0)
    });
    drop(connection);
    // The request was permitted before the client disconnected.
    eventually("the request is counted", || {
        test_bed.metric(&requests("GET", "none", "permitted", "")) == Some(1.0)
    });
    eventually("the request is no longer in flight", || {
        test_bed.metric(&in_flight) == Some(0.0)
    });
}

#[test]
fn token_cache_hits_are_counted_by_tier() {
    let test_bed = TestBed::routes(ROUTE);
    let (hits, misses) = (
        |tier| format!("scopegate_token_cache_hits_total{{tier=\"{tier}\"}}"),
        "scopegate_token_cache_misses_total{}",
    );
    let before = (
        test_bed.metric(&hits("connection")),
        test_bed.metric(misses).expect("a count"),
    );
    let token = test_bed.token("read");
    let mut connection = Connection::open(test_bed.gateway.address);
    let request =
        format!("GET /things/7 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    for _ in 0..5 {
        assert_eq!(connection.ask(&request).status, 200);
    }
    assert_eq!(
        (before.0, test_bed.metric(&hits("connection"))),
        (Some(0.0), Some(4.0))
    );
    let by_worker = test_bed.metric(&hits("worker")).expect("a count")
        + test_bed.metric(&hits("shared")).expect("a count");
    assert_eq!(test_bed.get("/things/7", Some(&token)).status, 200);
    let now = test_bed.metric(&hits("worker")).expect("a count")
        + test_bed.metric(&hits("shared")).expect("a count");
    assert_eq!(now - by_worker, 1.0);
    assert_eq!(test_bed.metric(misses), Some(before.1 + 1.0));
    for tier in ["connection", "worker", "shared"] {
        let size = |name: &str| {
            test_bed.metric(&format!("scopegate_token_cache_{name}{{tier=\"{tier}\"}}"))
        };
        // The test bed's own token is cached too; its connection has ended.
        let entries = if tier == "connection" { 1.0 } else { 2.0 };
        eventually(&format!("{tier}: {:?}", size("entries")), || {
            size("entries") == Some(entries)
        });
        assert!(
            size("bytes").is_some_and(|bytes| bytes > 1000.0 * entries),
            "{tier}: {:?}",
            size("bytes")
        );
    }
    drop(connection);
    let of_connections = "scopegate_token_cache_bytes{tier=\"connection\"}";
    eventually("the connection cache is empty", || {
        test_bed.metric(of_connections) == Some(0.0)
    });
}

#[test]
fn issuer_and_upstream_have_metrics() {
    let test_bed = TestBed::routes(ROUTE);
    assert_eq!(
        test_bed.metric("scopegate_issuer_keys{issuer=\"corp\"}"),
        Some(1.0)
    );
    let fetches = |outcome| {
        test_bed.metric(&format!(
            "scopegate_issuer_key_fetches_total{{issuer=\"corp\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(fetches("success"), Some(1.0));
    assert_eq!(fetches("failure"), Some(0.0));
    let verified = "scopegate_verification_duration_seconds_count{issuer=\"corp\"}";
    let before = test_bed.metric(verified).expect("a count");
    assert_eq!(
        test_bed
            .get("/things/7", Some(&test_bed.token("read write")))
            .status,
        200
    );
    assert_eq!(test_bed.metric(verified), Some(before + 1.0));

    let of_target = format!(
        "{{upstream=\"up\",target=\"{}\"}}",
        test_bed.upstream.address
    );
    assert_eq!(
        test_bed.metric(&format!("scopegate_upstream_target_up{of_target}")),
        Some(1.0)
    );
    assert!(
        test_bed
            .metric("scopegate_upstream_duration_seconds_count{upstream=\"up\"}")
            .is_some_and(|count| count >= 1.0)
    );
    test_bed
        .upstream
        .script(|_| Reply::RawThenClose(Vec::new()));
    assert_eq!(
        test_bed
            .get("/things/7", Some(&test_bed.token("read")))
            .status,
        502
    );
    assert_eq!(
        test_bed.metric("scopegate_upstream_retries_total{upstream=\"up\"}"),
        Some(1.0)
    );
    eventually("the upstream connections are closed", || {
        test_bed.metric(&format!("scopegate_upstream_target_connections{of_target}")) == Some(0.0)
    });
}

#[test]
fn ejection_of_a_target_is_counted() {
    let healthy = Server::start(|_| Reply::text("hello"));
    let unreachable: SocketAddr = {
        let listener = std::net::TcpListener::bind("127.0.0.67:0").expect("a free port");
        listener.local_addr().expect("a bound socket")
    };
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = [\"http://{unreachable}\", \"http://{}\"]\n[[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n",
        healthy.address
    ));
    let of = |name: &str, target| {
        gateway.metric(&format!(
            "scopegate_upstream_target_{name}{{upstream=\"up\",target=\"{target}\"}}"
        ))
    };
    eventually("the target is ejected", || {
        assert_eq!(
            send(gateway.address, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
        of("up", unreachable) == Some(0.0)
    });
    assert!(of("ejections_total", unreachable).is_some_and(|count| count >= 1.0));
    assert_eq!(
        (
            of("up", healthy.address),
            of("ejections_total", healthy.address)
        ),
        (Some(1.0), Some(0.0))
    );
}

#[test]
fn introspection_requests_are_counted() {
    let server = Server::start(|_| {
        Reply::json(serde_json::json!({ "active": true, "aud": "https://api.test" }))
    });
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"http://{0}\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{0}/introspect\"\nclient_id = \"a\"\nclient_secret = \"b\"\n\
         [upstreams.up]\ntargets = \"http://{1}\"\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n",
        server.address, upstream.address
    ));
    let calls = |outcome| {
        gateway.metric(&format!(
            "scopegate_introspection_calls_total{{issuer=\"corp\",outcome=\"{outcome}\"}}"
        ))
    };
    let ask = |token| harness::get(gateway.address, "/x", Some(token)).status;
    assert_eq!((ask("one"), ask("one"), ask("two")), (200, 200, 200));
    assert_eq!((calls("success"), calls("failure")), (Some(2.0), Some(0.0)));
    server.script(|_| Reply::status(500));
    assert_eq!(ask("three"), 503);
    assert_eq!((calls("success"), calls("failure")), (Some(2.0), Some(1.0)));
    assert_eq!(
        gateway.metric("scopegate_introspection_duration_seconds_count{issuer=\"corp\"}"),
        Some(3.0)
    );
    // An issuer with introspection needs no keys to be ready.
    assert_eq!(gateway.get_admin("/readyz").status, 200);
}

#[test]
fn metrics_are_valid_openmetrics_without_secrets() {
    // A route whose pattern has to be escaped in a label.
    let routes =
        format!("{ROUTE}[[routes]]\npath = \"/a%22b/{{x}}\"\npublic = true\nupstream = \"up\"\n");
    let test_bed = TestBed::routes(&routes);
    let token = test_bed.token("read");
    assert_eq!(test_bed.get("/things/7", Some(&token)).status, 200);
    assert_eq!(
        test_bed.get("/a%22b/secret-in-a-path", Some(&token)).status,
        200
    );
    assert_eq!(
        test_bed.get("/things/7", Some("garbage-as-a-token")).status,
        401
    );
    let response = test_bed.get_admin("/metrics");
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some(media_type))
    );
    let text = response.text();
    let exposition = parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    assert!(
        exposition.families.len() >= 22,
        "{}",
        exposition.families.len()
    );
    for family in exposition.families.values() {
        assert!(
            !family.help.is_empty(),
            "{} has no help",
            family.family_name
        );
    }
    for hidden in [
        "garbage-as-a-token",
        "secret-in-a-path",
        token.as_str(),
        "client-1",
        "127.0.0.1\"",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in the metrics: {text}");
    }
}
