//! MCP routes: the operation of a request, and what it requires.

mod bodies;
mod browsers;
mod headers;
mod logs;
mod messages;
mod operations;
mod trust;

use harness::{Response, TestBed, send};

pub(crate) const ROUTES: &str = r#"
[[routes]]
path = "/mcp"
scope = "mcp.use"
upstream = "up"
mcp = {}
[[routes.tools]]
method = "tools/call"
name = "delete_*"
scope = "mcp.use tools.delete"
[[routes.tools]]
method = "tools/*"
[[routes.tools]]
method = "resources/read"
name = "file:///public/*"
scope = "files.read"

[[routes]]
path = "/any"
scope = "mcp.use"
upstream = "up"
mcp = {}

[[routes]]
path = "/trust"
scope = "mcp.use"
upstream = "up"
mcp = { body = "trust" }
[[routes.tools]]
method = "tools/call"
name = "delete_*"
scope = "tools.delete"
[[routes.tools]]
method = "tools/*"
"#;

fn test_bed() -> TestBed {
    TestBed::routes(ROUTES)
}

/// A POST with this message. `headers` are lines.
fn post(path: &str, token: &str, headers: &str, message: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{message}",
        message.len()
    )
}

/// A request for a method with these params.
pub(crate) fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// A call of a tool.
pub(crate) fn call(tool: &str) -> String {
    request("tools/call", &format!(r#"{{"name":"{tool}"}}"#))
}

/// Sends a message to `/mcp` with a token that the route's scope suffices for.
fn send_message(test_bed: &TestBed, headers: &str, message: &str) -> Response {
    let token = test_bed.token("mcp.use");
    send(test_bed.address, post("/mcp", &token, headers, message))
}

/// The code of a JSON-RPC error, and the `id` beside it.
fn error(response: &Response) -> (i64, serde_json::Value) {
    assert_eq!(response.header("content-type"), Some("application/json"));
    let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body["jsonrpc"], "2.0");
    let code = body["error"]["code"].as_i64().expect("a code");
    (code, body["id"].clone())
}
