//! `respond`: a route that responds itself.

use harness::{Connection, TestBed, send};

const ROUTES: &str = "
[[routes]]
path = \"/closed\"
public = true
respond = { status = 503, body = \"closed\", headers = { \"Retry-After\" = \"600\" } }
response_headers = { set = { \"X-A\" = \"route\" } }
cors = { origins = \"https://app.test\" }
[[routes]]
path = \"/scoped\"
scope = \"read\"
max_body_size = \"4B\"
respond = { status = 200, body = \"{}\", headers = { \"Content-Type\" = \"application/json\" } }
[[routes]]
path = \"/shadow\"
scope = \"read\"
enforce = false
respond = { status = 404 }
[[routes]]
path = \"/none\"
public = true
respond = { status = 204 }
";

fn series(route: &str, status: &str, decision: &str, reason: &str) -> String {
    format!(
        "scopegate_requests_total{{route=\"{route}\",method=\"GET\",status=\"{status}\",decision=\"{decision}\",reason=\"{reason}\"}}"
    )
}

#[test]
fn public_route_responds_to_everybody_and_forwards_nothing() {
    let test_bed = TestBed::routes(ROUTES);
    let hits = test_bed.hits();
    for token in [None, Some("garbage")] {
        let response = test_bed.get("/closed", token);
        assert_eq!((response.status, response.text().as_str()), (503, "closed"));
        for (name, value) in [
            ("retry-after", "600"),
            ("content-type", "text/plain; charset=utf-8"),
            ("content-length", "6"),
            ("x-a", "route"),
        ] {
            assert_eq!(response.header(name), Some(value), "{name}");
        }
    }
    let response = test_bed.get("/none", None);
    assert_eq!((response.status, response.text().as_str()), (204, ""));
    assert_eq!(
        (
            response.header("content-length"),
            response.header("content-type")
        ),
        (None, None)
    );
    assert_eq!(test_bed.hits(), hits);
    assert_eq!(
        test_bed.metric(&series("/closed", "5xx", "replied", "")),
        Some(2.0)
    );
}

#[test]
fn token_and_scope_and_size_are_checked_first() {
    let test_bed = TestBed::routes(ROUTES);
    let hits = test_bed.hits();
    assert_eq!(test_bed.get("/scoped", None).status, 401);
    assert_eq!(test_bed.get("/scoped", Some("garbage")).status, 401);
    let (other, token) = (test_bed.token("other"), test_bed.token("read"));
    assert_eq!(test_bed.get("/scoped", Some(&other)).status, 403);
    let response = test_bed.get("/scoped", Some(&token));
    assert_eq!((response.status, response.text().as_str()), (200, "{}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let post = |length: usize| {
        let body = "a".repeat(length);
        send(
            test_bed.address,
            format!(
                "POST /scoped HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
        .status
    };
    assert_eq!((post(4), post(5)), (200, 413));
    assert_eq!(test_bed.hits(), hits);
}

#[test]
fn shadow_mode_responds_and_records_what_it_would_refuse() {
    let test_bed = TestBed::routes(ROUTES);
    let hits = test_bed.hits();
    assert_eq!(test_bed.get("/shadow", None).status, 404);
    assert_eq!(
        test_bed
            .get("/shadow", Some(&test_bed.token("read")))
            .status,
        404
    );
    assert_eq!(test_bed.hits(), hits);
    assert_eq!(
        test_bed.metric(&series("/shadow", "4xx", "shadowed", "no_token")),
        Some(1.0)
    );
    assert_eq!(
        test_bed.metric(&series("/shadow", "4xx", "replied", "")),
        Some(1.0)
    );
}

#[test]
fn head_gets_no_body_and_the_connection_is_used_again() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = Connection::open(test_bed.address);
    connection.write("HEAD /closed HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = connection.read(true);
    assert_eq!(
        (response.status, response.header("content-length")),
        (503, Some("6"))
    );
    let response = connection.ask("GET /closed HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((response.status, response.text().as_str()), (503, "closed"));
}

#[test]
fn pages_of_an_allowed_origin_can_read_the_response() {
    let test_bed = TestBed::routes(ROUTES);
    let response = send(
        test_bed.address,
        "GET /closed HTTP/1.1\r\nHost: a\r\nOrigin: https://app.test\r\n\r\n",
    );
    assert_eq!(response.status, 503);
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some("https://app.test")
    );
}
