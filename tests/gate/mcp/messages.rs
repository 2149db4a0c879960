//! Messages that a server may read in another way than the gateway.

use harness::{Connection, send};

use super::{call, error, post, request, send_message, test_bed};

#[test]
fn message_with_two_readings_is_a_400_and_reaches_nobody() {
    let test_bed = test_bed();
    let good = call("add");
    let params = |params: &str| request("tools/call", params);
    let hostile = [
        format!("[{good}]"),
        format!("[{good},{}]", call("delete_all")),
        format!("{good}{}", call("delete_all")),
        format!("{good}\n{}", call("delete_all")),
        format!("{good}\0"),
        format!("\u{feff}{good}"),
        params(r#"{"name":"add","name":"delete_all"}"#),
        params(r#"{"name":"add","Name":"delete_all"}"#),
        params(r#"{"Name":"delete_all"}"#),
        params(r#"{"name":"add","n\u0061me":"delete_all"}"#),
        params(r#"{"name":["delete_all"]}"#),
        params(r#"{"name":"add\u0000"}"#),
        params(r#"{"__proto__":{"name":"delete_all"}}"#),
        params(r#"["delete_all"]"#),
        good.replace(
            "\"params\"",
            "\"param\u{17f}\":{\"name\":\"delete_all\"},\"params\"",
        ),
        good.replace("\"method\"", "\"method\":\"ping\",\"method\""),
        good.replace("\"method\"", "\"METHOD\":\"ping\",\"method\""),
        good.replace("\"id\":1", "\"id\":1,\"result\":{}"),
        good.replace("\"2.0\"", "\"1.0\""),
        good.replace("\"id\":1", "\"id\":null"),
        good.replace("\"id\":1", "\"id\":1.5"),
        good.replace("tools/call", "response"),
        params(&format!(
            r#"{{"name":"add","arguments":{}{}}}"#,
            "[".repeat(63),
            "]".repeat(63)
        )),
        params(r#"{"name":"add",}"#),
        params(r#"{"name":"add"/**/}"#),
        "{}".to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    for message in &hostile {
        let response = send_message(&test_bed, "", message);
        assert_eq!(response.status, 400, "{message}");
        let (code, id) = error(&response);
        assert!([-32600, -32700].contains(&code), "{message}: {code}");
        assert_eq!(id, serde_json::Value::Null);
    }
    assert_eq!(test_bed.hits(), 0);
    let lines = test_bed.gateway.requests.lines();
    let refused = lines.iter().filter(|line| line["status"] == 400);
    assert_eq!(refused.clone().count(), hostile.len());
    for line in refused {
        assert_eq!(line["reason"], "malformed_message");
        assert!(!line.to_string().contains("delete_all"), "{line}");
    }
}

#[test]
fn escaped_name_is_judged_as_what_it_stands_for() {
    let test_bed = test_bed();
    let message = call(r"\u0064elete_all");
    let response = send_message(&test_bed, "", &message);
    assert_eq!(response.status, 403);
    let token = test_bed.token("mcp.use tools.delete");
    let response = send(test_bed.address, post("/mcp", &token, "", &message));
    assert_eq!(response.status, 200);
    // As it came.
    assert_eq!(test_bed.last().body, message.as_bytes());
}

#[test]
fn bytes_outside_utf8_are_a_400() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let utf16: Vec<u8> = call("add")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let overlong = [&b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xC1\xB0ing\"}"[..]].concat();
    for body in [utf16, overlong] {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let response = send(test_bed.address, [head.as_bytes(), &body].concat());
        assert_eq!(response.status, 400);
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn body_that_says_it_is_something_else_is_a_415() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = call("add");
    for lines in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json; charset=utf-7\r\n",
        "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: application/json; charset=utf-8; charset=utf-7\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json; charset=utf-7\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        "Content-Type: application/json\r\nContent-Encoding: identity\r\n",
    ] {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}Content-Length: {}\r\n\r\n{message}",
            message.len()
        );
        let response = send(test_bed.address, request);
        assert_eq!(
            (response.status, response.challenge()),
            (415, None),
            "{lines}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
    let line = test_bed.gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "unsupported_media_type");
    let typed = "Content-Type: application/json; charset=UTF-8\r\n";
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{typed}Content-Length: {}\r\n\r\n{message}",
        message.len()
    );
    assert_eq!(send(test_bed.address, request).status, 200);
}

#[test]
fn other_spellings_of_content_headers_do_not_reach_the_server() {
    let test_bed = test_bed();
    let lines = "Content_Type: application/json; charset=utf-7\r\ncontent.encoding: gzip\r\n";
    assert_eq!(send_message(&test_bed, lines, &call("add")).status, 200);
    let last = test_bed.last();
    let kept = last
        .headers
        .iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("content"));
    let kept: Vec<_> = kept.map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(kept, ["content-type", "content-length"]);
}

#[test]
fn method_that_servers_may_take_for_a_post_is_judged_as_one() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    for method in ["PUT", "PATCH", "QUERY"] {
        let request = post("/mcp", &token, "", &call("delete_all")).replacen("POST", method, 1);
        assert_eq!(send(test_bed.address, request).status, 403, "{method}");
    }
    for method in ["GET", "DELETE", "OPTIONS"] {
        let lines = "X-HTTP-Method-Override: POST\r\n";
        let request = post("/mcp", &token, lines, &call("delete_all")).replacen("POST", method, 1);
        assert_eq!(send(test_bed.address, request).status, 400, "{method}");
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn connection_serves_on_after_a_refused_message() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let mut connection = Connection::open(test_bed.address);
    for (message, status) in [
        ("[]", 400),
        (&*call("delete_all"), 403),
        (&*request("prompts/list", "{}"), 403),
        (&*call("add"), 200),
    ] {
        let chunked = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{message}\r\n0\r\n\r\n",
            message.len()
        );
        let response = connection.ask(chunked);
        assert_eq!(response.status, status, "{message}");
        assert_eq!(response.header("connection"), None, "{message}");
    }
}
