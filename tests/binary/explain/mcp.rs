//! MCP routes in the report.

use super::*;

const FILE: &str = r#"[issuers.corp]
issuer = "https://id.test"
audience = "https://api.test"
jwks_file = "keys.json"
[upstreams.up]
targets = "http://127.0.0.1:1"
[[routes]]
path = "/mcp"
scope = "mcp.use"
forward_token = "strip"
mcp = {}
upstream = "up"
[[routes.tools]]
method = "tools/call"
name = "delete_*"
scope = "tools.delete"
"#;

fn explained(arguments: &[&str]) -> Value {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    let message = call("delete_s3cret");
    fs::write(folder.path().join("message.json"), message).expect("a file");
    let token = key.token(&json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "client-1", "exp": now() + 600,
        "scope": "mcp.use",
    }));
    let arguments = [&["POST", "/mcp", "--token", &token, "--json"], arguments].concat();
    explain_json(&folder, FILE, &arguments)
}

fn call(tool: &str) -> String {
    let params = json!({ "name": tool });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

#[test]
fn rule_of_an_operation_is_named_by_its_patterns_with_its_scopes() {
    let report = explained(&["--body", &call("delete_s3cret")]);
    assert_eq!(report["reason"], "insufficient_scope");
    let operation = &report["operation"];
    assert_eq!(operation["mcp_method"], "tools/call");
    assert_eq!(operation["mcp_name"], "delete_*");
    assert_eq!(operation["place"], "gateway.toml:14");
    assert_eq!(operation["required_scopes"][0]["scope"], "tools.delete");
    assert_eq!(operation["required_scopes"][0]["met_by"], Value::Null);
    assert!(!report.to_string().contains("s3cret"));
    let head = report["answer"]["head"].as_str().expect("a head");
    assert!(head.contains("scope=\"mcp.use tools.delete\""), "{head}");
}

#[test]
fn operation_without_a_rule_and_one_that_needs_none_differ() {
    let report = explained(&["--body", &call("add")]);
    assert_eq!(report["reason"], "operation_not_allowed");
    assert_eq!(report["operation"], Value::Null);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let report = explained(&["--body", ping]);
    assert_eq!(report["verdict"], "passes", "{report}");
    assert_eq!(report["operation"]["mcp_method"], "ping");
    assert_eq!(report["operation"]["place"], Value::Null);
}

#[test]
fn request_without_its_message_says_how_to_give_it() {
    let report = explained(&[]);
    assert_eq!(report["reason"], "unsupported_media_type");
    let remedy = report["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("--body"), "{remedy}");
    let report = explained(&["--body", "[]"]);
    assert_eq!(
        (&report["reason"], &report["remedy"]),
        (&json!("malformed_message"), &Value::Null)
    );
}

#[test]
fn headers_of_the_sample_are_compared_with_its_body() {
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let report = explained(&["--body", ping, "-H", "Mcp-Method: tools/list"]);
    assert_eq!(report["reason"], "header_mismatch");
    let report = explained(&["--body", ping, "-H", "MCP-Protocol-Version: 1"]);
    assert_eq!(report["reason"], "unsupported_revision");
}
