use std::sync::Arc;

use http::HeaderValue;
use http::header::ORIGIN;
use serde_json::{Value, json};

use super::*;

fn policy(judged_by: JudgedBy, methods: &[&str]) -> McpPolicy {
    let rule = |(index, method): (usize, &&str)| OperationRule {
        label: Arc::new(OperationLabel {
            method: (*method).into(),
            name: None,
        }),
        scope: None,
        source: RuleSource::File(index),
    };
    McpPolicy {
        judged_by,
        origins: OriginList::default(),
        rules: OperationRules::new(methods.iter().enumerate().map(rule).collect()),
    }
}

fn headers(written: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

const JSON: (&str, &str) = ("content-type", "application/json");
const NEW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"add"}}"#;

fn judged(written: &[(&'static str, &'static str)], body: &[u8]) -> Result<usize, McpFault> {
    let policy = policy(JudgedBy::Message, &["tools/list", "tools/call"]);
    let headers = headers(written);
    let judged = policy.judge_message(&Method::POST, &headers, body)?;
    Ok(judged.expect("an operation").0)
}

fn response(fault: &McpFault) -> Value {
    serde_json::from_str(&fault.response().expect("a response")).expect("JSON")
}

#[test]
fn response_names_the_id_of_the_message_and_what_is_supported() {
    assert_eq!(judged(&[JSON], CALL), Ok(1));
    let fault = judged(&[JSON, ("mcp-method", "tools/list")], CALL).expect_err("a mismatch");
    let body = response(&fault);
    assert_eq!(body["error"]["code"], -32020);
    assert_eq!(
        (&body["id"], &body["jsonrpc"]),
        (&json!("7"), &json!("2.0"))
    );
    let fault = judged(&[JSON, ("mcp-protocol-version", "1")], CALL).expect_err("unknown");
    assert_eq!(
        response(&fault),
        json!({"jsonrpc": "2.0", "id": "7", "error": {
            "code": -32022,
            "message": "Unsupported protocol version",
            "data": {
                "supported": ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"],
                "requested": "1",
            },
        }})
    );
    let fault = judged(&[JSON], b"[").expect_err("a batch");
    assert_eq!(response(&fault)["error"]["code"], -32600);
    let fault = judged(&[JSON], b"{").expect_err("no JSON");
    assert_eq!(response(&fault)["error"]["code"], -32700);
    assert_eq!(response(&fault)["id"], Value::Null);
    let other = br#"{"jsonrpc":"2.0","id":7,"method":"prompts/get"}"#;
    let fault = judged(&[JSON], other).expect_err("no rule");
    assert_eq!(fault.error, McpError::NoRule("\"prompts/get\"".to_owned()));
    assert_eq!(fault.response(), None);
    let fault = judged(&[], CALL).expect_err("no type");
    assert_eq!(fault.error, McpError::MediaType(MediaTypeError::Type));
}

#[test]
fn methods_without_message_have_no_body() {
    let policy = policy(JudgedBy::Message, &["tools/call"]);
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        let judge =
            |written: &[_], body: &[u8]| policy.judge_message(&method, &headers(written), body);
        assert_eq!(judge(&[], b""), Ok(None), "{method}");
        assert!(judge(&[JSON], CALL).is_err(), "{method}");
        assert!(judge(&[("mcp-protocol-version", "1")], b"").is_err());
    }
    // What a server may take for a POST is judged as one.
    for method in ["POST", "PUT", "PATCH", "QUERY", "get"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        assert!(
            policy
                .judge_message(&method, &headers(&[JSON]), b"")
                .is_err()
        );
        assert!(
            policy
                .judge_message(&method, &headers(&[JSON]), CALL)
                .is_ok()
        );
    }
}

#[test]
fn headers_alone_are_judged_only_in_revisions_that_have_them() {
    let policy = policy(JudgedBy::Headers, &["tools/list", "tools/call"]);
    let judge = |method: Method, written: &[_]| {
        let judged = policy.judge_headers(&method, &headers(written), false);
        judged.map(|found| found.map(|(index, _)| index))
    };
    let call = ("mcp-method", "tools/call");
    let name = ("mcp-name", "add");
    assert_eq!(judge(Method::POST, &[NEW, call, name]), Ok(Some(1)));
    let list = ("mcp-method", "tools/list");
    assert_eq!(judge(Method::POST, &[NEW, list]), Ok(Some(0)));
    for written in [
        &[call, name][..],
        &[("mcp-protocol-version", "2025-11-25"), call, name],
        &[NEW],
        &[NEW, call],
        &[NEW, name],
        &[NEW, call, call, name],
        &[NEW, ("mcp-method", "response")],
        &[NEW, ("mcp-method", "prompts/list")],
    ] {
        assert!(judge(Method::POST, written).is_err(), "{written:?}");
    }
    let fault = judge(Method::GET, &[]).expect_err("an older revision");
    let data = response(&fault)["error"]["data"].clone();
    assert_eq!(
        data,
        json!({"supported": ["2026-07-28"], "requested": "2025-03-26"})
    );
    assert_eq!(judge(Method::GET, &[NEW]), Ok(None));
}

#[test]
fn origin_that_is_not_listed_is_not_allowed() {
    let mut policy = policy(JudgedBy::Message, &[]);
    let allows = |policy: &McpPolicy, origins: &[&'static str]| {
        let written: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
        policy.allows_origin(&headers(&written))
    };
    assert!(allows(&policy, &[]));
    assert!(!allows(&policy, &["https://agent.example"]));
    let listed = ["https://agent.example"].into_iter();
    policy.origins = OriginList::parse(listed).expect("an origin");
    assert!(allows(&policy, &[]));
    assert!(allows(&policy, &["https://agent.example"]));
    for foreign in [
        &["null"][..],
        &[""],
        &["http://agent.example"],
        &["https://agent.example.evil.test"],
        &["https://agent.example", "https://agent.example"],
    ] {
        assert!(!allows(&policy, foreign), "{foreign:?}");
    }
    assert_eq!(ORIGIN, "origin");
}
