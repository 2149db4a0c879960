//! Headers that mirror the message.

use harness::send;

use super::{call, error, post, request, send_message, test_bed};

const NEW: &str = "MCP-Protocol-Version: 2026-07-28\r\n";

#[test]
fn header_that_differs_from_the_message_is_a_header_mismatch_in_every_revision() {
    let test_bed = test_bed();
    let message = call("add").replace("\"id\":1", "\"id\":\"x7\"");
    for version in [
        "",
        "MCP-Protocol-Version: 2025-03-26\r\n",
        "MCP-Protocol-Version: 2025-06-18\r\n",
        "MCP-Protocol-Version: 2025-11-25\r\n",
        NEW,
    ] {
        let good = format!("{version}Mcp-Method: tools/call\r\nMcp-Name: add\r\n");
        assert_eq!(
            send_message(&test_bed, &good, &message).status,
            200,
            "{version}"
        );
        let encoded = format!("{version}Mcp-Method: tools/call\r\nMcp-Name: =?base64?YWRk?=\r\n");
        assert_eq!(
            send_message(&test_bed, &encoded, &message).status,
            200,
            "{version}"
        );
        let before = test_bed.hits();
        for lines in [
            "Mcp-Method: tools/list\r\nMcp-Name: add\r\n",
            "Mcp-Method: Tools/Call\r\nMcp-Name: add\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: delete_all\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: =?base64?ZGVsZXRlX2FsbA==?=\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: =?base64?YWRk\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: =?base64?%%%?=\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: =?base64?/w==?=\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: \u{e9}\r\n",
            "Mcp-Method: tools/call\r\nMcp-Name: add\r\nMcp-Name: add\r\n",
            "Mcp-Method: tools/call\r\nMcp-Method: tools/call\r\nMcp-Name: add\r\n",
            "Mcp-Method: \r\nMcp-Name: add\r\n",
        ] {
            let response = send_message(&test_bed, &format!("{version}{lines}"), &message);
            assert_eq!(response.status, 400, "{version}{lines}");
            assert_eq!(error(&response), (-32020, "x7".into()), "{lines}");
        }
        assert_eq!(test_bed.hits(), before);
    }
    let line = test_bed.gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "header_mismatch");
}

#[test]
fn headers_are_required_from_the_revision_that_has_them() {
    let test_bed = test_bed();
    for (lines, message, status) in [
        (NEW, call("add"), 400),
        ("Mcp-Method: tools/call\r\n", call("add"), 400),
        ("Mcp-Name: add\r\n", call("add"), 400),
        (
            "Mcp-Method: tools/list\r\n",
            request("tools/list", "{}"),
            200,
        ),
        (
            "",
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned(),
            200,
        ),
        (
            "Mcp-Method: notifications/x\r\n",
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned(),
            200,
        ),
        (
            "Mcp-Method: notifications/y\r\n",
            r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned(),
            400,
        ),
    ] {
        let lines = if lines == NEW {
            lines.to_owned()
        } else {
            format!("{NEW}{lines}")
        };
        let response = send_message(&test_bed, &lines, &message);
        assert_eq!(response.status, status, "{lines}{message}");
    }
}

#[test]
fn response_to_an_unknown_revision_names_the_known_ones() {
    let test_bed = test_bed();
    for version in [
        "2024-11-05",
        "2027-01-01",
        "latest",
        "2026-07-28, 2025-03-26",
    ] {
        let lines = format!("MCP-Protocol-Version: {version}\r\n");
        let response = send_message(&test_bed, &lines, &call("add"));
        assert_eq!(response.status, 400, "{version}");
        assert_eq!(error(&response), (-32022, 1.into()));
        let body: serde_json::Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(
            body["error"]["data"]["supported"],
            serde_json::json!(["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
        );
        let token = test_bed.token("mcp.use");
        let get =
            format!("GET /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n");
        assert_eq!(send(test_bed.address, get).status, 400);
    }
    assert_eq!(test_bed.hits(), 0);
    let line = test_bed.gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "unsupported_revision");
}

#[test]
fn revision_of_the_message_must_be_that_of_the_header() {
    let test_bed = test_bed();
    let with = |version: &str| {
        request(
            "tools/list",
            &format!(r#"{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}"}}}}"#),
        )
    };
    let method = "Mcp-Method: tools/list\r\n";
    let lines = format!("{NEW}{method}");
    assert_eq!(
        send_message(&test_bed, &lines, &with("2026-07-28")).status,
        200
    );
    for (lines, version) in [
        (&*lines, "2025-11-25"),
        (method, "2026-07-28"),
        ("MCP-Protocol-Version: 2025-11-25\r\n", "2026-07-28"),
    ] {
        let response = send_message(&test_bed, lines, &with(version));
        assert_eq!(error(&response), (-32020, 1.into()), "{lines}{version}");
    }
}

#[test]
fn other_spellings_of_mirrored_headers_do_not_reach_the_server() {
    let test_bed = test_bed();
    let lines = "Mcp_Method: tools/list\r\nmcp.name: delete_all\r\nMCP_PROTOCOL_VERSION: 1\r\nMcp-Session-Id: s\r\n";
    assert_eq!(send_message(&test_bed, lines, &call("add")).status, 200);
    let last = test_bed.last();
    let mirrored = last
        .headers
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("mcp"));
    let mirrored: Vec<_> = mirrored.map(|(_, value)| &**value).collect();
    assert_eq!(mirrored, ["s"]);
}

#[test]
fn connection_cannot_remove_a_mirrored_header() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    for name in ["Mcp-Method", "mcp-name", "MCP-Protocol-Version"] {
        let lines =
            format!("{NEW}Mcp-Method: tools/call\r\nMcp-Name: add\r\nConnection: {name}\r\n");
        for path in ["/mcp", "/trust"] {
            let request = post(path, &token, &lines, &call("add"));
            assert_eq!(send(test_bed.address, request).status, 400, "{path} {name}");
        }
    }
    assert_eq!(test_bed.hits(), 0);
}
