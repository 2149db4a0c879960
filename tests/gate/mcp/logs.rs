//! The access log and the metrics know the operation by the patterns of its rule.

use harness::{eventually, send};

use super::{call, post, request, test_bed};

#[test]
fn access_log_and_metrics_name_the_patterns_and_never_the_raw_name() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    for (message, method, name) in [
        (call("delete_s3cret"), "tools/call", Some("delete_*")),
        (call("s3cret"), "tools/*", None),
        (
            request("resources/read", r#"{"uri":"file:///public/s3cret"}"#),
            "resources/read",
            Some("file:///public/*"),
        ),
        (request("ping", "{}"), "ping", None),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/s3cret"}"#.to_owned(),
            "notifications/*",
            None,
        ),
    ] {
        send(test_bed.address, post("/mcp", &token, "", &message));
        let line = test_bed.gateway.requests.lines().pop().expect("a line");
        assert_eq!(line["mcp_method"], method, "{message}");
        assert_eq!(line.get("mcp_name").and_then(|name| name.as_str()), name);
        assert_eq!(line["route"], "/mcp");
        assert!(!line.to_string().contains("s3cret"), "{line}");
    }
    send(test_bed.address, post("/any", &token, "", &call("s3cret")));
    let line = test_bed.gateway.requests.lines().pop().expect("a line");
    assert_eq!(
        (&line["mcp_method"], line.get("mcp_name")),
        (&"*".into(), None)
    );
    eventually("the metrics have them", || {
        let metrics = test_bed.gateway.get_admin("/metrics").text();
        assert!(!metrics.contains("s3cret"));
        metrics.lines().any(|line| {
            line.contains("mcp_method=\"tools/call\"")
                && line.contains("mcp_name=\"delete_*\"")
                && line.contains("reason=\"insufficient_scope\"")
        })
    });
}

#[test]
fn request_that_is_no_operation_is_logged_without_one() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    for message in ["[]", &request("prompts/get", r#"{"name":"x"}"#)] {
        send(test_bed.address, post("/mcp", &token, "", message));
        let line = test_bed.gateway.requests.lines().pop().expect("a line");
        assert_eq!(line.get("mcp_method"), None, "{message}");
    }
}
