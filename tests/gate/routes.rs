//! Which route a request matches, and which requests match none (R40, R41).

use harness::{TestBed, send};

const ROUTES: &str = "
[[routes]]
path = \"/open\"
public = true
upstream = \"up\"
[[routes]]
path = \"/things/{id}\"
methods = [\"GET\", \"POST\"]
scope = \"things\"
upstream = \"up\"
[[routes]]
path = \"/things/special\"
methods = \"GET\"
scope = \"special\"
upstream = \"up\"
[[routes]]
path = \"/files/{*rest}\"
public = true
upstream = \"up\"
[[routes]]
host = \"other.test\"
path = \"/only\"
public = true
upstream = \"up\"
[[routes]]
host = \"*.wild.test\"
path = \"/wild\"
public = true
upstream = \"up\"
";

#[test]
fn request_without_a_route_is_404_and_a_wrong_method_405() {
    let test_bed = TestBed::routes(ROUTES);
    for (method, host, path, status, allow) in [
        ("GET", "a", "/", 404, None),
        ("GET", "a", "/thing", 404, None),
        ("GET", "a", "/things", 404, None),
        ("GET", "a", "/things/a/b", 404, None),
        ("GET", "other.test", "/open", 404, None),
        ("GET", "a", "/only", 404, None),
        ("GET", "wild.test", "/wild", 404, None),
        ("DELETE", "a", "/things/a", 405, Some("GET, HEAD, POST")),
        // The less specific route allows POST, but the most specific one decides.
        ("POST", "a", "/things/special", 405, Some("GET, HEAD")),
    ] {
        let response = send(
            test_bed.address,
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        );
        assert_eq!(
            (response.status, response.header("allow")),
            (status, allow),
            "{method} {host} {path}"
        );
        assert_eq!(response.challenge(), None);
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn most_specific_route_is_selected() {
    let test_bed = TestBed::routes(ROUTES);
    for (host, path, expected) in [
        ("a", "/open", 200),
        ("a", "/open/", 200),
        ("a", "/files", 200),
        ("a", "/files/", 200),
        ("a", "/files/a/b", 200),
        ("OTHER.test:8080", "/only", 200),
        ("other.test.", "/only", 200),
        ("x.y.wild.test", "/wild", 200),
    ] {
        let response = send(
            test_bed.address,
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        );
        assert_eq!(response.status, expected, "{host} {path}");
        assert_eq!(test_bed.last().target, path);
    }
    let special = test_bed.get("/things/special", Some(&test_bed.token("things")));
    assert_eq!(
        special.challenge(),
        Some("Bearer error=\"insufficient_scope\", scope=\"special\"")
    );
}

#[test]
fn r41_ambiguous_paths_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for path in [
        "/files/../things/a",
        "/files/%2e%2e/things/a",
        "/files/.%2E/x",
        "/files/./x",
        "/files//x",
        "//open",
        "/files/a%2fb",
        "/files/a%5Cb",
        "/files/a\\b",
        "/files/%00",
        "/files/%252e",
        "/files/%zz",
        "/files/%",
        "/files/%c0%af",
        "/files/a;b",
        "/files/%0d%0a",
    ] {
        let response = send(
            test_bed.address,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(
            (response.status, response.challenge()),
            (400, None),
            "{path}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

// Servers that decode a path before they split it, or that fold Unicode, read these as `/files/..`.
#[test]
fn r41_dot_segments_before_an_encoded_delimiter_are_refused() {
    let test_bed = TestBed::toml("[server]\npath_parameters = \"allow\"\n", "", "", ROUTES);
    for dots in [
        "..",
        ".",
        "%2e%2e",
        ".%2E",
        "%EF%BC%8E%EF%BC%8E",
        "%E2%80%A5",
        ".%E2%80%8B.",
    ] {
        for end in [
            "%23",
            "%3F",
            "%3b",
            ";",
            "%23x",
            "%3Fx=y",
            "%20",
            ":",
            "%3A:$DATA",
        ] {
            for method in ["GET", "DELETE"] {
                let path = format!("/files/{dots}{end}");
                let response = send(
                    test_bed.address,
                    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
                );
                assert_eq!(
                    (response.status, response.challenge()),
                    (400, None),
                    "{method} {path}"
                );
            }
        }
    }
    assert_eq!(test_bed.hits(), 0);
    for path in [
        "/files/...%23",
        "/files/.a%23",
        "/files/a..%23",
        "/files/%23",
        "/files/.hidden",
        "/files/a%EF%BC%8Fb",
    ] {
        assert_eq!(test_bed.get(path, None).status, 200, "{path}");
    }
}

#[test]
fn matched_path_is_the_forwarded_path() {
    let test_bed = TestBed::routes(ROUTES);
    for (sent, forwarded) in [
        ("/%6fpen", "/open"),
        ("/files/a%7eb%3a", "/files/a~b%3A"),
        ("/open?x=%2e%2e&y=a;b//", "/open?x=%2e%2e&y=a;b//"),
        ("http://a/open?q", "/open?q"),
    ] {
        let response = send(
            test_bed.address,
            format!("GET {sent} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(
            (response.status, test_bed.last().target),
            (200, forwarded.to_owned()),
            "{sent}"
        );
    }
}

#[test]
fn exactly_one_valid_host_is_required() {
    let test_bed = TestBed::routes(ROUTES);
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
        "Host: a:port\r\n",
        "Host: a/open\r\n",
        "Host: \u{e4}\r\n",
    ] {
        let response = send(
            test_bed.address,
            format!("GET /open HTTP/1.1\r\n{hosts}\r\n"),
        );
        assert_eq!(response.status, 400, "{hosts:?}");
    }
    let other = send(
        test_bed.address,
        "GET http://b/open HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(other.status, 400);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn path_parameters_are_forwarded_where_allowed() {
    let test_bed = TestBed::toml("[server]\npath_parameters = \"allow\"\n", "", "", ROUTES);
    assert_eq!(test_bed.get("/files/a;v=1", None).status, 200);
    assert_eq!(test_bed.last().target, "/files/a;v=1");
    assert_eq!(test_bed.get("/files/..;/x", None).status, 400);
}
