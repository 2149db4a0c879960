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

#[test]
fn message_of_an_mcp_route_is_judged_between_its_token_and_its_scope() {
    let test_bed = TestBed::routes(
        "[[routes]]\npath = \"/mcp\"\nmethods = [\"POST\"]\nscope = \"mcp\"\nallow_from = \"127.0.0.0/8\"\nupstream = \"up\"\n\
         mcp = { origins = [\"https://app.example.com\"] }\nclaims = [{ claim = \"scope\", matches = \"*tools\" }]\n\
         tools = [{ method = \"tools/call\", scope = \"tools\" }]\n",
    );
    let with = |scope: &str| format!("Authorization: Bearer {}\r\n", test_bed.token(scope));
    let foreign = "Origin: https://evil.test\r\nAuthorization: Bearer x\r\n";
    let listed = "Origin: https://app.example.com\r\nAuthorization: Bearer x\r\n";
    let mismatch = format!("{}Mcp-Method: ping\r\n", with("other"));
    let message = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    for (lines, message, status, detail) in [
        (foreign, "[]".to_owned(), 403, "Pages of this origin"),
        (listed, "[]".to_owned(), 401, "is expired"),
        (&*with("other"), "[]".to_owned(), 400, "-32600"),
        (&*mismatch, message("prompts/list"), 400, "-32020"),
        (
            &*with("other"),
            message("prompts/list"),
            403,
            "This operation",
        ),
        (&*with("other"), message("tools/call"), 403, "lacks scope"),
        (
            &*with("tools mcp"),
            message("tools/call"),
            403,
            "valid, but",
        ),
        (&*with("mcp tools"), message("tools/call"), 200, "hello"),
    ] {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{lines}\r\n{message}",
            message.len()
        );
        let response = send(test_bed.address, request);
        assert_eq!(response.status, status, "{message} {detail}");
        assert!(response.text().contains(detail), "{message} {detail}");
    }
    assert_eq!(test_bed.hits(), 1);
}
