//! `response_headers`: headers of responses that the gateway sets and removes.

use harness::{Connection, Gateway, Reply, Response, Server, recording_upstream, send};

fn start(server: &str, routes: &str) -> (Server, Gateway) {
    let upstream = Server::start(|_| {
        Reply::new(
            200,
            &[("Server", "up/1"), ("X-Powered-By", "php"), ("X-A", "up")],
            "hello",
        )
    });
    let gateway = Gateway::start(&format!(
        "[server]\n{server}\n[issuers.corp]\nissuer = \"http://127.0.0.1:1\"\naudience = \"any\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/public\"\npublic = true\nupstream = \"up\"\n{routes}\n\
         [[routes]]\npath = \"/scoped\"\nscope = \"read\"\nupstream = \"up\"\n",
        upstream.address
    ));
    (upstream, gateway)
}

fn get(gateway: &Gateway, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    send(gateway.address, request)
}

#[test]
fn headers_are_set_and_removed_on_forwarded_responses_and_refusals() {
    let (_upstream, gateway) = start(
        "response_headers = { set = { \"Strict-Transport-Security\" = \"max-age=60\", \"X-A\" = \"gate\" }, \
         remove = [\"Server\"] }",
        "",
    );
    for (path, status, powered) in [
        ("/public", 200, Some("php")),
        ("/scoped", 401, None),
        ("/nowhere", 404, None),
        ("/%zz", 400, None),
    ] {
        let response = get(&gateway, path);
        assert_eq!(response.status, status, "{path}");
        for (name, value) in [
            ("strict-transport-security", Some("max-age=60")),
            ("x-a", Some("gate")),
            ("server", None),
            ("x-powered-by", powered),
        ] {
            assert_eq!(response.header(name), value, "{path} {name}");
        }
    }
}

#[test]
fn rule_of_a_route_replaces_that_of_the_server_for_the_same_header() {
    let (_upstream, gateway) = start(
        "response_headers = { set = { \"X-A\" = \"server\", \"X-B\" = \"server\" }, remove = \"X-Powered-By\" }",
        "response_headers = { set = { \"X-Powered-By\" = \"route\" }, remove = \"X-A\" }",
    );
    let response = get(&gateway, "/public");
    for (name, value) in [
        ("x-a", None),
        ("x-b", Some("server")),
        ("x-powered-by", Some("route")),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    assert_eq!(
        get(&gateway, "/scoped").header("x-a"),
        Some("server"),
        "another route"
    );
}

const RULES: &str = "response_headers = { set = { \"X-A\" = \"gate\", \"Cache-Control\" = \"no-store\" }, \
                     remove = [\"Server\", \"X-Powered-By\"] }";

#[track_caller]
fn assert_rules_applied(response: &Response, place: &str) {
    for (name, value) in [
        ("x-a", Some("gate")),
        ("cache-control", Some("no-store")),
        ("server", None),
        ("x-powered-by", None),
    ] {
        assert_eq!(response.header(name), value, "{place}: {name}");
    }
}

#[test]
fn failures_of_the_upstream_follow_the_rules() {
    let silent = Server::start(|_| Reply::RawThenHang(Vec::new()));
    let gateway = Gateway::start(&format!(
        "[server]\n{RULES}\n[upstreams.silent]\ntargets = \"http://{}\"\nretries = 0\nresponse_timeout = \"50ms\"\n\
         [upstreams.broken]\ntargets = \"http://{}\"\nretries = 0\n\
         [upstreams.gone]\ntargets = \"http://127.0.0.1:1\"\nretries = 0\n\
         [[routes]]\npath = \"/silent\"\npublic = true\nupstream = \"silent\"\n\
         [[routes]]\npath = \"/broken\"\npublic = true\nupstream = \"broken\"\n\
         [[routes]]\npath = \"/gone\"\npublic = true\nmax_body_size = \"1B\"\nupstream = \"gone\"\n",
        silent.address,
        Server::start(|_| Reply::Raw(b"HTTP/9 nonsense\r\n\r\n".to_vec())).address,
    ));
    for (path, status) in [("/silent", 504), ("/broken", 502), ("/gone", 502)] {
        let response = get(&gateway, path);
        assert_eq!(response.status, status, "{path}");
        assert_rules_applied(&response, path);
    }
    let too_large = "POST /gone HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    let response = send(gateway.address, too_large);
    assert_eq!(response.status, 413);
    assert_rules_applied(&response, "413");
}

#[test]
fn response_that_switches_protocols_follows_the_rules_and_stays_a_handshake() {
    let (address, _heads) = recording_upstream(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: up/1\r\nX-Powered-By: php\r\nX-A: up\r\n\r\n",
    );
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{address}\"\n\
         [[routes]]\npath = \"/ws\"\npublic = true\nupstream = \"up\"\n{RULES}\n"
    ));
    let mut connection = Connection::open(gateway.address);
    connection.write(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let response = connection.try_read(false).expect("a response");
    assert_eq!(response.status, 101);
    assert_rules_applied(&response, "101");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
}

#[test]
fn rules_and_cors_together_give_one_set_of_cors_headers() {
    let upstream = Server::start(|_| {
        Reply::new(
            200,
            &[
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Allow-Credentials", "true"),
                ("Access-Control-Expose-Headers", "X-Internal"),
                ("Server", "up/1"),
                ("X-A", "up"),
            ],
            "hello",
        )
    });
    let gateway = Gateway::start(&format!(
        "[server]\n{RULES}\n[cors]\norigins = \"https://app.test\"\n\
         [issuers.corp]\nissuer = \"http://127.0.0.1:1\"\naudience = \"any\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/public\"\npublic = true\nupstream = \"up\"\n\
         [[routes]]\npath = \"/scoped\"\nscope = \"read\"\nmethods = \"GET\"\nupstream = \"up\"\n",
        upstream.address
    ));
    let preflight = "Access-Control-Request-Method: GET\r\n";
    for (method, path, more, status) in [
        ("GET", "/public", "", 200),
        ("GET", "/scoped", "", 401),
        ("POST", "/scoped", "", 405),
        ("GET", "/nowhere", "", 404),
        ("OPTIONS", "/public", preflight, 204),
        ("OPTIONS", "/scoped", preflight, 204),
        ("OPTIONS", "/nowhere", preflight, 204),
    ] {
        for (origin, allowed) in [
            ("https://app.test", Some("https://app.test")),
            ("https://evil.test", None),
        ] {
            let response = send(
                gateway.address,
                format!("{method} {path} HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n"),
            );
            let place = format!("{method} {path} {origin}");
            let is_refused = allowed.is_none() && method == "OPTIONS";
            let status = if is_refused { 403 } else { status };
            assert_eq!(response.status, status, "{place}");
            assert_rules_applied(&response, &place);
            // `header` panics if a header occurs twice.
            let origin = response.header("access-control-allow-origin");
            assert_eq!(origin, allowed, "{place}");
            assert_eq!(response.header("access-control-allow-credentials"), None);
            let exposed = response.header("access-control-expose-headers");
            assert!(!exposed.is_some_and(|names| names.contains("X-Internal")));
            let vary = response.header("vary").unwrap_or_default();
            assert!(vary.contains("Origin"), "{place}: {vary:?}");
        }
    }
}
