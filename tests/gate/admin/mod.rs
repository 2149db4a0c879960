//! The admin listener: health, readiness, metrics.

mod access;
mod metrics;

use harness::{Gateway, Issuer, Key, Reply, TestBed, eventually, send};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nscope = \"read\"\nupstream = \"up\"\n";

fn requests(method: &str, status: &str, decision: &str, reason: &str) -> String {
    format!(
        "scopegate_requests_total{{route=\"/things/{{id}}\",method=\"{method}\",status=\"{status}\",decision=\"{decision}\",reason=\"{reason}\"}}"
    )
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
        "[+] upstream up: 1 of 1 endpoint up\n",
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
            .contains("[!] configuration: the last reload was rejected"),
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
