//! The admin listener: health, readiness, metrics.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use openmetrics_parser::openmetrics::parse_openmetrics;
use socket2::{Domain, Socket, Type};

use harness::{Connection, Gateway, Issuer, Key, Reply, Server, TestBed, eventually, send};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nscope = \"read\"\nupstream = \"up\"\n";

fn requests(method: &str, status: &str, decision: &str, reason: &str) -> String {
    format!(
        "scopegate_requests_total{{route=\"/things/{{id}}\",method=\"{method}\",status=\"{status}\",decision=\"{decision}\",reason=\"{reason}\"}}"
    )
}

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
fn gateway_is_ready_when_every_issuer_has_keys() {
    let key = Key::es256("first");
    let issuer = Issuer::start(&[&key]);
    issuer.fail(Reply::status(503));
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"{}\"\naudience = \"a\"\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
         [[routes]]\npath = \"/x\"\nupstream = \"up\"\n",
        issuer.url
    ));
    eventually("the JWKS fetch fails repeatedly", || {
        gateway
            .get_admin("/readyz")
            .text()
            .contains("times in a row")
    });
    let response = gateway.get_admin("/readyz");
    assert_eq!(response.status, 503);
    let text = response.text();
    assert!(
        text.starts_with("not ready\n[-] issuer corp: no keys: ") && !text.contains("[+]"),
        "{text}"
    );
    assert!(
        text.contains("expected status 200, but found 503"),
        "{text}"
    );
    assert_eq!(gateway.metric("scopegate_ready{}"), Some(0.0));
    assert_eq!(
        gateway.metric("scopegate_issuer_keys{issuer=\"corp\"}"),
        Some(0.0)
    );
    issuer.recover();
    eventually("the gateway is ready", || {
        gateway.get_admin("/readyz").status == 200
    });
    assert_eq!(gateway.get_admin("/readyz").text(), "ready\n");
    let verbose = gateway.get_admin("/readyz?verbose").text();
    for expected in [
        "[+] configuration: 1 route\n",
        "[+] listener 127.0.0.1:",
        "[+] issuer corp: 1 key, fetched ",
    ] {
        assert!(verbose.contains(expected), "{verbose}");
    }
}

#[test]
fn rejected_reload_is_reported() {
    let test_bed = TestBed::routes(ROUTE);
    assert_eq!(
        test_bed.metric("scopegate_last_reload_successful{}"),
        Some(1.0)
    );
    test_bed
        .gateway
        .reload("[upstreams.up]\ntargets = 7\n")
        .expect_err("an invalid configuration");
    assert_eq!(
        test_bed.metric("scopegate_reloads_total{outcome=\"refused\"}"),
        Some(1.0)
    );
    assert_eq!(
        test_bed.metric("scopegate_last_reload_successful{}"),
        Some(0.0)
    );
    let response = test_bed.get_admin("/readyz");
    assert_eq!(
        response.status, 200,
        "the previous configuration stays active"
    );
    assert!(
        response
            .text()
            .contains("[!] configuration: the last file was refused"),
        "{}",
        response.text()
    );
    // The series of removed routes are no longer exported.
    assert_eq!(test_bed.get("/things/7", None).status, 401);
    assert_eq!(
        test_bed.metric(&requests("GET", "4xx", "refused", "no_token")),
        Some(1.0)
    );
    let other = "[[routes]]\npath = \"/other\"\npublic = true\nupstream = \"up\"\n";
    let toml = format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n{other}",
        test_bed.upstream.address
    );
    test_bed
        .gateway
        .reload(&toml)
        .expect("a valid configuration");
    assert_eq!(test_bed.get("/things/7", None).status, 404);
    assert_eq!(
        test_bed.metric(&requests("GET", "4xx", "refused", "no_token")),
        None
    );
    assert_eq!(
        test_bed.metric("scopegate_reloads_total{outcome=\"accepted\"}"),
        Some(1.0)
    );
    assert_eq!(
        test_bed.metric("scopegate_last_reload_successful{}"),
        Some(1.0)
    );
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

#[test]
fn admin_listener_serves_known_paths_and_one_request_per_connection() {
    let test_bed = TestBed::routes(ROUTE);
    let ask = |request: &str| send(test_bed.gateway.admin, request);
    assert_eq!(
        ask("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").text(),
        "ok\n"
    );
    let response = ask("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(
        ask("GET /things/7 HTTP/1.1\r\nHost: localhost\r\n\r\n").status,
        404
    );
    let response = ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(
        (
            response.header("connection"),
            response.header("cache-control")
        ),
        (Some("close"), Some("no-store"))
    );
    // Other listeners do not serve the admin paths.
    assert_eq!(test_bed.get("/metrics", None).status, 404);
}

/// Opens connections to the admin listener from a loopback address, and sends these bytes on each.
fn open_connections(admin: SocketAddr, from: [u8; 4], count: usize, bytes: &str) -> Vec<TcpStream> {
    let open = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::from((Ipv4Addr::from(from), 0)).into())
            .expect("all of 127/8 is this machine");
        socket.connect(&admin.into()).expect("it listens");
        let mut socket = TcpStream::from(socket);
        socket
            .write_all(bytes.as_bytes())
            .expect("the kernel takes it");
        socket
    };
    (0..count).map(open).collect()
}

