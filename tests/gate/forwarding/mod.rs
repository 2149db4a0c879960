//! What reaches the upstream of a permitted request, and what reaches its client (R39, R40, R45).

mod bodies;
mod headers;

use harness::{Connection, Reply, Server, TestBed, eventually, send};

const ROUTES: &str = "
[[routes]]
path = \"/open/{*rest}\"
public = true
upstream = \"up\"
[[routes]]
path = \"/claims\"
upstream = \"up\"
forward_token = \"strip\"
claim_headers = { \"X-Client-Id\" = \"client_id\", \"X-Scope\" = \"scope\", \"X-Missing\" = \"missing\" }
[[routes]]
path = \"/api/v1/{*rest}\"
public = true
strip_prefix = \"/api/v1\"
upstream = \"up\"
[[routes]]
path = \"/protected\"
upstream = \"up\"
";

fn test_bed() -> TestBed {
    TestBed::routes(ROUTES)
}

fn get_status(test_bed: &TestBed, path: &str, lines: &str) -> u16 {
    send(
        test_bed.address,
        format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{lines}\r\n"),
    )
    .status
}

#[test]
fn prefix_is_stripped_and_the_query_kept() {
    let test_bed = test_bed();
    for (sent, forwarded) in [
        ("/api/v1/things?a=b", "/things?a=b"),
        ("/api/v1", "/"),
        ("/api/v1/", "/"),
        ("/api/v%31/x", "/x"),
    ] {
        assert_eq!(get_status(&test_bed, sent, ""), 200);
        assert_eq!(test_bed.last().target, forwarded, "{sent}");
    }
}

#[test]
fn token_is_forwarded_unless_stripped() {
    let test_bed = test_bed();
    let token = test_bed.token("");
    assert_eq!(test_bed.get("/protected", Some(&token)).status, 200);
    assert_eq!(
        test_bed.last().header("authorization"),
        [format!("Bearer {token}")]
    );
}

#[test]
fn host_is_passed_on_or_replaced_as_configured() {
    for (host, expected) in [
        ("pass", None),
        ("target", Some("")),
        ("inner.test", Some("inner.test")),
    ] {
        let test_bed = TestBed::toml("", "", &format!("host = \"{host}\""), ROUTES);
        assert_eq!(get_status(&test_bed, "/open/x", ""), 200);
        let target = test_bed.upstream.address.to_string();
        let expected = expected.map_or(
            "api.test",
            |name| if name.is_empty() { &target } else { name },
        );
        assert_eq!(test_bed.last().header("host"), [expected]);
        assert_eq!(test_bed.last().header("x-forwarded-host"), ["api.test"]);
    }
}

#[test]
fn forwarding_headers_of_trusted_proxies_are_used() {
    let server = "[server]\ntrusted_proxies = \"127.0.0.0/8\"\n";
    let test_bed = TestBed::toml(server, "", "", ROUTES);
    let lines = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api.example.com\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    let received = test_bed.last();
    assert_eq!(
        received.header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
    assert_eq!(received.header("x-forwarded-proto"), ["https"]);
    assert_eq!(
        received.header("forwarded"),
        ["for=127.0.0.1;host=\"api.example.com\";proto=https"]
    );
}

#[test]
fn forwarding_headers_are_used_up_to_the_first_malformed_element() {
    let server = "[server]\ntrusted_proxies = \"127.0.0.0/8\"\n";
    let test_bed = TestBed::toml(server, "", "", ROUTES);
    let lines = "X-Forwarded-For: 192.0.2.1, <script>, 203.0.113.9\r\nX-Forwarded-Proto: javascript\r\n\
                 X-Forwarded-Host: a\"b\r\nForwarded: for=192.0.2.1, for=<script>, for=203.0.113.9;proto=https\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    let received = test_bed.last();
    assert_eq!(
        received.header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
    assert_eq!(received.header("x-forwarded-proto"), ["http"]);
    assert_eq!(received.header("x-forwarded-host"), ["api.test"]);
    let forwarded = "for=203.0.113.9;proto=https, for=127.0.0.1;host=\"api.test\";proto=http";
    assert_eq!(received.header("forwarded"), [forwarded]);
    // With two lines, the last one is the trusted proxy's.
    let lines = "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n\
                 X-Forwarded-For: unknown\r\nX-Forwarded-For: 203.0.113.9\r\n";
    assert_eq!(get_status(&test_bed, "/open/x", lines), 200);
    assert_eq!(test_bed.last().header("x-forwarded-proto"), ["http"]);
    assert_eq!(
        test_bed.last().header("x-forwarded-for"),
        ["203.0.113.9, 127.0.0.1"]
    );
}

#[test]
fn round_robin_skips_an_unreachable_target() {
    let (one, two) = (
        Server::start(|_| Reply::text("one")),
        Server::start(|_| Reply::text("two")),
    );
    let unreachable = { Server::start(|_| Reply::text("stopped")).address };
    let gateway = harness::Gateway::start(&format!(
        "[upstreams.up]\ntargets = [\"http://{}\", \"http://{}\", \"http://{unreachable}\"]\nbalance = \"round_robin\"\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n",
        one.address, two.address
    ));
    eventually("nothing listens on the port", || {
        std::net::TcpStream::connect(unreachable).is_err()
    });
    let mut connection = Connection::open(gateway.address);
    for _ in 0..30 {
        assert_eq!(
            connection.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status,
            200
        );
    }
    assert!(
        one.hits() >= 10 && two.hits() >= 10,
        "{} and {}",
        one.hits(),
        two.hits()
    );
}

#[test]
fn upstream_without_a_usable_target_is_a_503() {
    let unreachable = { Server::start(|_| Reply::text("stopped")).address };
    let gateway = harness::Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{unreachable}\"\nretries = 0\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ));
    eventually("nothing listens on the port", || {
        std::net::TcpStream::connect(unreachable).is_err()
    });
    let status = || send(gateway.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!(
        [status(), status(), status(), status()],
        [502, 502, 502, 503]
    );
    let restarted = Server::start_at(&unreachable.to_string(), |_| Reply::text("back"));
    eventually("the target is tried again", || status() == 200);
    assert!(restarted.hits() > 0);
}
