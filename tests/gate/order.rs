//! The order of the checks, as docs/requests-and-routing.md lists it. Each request fails one check
//! and all that follow, so only the first one shows.

use harness::{TestBed, send};

const CORS: &str = "[cors]\norigins = \"https://app.example.com\"\n";

const ROUTES: &str = "[[routes]]\npath = \"/far\"\nmethods = [\"GET\"]\nscope = \"read\"\nallow_from = \"10.0.0.0/8\"\nupstream = \"up\"\n\
     token_from = [\"header\", { cookie = \"at\" }]\n\
     [[routes]]\npath = \"/near\"\nmethods = [\"GET\"]\nscope = \"read\"\nupstream = \"up\"\n\
     token_from = [\"header\", { cookie = \"at\" }]\n";

const REQUESTED: &str = "Access-Control-Request-Method: GET\r\n";

#[test]
fn first_check_that_fails_determines_the_response() {
    let test_bed = TestBed::toml(CORS, "", "", ROUTES);
    let insufficient = format!("Authorization: Bearer {}\r\n", test_bed.token("other"));
    let sufficient = format!("Authorization: Bearer {}\r\n", test_bed.token("read"));
    let foreign = format!("Origin: https://evil.test\r\n{REQUESTED}");
    let listed = format!("Origin: https://app.example.com\r\n{REQUESTED}");
    let two_tokens = format!("{insufficient}Cookie: at=x\r\n");
    for (method, path, lines, status, detail) in [
        (
            "OPTIONS",
            "/far//",
            &*foreign,
            400,
            "read in more than one way",
        ),
        ("OPTIONS", "/far", &foreign, 403, "Pages of this origin"),
        ("OPTIONS", "/far", &listed, 204, ""),
        ("POST", "/far", &two_tokens, 405, "Allow"),
        ("GET", "/gone", &two_tokens, 404, "Nothing is published"),
        ("GET", "/far", &two_tokens, 403, "Clients of this network"),
        ("GET", "/far", &sufficient, 403, "Clients of this network"),
        ("GET", "/near", &two_tokens, 400, "in one place"),
        ("GET", "/near", "", 401, "is needed"),
        (
            "GET",
            "/near",
            "Cookie: at=x\r\n",
            403,
            "Pages of this origin",
        ),
        (
            "GET",
            "/near",
            "Cookie: at=x\r\nSec-Fetch-Site: same-origin\r\n",
            401,
            "is expired",
        ),
        ("GET", "/near", &insufficient, 403, "lacks scope"),
        ("GET", "/near", &sufficient, 200, "hello"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let response = send(test_bed.address, request);
        assert_eq!(response.status, status, "{method} {path} {detail}");
        assert!(response.text().contains(detail), "{method} {path} {detail}");
    }
    assert_eq!(test_bed.hits(), 1);
}
