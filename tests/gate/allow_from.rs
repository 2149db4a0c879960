//! `allow_from`: which clients may use a route.

use harness::{Response, TestBed, send};

const PROXIED: &str = "[server]\ntrusted_proxies = \"127.0.0.0/8\"\n";

const ROUTES: &str = "[[routes]]\npath = \"/inside\"\nscope = \"read\"\nallow_from = [\"10.0.0.0/8\", \"2001:db8::/32\"]\nupstream = \"up\"\n\
     [[routes]]\npath = \"/open\"\npublic = true\nallow_from = \"10.0.0.0/8\"\nupstream = \"up\"\n\
     [[routes]]\npath = \"/shadow\"\nscope = \"read\"\nenforce = false\nallow_from = \"10.0.0.0/8\"\nupstream = \"up\"\n\
     [[routes]]\npath = \"/local\"\nscope = \"read\"\nallow_from = \"127.0.0.1\"\nupstream = \"up\"\n";

fn ask(test_bed: &TestBed, path: &str, lines: &str) -> Response {
    let token = test_bed.token("read");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n");
    send(test_bed.address, request)
}

#[test]
fn client_of_another_network_gets_403_without_a_challenge() {
    let test_bed = TestBed::routes(ROUTES);
    for path in ["/inside", "/open", "/shadow"] {
        let response = ask(&test_bed, path, "");
        assert_eq!(
            (response.status, response.challenge()),
            (403, None),
            "{path}"
        );
        assert!(!response.text().contains("127.0.0.1"), "{path}");
    }
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(ask(&test_bed, "/local", "").status, 200);
}

#[test]
fn headers_of_a_client_do_not_change_its_address() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "X-Forwarded-For: 10.0.0.1\r\n",
        "Forwarded: for=10.0.0.1\r\n",
        "X-Real-IP: 10.0.0.1\r\n",
        "X_Forwarded_For: 10.0.0.1\r\n",
    ] {
        assert_eq!(ask(&test_bed, "/inside", lines).status, 403, "{lines}");
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn address_that_a_trusted_proxy_reports_counts() {
    let test_bed = TestBed::toml(PROXIED, "", "", ROUTES);
    for (reported, status) in [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("2001:db8::7", 200),
        ("10.1.2.3, 127.0.0.9", 200),
        ("203.0.113.9", 403),
        ("2001:db9::7", 403),
        // Only the nearest address that is no proxy's counts: the client may have written the rest.
        ("10.1.2.3, 203.0.113.9", 403),
        ("10.1.2.3, 203.0.113.9, 127.0.0.9", 403),
        ("10.1.2.3, unknown", 403),
        ("10.1.2.3\r\nX-Forwarded-For: 203.0.113.9", 403),
        ("", 403),
    ] {
        let lines = format!("X-Forwarded-For: {reported}\r\n");
        assert_eq!(
            ask(&test_bed, "/inside", &lines).status,
            status,
            "{reported}"
        );
    }
    assert_eq!(test_bed.hits(), 4);
}

#[test]
fn address_of_a_proxy_does_not_count_for_a_client_that_it_cannot_name() {
    let test_bed = TestBed::toml(PROXIED, "", "", ROUTES);
    // The proxy's own request, such as a health check, and one of another proxy.
    for lines in ["", "X-Forwarded-For: 127.0.0.1\r\n"] {
        assert_eq!(ask(&test_bed, "/local", lines).status, 200, "{lines}");
    }
    for reported in [
        "unknown",
        "unix:",
        "",
        "-",
        "_hidden",
        "fe80::1%eth0",
        "127.0.0.1,",
        "127.0.0.1, unknown",
        "127.0.0.1, unknown, 127.0.0.1",
        "127.0.0.1\r\nX-Forwarded-For: unknown",
    ] {
        let lines = format!("X-Forwarded-For: {reported}\r\n");
        let response = ask(&test_bed, "/local", &lines);
        assert_eq!(
            (response.status, response.challenge()),
            (403, None),
            "{reported}"
        );
    }
    assert_eq!(test_bed.hits(), 2);
}

#[test]
fn foreign_address_is_refused_before_its_token_is_read() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer a.b.c\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ] {
        let request = format!("GET /inside HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let response = send(test_bed.address, request);
        assert_eq!(
            (response.status, response.challenge()),
            (403, None),
            "{lines}"
        );
    }
}
