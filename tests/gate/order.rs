//! The order of the checks, as docs/requests-and-routing.md lists it. Each request fails one check
//! and all that follow, so only the first one shows.

use harness::{NOW, TestBed, send};
use serde_json::{Value, json};

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

const SIGNED: &str = "[[routes]]
path = \"/pay\"
scope = \"pay\"
step_up = { acr = [\"phr\"], max_age = \"5m\" }
claims = [{ claim = \"azp\", is = \"web\" }]
max_body_size = \"10B\"
upstream = \"up\"
[[routes]]
path = \"/mcp\"
scope = \"pay\"
step_up = { acr = [\"phr\"], max_age = \"5m\" }
claims = [{ claim = \"azp\", is = \"web\" }]
mcp = { origins = [\"https://app.example.com\"] }
tools = [{ method = \"tools/call\", scope = \"tools\" }]
upstream = \"up\"
";

/// The header with a token that has these claims beside the usual ones.
fn authorization(test_bed: &TestBed, scope: &str, changed: &Value) -> String {
    let mut claims = test_bed.issuer.claims(scope);
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    format!("Authorization: Bearer {}\r\n", test_bed.key.token(&claims))
}

#[test]
fn sign_in_is_judged_between_the_token_and_its_scope() {
    let test_bed = TestBed::routes(SIGNED);
    let with = |scope: &str, changed: &Value| authorization(&test_bed, scope, changed);
    let strong = json!({ "acr": "phr", "auth_time": NOW });
    let right = json!({ "acr": "phr", "auth_time": NOW, "azp": "web" });
    let expired = with("other", &json!({ "exp": NOW - 100 }));
    for (authorization, body, status, detail) in [
        (expired, "too long a body", 401, "is expired"),
        (
            with("other", &json!({})),
            "too long a body",
            401,
            "sign in again",
        ),
        (
            with("pay", &json!({ "azp": "web" })),
            "",
            401,
            "sign in again",
        ),
        (
            with("other", &strong),
            "too long a body",
            403,
            "lacks scope",
        ),
        (with("pay", &strong), "too long a body", 403, "valid, but"),
        (with("pay", &right), "too long a body", 413, ""),
        (with("pay", &right), "short", 200, "hello"),
    ] {
        let request = format!(
            "POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{authorization}\r\n{body}",
            body.len()
        );
        let response = send(test_bed.address, request);
        assert_eq!(response.status, status, "{detail}");
        assert!(response.text().contains(detail), "{detail}");
    }
    assert_eq!(test_bed.hits(), 1);
}

#[test]
fn sign_in_is_judged_between_the_operation_and_its_scope() {
    let test_bed = TestBed::routes(SIGNED);
    let with = |scope: &str, changed: &Value| authorization(&test_bed, scope, changed);
    let strong = json!({ "acr": "phr", "auth_time": NOW });
    let right = json!({ "acr": "phr", "auth_time": NOW, "azp": "web" });
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
    for (authorization, message, status, detail) in [
        (with("other", &json!({})), "[]", 400, "-32600"),
        (with("other", &json!({})), list, 403, "This operation"),
        (with("other", &json!({})), call, 401, "sign in again"),
        (with("pay", &strong), call, 403, "lacks scope"),
        (with("pay tools", &strong), call, 403, "valid, but"),
        (with("pay tools", &right), call, 200, "hello"),
    ] {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             {authorization}\r\n{message}",
            message.len()
        );
        let response = send(test_bed.address, request);
        assert_eq!(response.status, status, "{message} {detail}");
        assert!(response.text().contains(detail), "{message} {detail}");
        // One challenge names what is missing, the scope of the operation included.
        if status == 401 {
            let challenge = response.challenge().expect("a challenge");
            assert!(challenge.contains("scope=\"pay tools\""), "{challenge}");
        }
    }
    assert_eq!(test_bed.hits(), 1);
}
