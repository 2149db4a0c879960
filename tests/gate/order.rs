//! The order of the checks, as docs/requests-and-routing.md lists it. Each request breaks one check
//! and all that follow, so only the first one shows.

use harness::{TestBed, send};

const CORS: &str = "[cors]\norigins = \"https://app.example.com\"\n";

const ROUTES: &str = "[[routes]]\npath = \"/far\"\nmethods = [\"GET\"]\nscope = \"read\"\nallow_from = \"10.0.0.0/8\"\nupstream = \"up\"\n\
     [[routes]]\npath = \"/near\"\nmethods = [\"GET\"]\nscope = \"read\"\nupstream = \"up\"\n";

const PREFLIGHT: &str = "Access-Control-Request-Method: GET\r\n";

#[test]
fn first_check_that_fails_determines_the_response() {
    let test_bed = TestBed::toml(CORS, "", "", ROUTES);
    let insufficient = format!("Authorization: Bearer {}\r\n", test_bed.token("other"));
    let sufficient = format!("Authorization: Bearer {}\r\n", test_bed.token("read"));
    let foreign = format!("Origin: https://evil.test\r\n{PREFLIGHT}");
    let listed = format!("Origin: https://app.example.com\r\n{PREFLIGHT}");
    let two_tokens = format!("{insufficient}{insufficient}");
    for (method, path, lines, status, check) in [
        (
            "OPTIONS",
            "/far//",
            &*foreign,
            400,
            "the request is unambiguous",
        ),
        ("OPTIONS", "/far", &foreign, 403, "a preflight is answered"),
        ("OPTIONS", "/far", &listed, 204, "a preflight is answered"),
        ("POST", "/far", &two_tokens, 405, "a route has this method"),
        ("GET", "/gone", &two_tokens, 404, "a route has this path"),
        (
            "GET",
            "/far",
            &two_tokens,
            403,
            "the client address is allowed",
        ),
        ("GET", "/near", &two_tokens, 400, "there is one token"),
        ("GET", "/near", "", 401, "there is one token"),
        (
            "GET",
            "/near",
            "Authorization: Bearer x\r\n",
            401,
            "the token is valid",
        ),
        (
            "GET",
            "/near",
            &insufficient,
            403,
            "the token grants the scope",
        ),
        ("GET", "/near", &sufficient, 200, "none"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let response = send(test_bed.address, request);
        assert_eq!(response.status, status, "{method} {path}: {check}");
    }
    assert_eq!(test_bed.hits(), 1);
}
