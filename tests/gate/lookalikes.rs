//! Paths that a lenient upstream would read as the path of another route (R41).

use serde_json::Value;

use harness::{TestBed, send};

const ROUTES: &str = "
[[routes]]
path = \"/{*rest}\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/reports\"
scope = \"admin\"
upstream = \"up\"
[[routes]]
path = \"/users/{id}\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/users/me\"
scope = \"me\"
upstream = \"up\"
[[routes]]
path = \"/users/jane\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/login\"
public = true
upstream = \"up\"
[[routes]]
path = \"/app\"
scope = \"admin\"
upstream = \"up\"
[[routes]]
path = \"/app.js\"
scope = \"read\"
upstream = \"up\"
[[routes]]
path = \"/admin/{*rest}\"
scope = \"admin\"
upstream = \"up\"
";

#[test]
fn r41_lookalike_of_a_stricter_routes_path_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("read");
    for path in [
        "/reports.json",
        "/reports%2ejson",
        "/reports::$DATA",
        "/reports%c2%a0",
        "/reports%e2%80%8b",
        "/%EF%BD%92%EF%BD%85%EF%BD%90%EF%BD%8F%EF%BD%92%EF%BD%94%EF%BD%93",
        "/Reports.JSON",
        "/reports.json/",
        "/reports.json%23",
        "/r%C3%A9ports",
        "/users/me.json",
        "/users/me%20",
        "/users.x/me",
        "/admin.json/x",
        "/admin::$INDEX_ALLOCATION/x",
        "/admin%EF%BC%8Fx",
        "/admin%C2%A5x",
    ] {
        for method in ["GET", "POST"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
            );
            let response = send(test_bed.address, request);
            assert_eq!(
                (response.status, response.challenge()),
                (400, None),
                "{method} {path}"
            );
        }
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn lookalike_of_a_path_without_stricter_requirement_is_forwarded() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("read");
    for path in [
        "/login.css",
        "/LOGIN",
        "/users/jane.doe",
        "/app.js",
        "/users/7.json",
        "/caf%C3%A9",
        "/reports-2026.json",
    ] {
        assert_eq!(test_bed.get(path, Some(&token)).status, 200, "{path}");
        assert_eq!(test_bed.last().target, path);
    }
    assert_eq!(test_bed.get("/app.css", Some(&token)).status, 400);
}

#[test]
fn segment_in_another_script_is_no_lookalike() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("read");
    for path in [
        "/%D0%AF",
        "/users/%D0%AF%D0%BD%D0%B0",
        "/users/%E6%9D%8E.%E6%9D%8E",
        "/users/%C3%A6:%F0%9F%98%80",
    ] {
        assert_eq!(test_bed.get(path, Some(&token)).status, 200, "{path}");
        assert_eq!(test_bed.last().target, path);
    }
}

#[test]
fn log_names_both_routes_of_a_lookalike() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("read");
    assert_eq!(test_bed.get("/users/me.json", Some(&token)).status, 400);
    let lines = test_bed.requests.lines();
    let line = lines
        .iter()
        .find(|line| line["reason"] == "lookalike_path")
        .expect("a line of the refusal");
    let cause = line["cause"].as_str().unwrap_or_default();
    assert!(
        cause.contains("\"/users/{id}\"") && cause.contains("\"/users/me\""),
        "{line}"
    );
    assert_eq!(line["status"], Value::from(400));
}