#[test]
fn open_admin_connections_do_not_block_probes() {
    let test_bed = TestBed::routes(ROUTE);
    let admin = test_bed.gateway.admin;
    let clients: [(&str, Vec<[u8; 4]>, usize); 3] = [
        ("16 from the probe's own address", vec![[127, 0, 0, 1]], 16),
        (
            "17 from each of four others",
            (2..6).map(|last| [127, 0, 0, last]).collect(),
            17,
        ),
        (
            "300 from 60 addresses",
            (0..60).map(|last| [127, 0, 1, last]).collect(),
            5,
        ),
    ];
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (who, addresses, count) in clients {
        // Nothing, half a head, and a request whose response is not read.
        for bytes in ["", "GET /livez HTTP/1.1\r\nHo", metrics] {
            let _open: Vec<_> = addresses
                .iter()
                .flat_map(|&address| open_connections(admin, address, count, bytes))
                .collect();
            for _ in 0..50 {
                assert_eq!(
                    test_bed.get_admin("/livez").text(),
                    "ok\n",
                    "{who}, {bytes:?}"
                );
                assert_eq!(
                    test_bed.get_admin("/readyz").text(),
                    "ready\n",
                    "{who}, {bytes:?}"
                );
            }
        }
    }
}

#[test]
fn admin_client_without_a_complete_head_is_disconnected() {
    let test_bed = TestBed::routes(ROUTE);
    for bytes in ["", "GET /livez HTTP/1.1\r\nHo"] {
        let began = Instant::now();
        let mut connection = Connection::open(test_bed.gateway.admin);
        connection.write(bytes);
        assert!(connection.is_closed(), "{bytes:?}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{bytes:?}: {:?}",
            began.elapsed()
        );
    }
}

/// Status and text of a GET of `/livez` with these header lines.
fn livez(test_bed: &TestBed, version: &str, lines: &str) -> (u16, String) {
    let response = send(
        test_bed.gateway.admin,
        format!("GET /livez HTTP/{version}\r\n{lines}\r\n"),
    );
    (response.status, response.text())
}

const MISDIRECTED: &str = "expected an IP address, localhost or a name of admin.hosts as Host\n";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn admin_listener_accepts_only_addresses_localhost_and_listed_hosts() {
    let test_bed = TestBed::routes(ROUTE);
    let with_host = |host: &str| {
        livez(
            &test_bed,
            "1.1",
            &format!("Host: {host}\r\nOrigin: http://{host}\r\n"),
        )
    };
    for host in [
        "127.0.0.1:9090",
        "10.0.0.7",
        "[::1]:9090",
        "localhost:9090",
        "LOCALHOST",
    ] {
        assert_eq!(with_host(host), (200, "ok\n".to_owned()), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9090",
        "localhost.evil.example",
        "gateway.internal",
    ] {
        assert_eq!(with_host(host), (421, MISDIRECTED.to_owned()), "{host}");
    }
    // On every path.
    for request in ["POST /livez", "GET /metrics", "GET /"] {
        let response = send(
            test_bed.gateway.admin,
            format!("{request} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        );
        assert_eq!(response.status, 421, "{request}");
    }
    // The authority of an absolute target counts as a host.
    let response = send(
        test_bed.gateway.admin,
        "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert_eq!(response.status, 400);
    // A reload changes the accepted names.
    let toml = |hosts: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:1\"\nhosts = {hosts}\n[upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n",
            test_bed.upstream.address
        )
    };
    let gateway = Gateway::start(&toml("[]"));
    let status = |host: &str| {
        send(
            gateway.admin,
            format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    assert_eq!(
        (status("gateway.internal"), status("127.0.0.1")),
        (421, 200)
    );
    gateway
        .reload(&toml("[\"gateway.internal\", \"*.svc\"]"))
        .expect("a valid configuration");
    assert_eq!(
        (
            status("Gateway.internal:80"),
            status("a.b.svc"),
            status("svc"),
            status("127.0.0.1")
        ),
        (200, 200, 421, 200)
    );
    let error = gateway
        .reload(&toml("\"gateway.internal:80\""))
        .expect_err("a port");
    assert!(
        error.contains("admin.hosts[0]: expected a host without port")
            || error.contains("admin.hosts: "),
        "{error}"
    );
}

#[test]
fn admin_listener_requires_one_host_except_over_http_1_0() {
    let test_bed = TestBed::routes(ROUTE);
    let none = (400, "expected one Host header, but found none\n".to_owned());
    let several = (
        400,
        "expected one Host header, but found several\n".to_owned(),
    );
    assert_eq!(livez(&test_bed, "1.1", ""), none);
    for version in ["1.0", "1.1"] {
        assert_eq!(
            livez(&test_bed, version, "Host: localhost\r\nHost: localhost\r\n"),
            several,
            "{version}"
        );
        assert_eq!(
            livez(&test_bed, version, "Host: a b\r\n").0,
            400,
            "{version}"
        );
        assert_eq!(
            livez(&test_bed, version, "Host: evil.example\r\n").0,
            421,
            "{version}"
        );
    }
    // Load balancers still send such requests.
    assert_eq!(livez(&test_bed, "1.0", ""), (200, "ok\n".to_owned()));
}

#[test]
fn admin_listener_beyond_loopback_accepts_probes_for_any_host_unless_hosts_are_listed() {
    let test_bed = TestBed::toml("[admin]\nlisten = \"0.0.0.0:1\"", "", "", ROUTE);
    let ask = |path: &str| {
        send(
            test_bed.gateway.admin,
            format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        )
        .status
    };
    assert_eq!(
        (
            ask("/livez"),
            ask("/readyz?verbose"),
            ask("/metrics"),
            ask("/")
        ),
        (200, 200, 200, 421)
    );
    let test_bed = TestBed::toml(
        "[admin]\nlisten = \"0.0.0.0:1\"\nhosts = \"b.example\"",
        "",
        "",
        ROUTE,
    );
    let ask = |host: &str| {
        send(
            test_bed.gateway.admin,
            format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    assert_eq!((ask("a.example"), ask("b.example")), (421, 200));
}
