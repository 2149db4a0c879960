//! `response_headers`: headers of responses that the gateway sets and removes.

use harness::{Gateway, Reply, Response, Server, send};

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
