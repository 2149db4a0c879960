//! Responses to requests whose token is in a cookie: shared caches must not keep them.

use harness::{Reply, Response, TestBed, send};

const COOKIE: &str = "token_from = [\"header\", { cookie = \"at\" }]\n";

fn test_bed() -> TestBed {
    let route = |path: &str, keys: &str| {
        format!("[[routes]]\npath = \"{path}\"\nscope = \"read\"\nupstream = \"up\"\n{keys}")
    };
    let set = "response_headers = { set = { \"Cache-Control\" = \"public, max-age=60\" } }\n";
    TestBed::routes(&[
        route("/cookie", COOKIE),
        route("/strip", &format!("{COOKIE}forward_token = \"strip\"\n")),
        route("/shadow", &format!("{COOKIE}enforce = false\n")),
        route("/set", &format!("{COOKIE}{set}")),
        route("/header", ""),
        "[[routes]]\npath = \"/fixed\"\nscope = \"read\"\nrespond = { status = 200, body = \"secret\" }\n".to_owned() + COOKIE,
    ].concat())
}

fn ask(test_bed: &TestBed, path: &str) -> Response {
    let token = test_bed.token("read");
    let lines = if path == "/header" {
        format!("Authorization: Bearer {token}\r\n")
    } else {
        format!("Cookie: at={token}\r\nSec-Fetch-Site: same-origin\r\n")
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let response = send(test_bed.address, request);
    assert_eq!(response.status, 200, "{path}");
    response
}

fn cache_control(response: &Response) -> Vec<&str> {
    let lines = response.headers.iter();
    lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"))
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn response_to_a_cookie_is_private_unless_the_upstream_shares_it() {
    let test_bed = test_bed();
    for (written, expected) in [
        (None, &["private"][..]),
        (Some("max-age=60"), &["max-age=60", "private"]),
        (Some("no-cache"), &["no-cache", "private"]),
        (
            Some("private=\"set-cookie\""),
            &["private=\"set-cookie\"", "private"],
        ),
        (
            Some("no-cache=\"a, public\""),
            &["no-cache=\"a, public\"", "private"],
        ),
        (Some("x-public"), &["x-public", "private"]),
        (Some("private, max-age=60"), &["private, max-age=60"]),
        (Some("No-Store"), &["No-Store"]),
        // What allows a shared cache to keep a response to a request with `Authorization`.
        (Some("max-age=60, public"), &["max-age=60, public"]),
        (Some("S-MaxAge=60"), &["S-MaxAge=60"]),
        (Some("must-revalidate"), &["must-revalidate"]),
    ] {
        let headers =
            Vec::from_iter(written.map(|value| ("Cache-Control".to_owned(), value.to_owned())));
        test_bed.upstream.script(move |_| {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            Reply::new(200, &headers, "hello")
        });
        for path in ["/cookie", "/strip", "/shadow"] {
            let response = ask(&test_bed, path);
            assert_eq!(cache_control(&response), expected, "{path} {written:?}");
        }
        let unchanged = Vec::from_iter(written);
        assert_eq!(cache_control(&ask(&test_bed, "/header")), unchanged);
        assert_eq!(
            cache_control(&ask(&test_bed, "/set")),
            ["public, max-age=60"]
        );
    }
}

#[test]
fn fixed_response_to_a_cookie_is_private() {
    assert_eq!(cache_control(&ask(&test_bed(), "/fixed")), ["private"]);
}
