//! `body = "trust"`: the headers alone decide.

use harness::{Response, TestBed, send};

use super::{call, error, post, test_bed};

fn ask(test_bed: &TestBed, scope: &str, headers: &str, body: &str) -> Response {
    let token = test_bed.token(scope);
    send(test_bed.address, post("/trust", &token, headers, body))
}

const NEW: &str = "MCP-Protocol-Version: 2026-07-28\r\n";

#[test]
fn headers_decide_and_the_body_is_not_read() {
    let test_bed = test_bed();
    let delete = format!("{NEW}Mcp-Method: tools/call\r\nMcp-Name: delete_all\r\n");
    assert_eq!(
        ask(&test_bed, "mcp.use tools.delete", &delete, "no JSON").status,
        200
    );
    assert_eq!(test_bed.last().body, b"no JSON");
    let response = ask(&test_bed, "mcp.use", &delete, "{}");
    assert_eq!(response.status, 403);
    let challenge = response.challenge().expect("a challenge");
    assert!(challenge.contains("scope=\"mcp.use tools.delete\""));
    let encoded = delete.replace("delete_all", "=?base64?ZGVsZXRlX2FsbA==?=");
    assert_eq!(ask(&test_bed, "mcp.use", &encoded, "{}").status, 403);
    let list = format!("{NEW}Mcp-Method: tools/list\r\n");
    assert_eq!(ask(&test_bed, "mcp.use", &list, "{}").status, 200);
    let other = format!("{NEW}Mcp-Method: prompts/list\r\n");
    let response = ask(&test_bed, "mcp.use", &other, "{}");
    assert_eq!((response.status, response.challenge()), (403, None));
}

#[test]
fn revision_without_mirrored_headers_is_refused() {
    let test_bed = test_bed();
    for version in [
        "",
        "MCP-Protocol-Version: 2025-03-26\r\n",
        "MCP-Protocol-Version: 2025-11-25\r\n",
        "MCP-Protocol-Version: 2099-01-01\r\n",
    ] {
        let lines = format!("{version}Mcp-Method: tools/call\r\nMcp-Name: add\r\n");
        let response = ask(&test_bed, "mcp.use", &lines, &call("add"));
        assert_eq!(response.status, 400, "{version}");
        assert_eq!(error(&response), (-32022, serde_json::Value::Null));
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn missing_and_doubled_headers_are_a_header_mismatch() {
    let test_bed = test_bed();
    for lines in [
        "",
        "Mcp-Name: add\r\n",
        "Mcp-Method: tools/call\r\n",
        "Mcp-Method: tools/call\r\nMcp-Method: tools/list\r\nMcp-Name: add\r\n",
        "Mcp-Method: tools/call\r\nMcp-Name: add\r\nMcp-Name: delete_all\r\n",
        "Mcp-Method: response\r\n",
        "Mcp_Method: tools/list\r\n",
    ] {
        let response = ask(&test_bed, "mcp.use", &format!("{NEW}{lines}"), &call("add"));
        assert_eq!(response.status, 400, "{lines}");
        assert_eq!(error(&response).0, -32020, "{lines}");
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn method_without_a_message_has_neither_a_body_nor_an_operation() {
    let test_bed = test_bed();
    for (path, method) in [("/trust", "DELETE"), ("/trust", "GET"), ("/mcp", "DELETE")] {
        for (lines, body, expected) in [
            ("", "", 200),
            ("", "{}", 400),
            ("Mcp-Method: tools/call\r\n", "", 400),
            ("Mcp-Name: delete_all\r\n", "", 400),
        ] {
            let lines = format!("{NEW}{lines}");
            let token = test_bed.token("mcp.use");
            let request = post(path, &token, &lines, body).replacen("POST", method, 1);
            let found = send(test_bed.address, request).status;
            assert_eq!(found, expected, "{method} {path} {lines} {body}");
        }
    }
}

#[test]
fn spelling_that_is_not_judged_does_not_reach_the_server() {
    let test_bed = test_bed();
    let lines = format!(
        "{NEW}Mcp-Method: tools/list\r\nMcp_Method: tools/call\r\nMCP.NAME: delete_all\r\n"
    );
    assert_eq!(ask(&test_bed, "mcp.use", &lines, "{}").status, 200);
    let last = test_bed.last();
    let mirrored = last
        .headers
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("mcp"));
    assert_eq!(mirrored.count(), 2, "{:?}", last.headers);
}
