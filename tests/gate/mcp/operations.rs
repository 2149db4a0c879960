//! Which rule applies, and which scopes it requires.

use harness::{TestBed, send};

use super::{call, post, request, test_bed};

#[test]
fn operation_requires_the_scopes_of_the_route_and_of_its_rule() {
    let test_bed = test_bed();
    let read = |uri: &str| request("resources/read", &format!(r#"{{"uri":"{uri}"}}"#));
    for (message, scopes, needed) in [
        (call("add"), "mcp.use", ""),
        (call("add"), "tools.delete", "mcp.use"),
        (call("delete_all"), "mcp.use tools.delete", ""),
        (call("delete_all"), "mcp.use", "mcp.use tools.delete"),
        (call("delete_all"), "tools.delete", "mcp.use tools.delete"),
        (request("tools/list", "{}"), "mcp.use", ""),
        (read("file:///public/a"), "mcp.use files.read", ""),
        (read("file:///public/a"), "mcp.use", "mcp.use files.read"),
        (request("initialize", "{}"), "mcp.use", ""),
        (request("initialize", "{}"), "other", "mcp.use"),
        (request("ping", "{}"), "mcp.use", ""),
        (request("server/discover", "{}"), "mcp.use", ""),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned(),
            "mcp.use",
            "",
        ),
        (
            r#"{"jsonrpc":"2.0","id":4,"result":{}}"#.to_owned(),
            "mcp.use",
            "",
        ),
    ] {
        let before = test_bed.hits();
        let token = test_bed.token(scopes);
        let response = send(test_bed.address, post("/mcp", &token, "", &message));
        if needed.is_empty() {
            assert_eq!(response.status, 200, "{message} {scopes}");
            assert_eq!(test_bed.last().body, message.as_bytes());
            continue;
        }
        assert_eq!(response.status, 403, "{message} {scopes}");
        let challenge = response.challenge().expect("a challenge");
        assert!(
            challenge.contains(&format!("scope=\"{needed}\"")),
            "{message} {scopes}: {challenge}"
        );
        assert!(challenge.contains("error=\"insufficient_scope\""));
        assert_eq!(test_bed.hits(), before);
    }
}

#[test]
fn operation_without_a_rule_is_refused_without_a_challenge() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use tools.delete files.read");
    for message in [
        request("prompts/get", r#"{"name":"x"}"#),
        request("resources/read", r#"{"uri":"file:///secret"}"#),
        request("resources/read", "{}"),
        request("logging/setLevel", "{}"),
        request("Tools/call", r#"{"name":"add"}"#),
        request("tools/", "{}"),
    ] {
        let response = send(test_bed.address, post("/mcp", &token, "", &message));
        assert_eq!(response.status, 403, "{message}");
        assert_eq!(response.challenge(), None);
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        assert!(!response.text().contains("secret"));
    }
    assert_eq!(test_bed.hits(), 0);
    let reasons = test_bed.gateway.requests.lines();
    let reasons = reasons.iter().filter(|line| line["status"] == 403);
    assert!(reasons.clone().count() == 6);
    for line in reasons {
        assert_eq!(line["reason"], "operation_not_allowed");
        assert!(!line.to_string().contains("secret"), "{line}");
    }
}

#[test]
fn route_without_rules_requires_its_scope_for_everything() {
    let test_bed = test_bed();
    for (scopes, status) in [("mcp.use", 200), ("other", 403)] {
        let token = test_bed.token(scopes);
        for message in [call("delete_all"), request("anything", "{}")] {
            let response = send(test_bed.address, post("/any", &token, "", &message));
            assert_eq!(response.status, status, "{message}");
        }
    }
}

#[test]
fn stream_and_end_of_a_session_require_the_scope_of_the_route() {
    let test_bed = test_bed();
    for (scopes, status) in [("mcp.use", 200), ("other", 403)] {
        let token = test_bed.token(scopes);
        for method in ["GET", "DELETE"] {
            let request = format!(
                "{method} /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nMcp-Session-Id: x\r\n\r\n"
            );
            assert_eq!(send(test_bed.address, request).status, status, "{method}");
        }
    }
}

#[test]
fn token_is_checked_before_the_message_and_its_challenge_names_the_scope_of_the_route() {
    let test_bed = test_bed();
    for (token, message) in [("forged", "["), ("forged", &*call("delete_all"))] {
        let response = send(test_bed.address, post("/mcp", token, "", message));
        assert_eq!(response.status, 401);
    }
    let message = call("delete_all");
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    );
    let response = send(test_bed.address, request);
    assert_eq!(response.status, 401);
    assert_eq!(response.challenge(), Some("Bearer scope=\"mcp.use\""));
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn shadow_mode_forwards_operations_without_a_rule_and_refuses_malformed_messages() {
    let test_bed = TestBed::routes(
        "[[routes]]\npath = \"/shadow\"\nscope = \"mcp.use\"\nupstream = \"up\"\nenforce = false\nmcp = {}\n\
         tools = [{ method = \"tools/call\", scope = \"tools\" }]\n",
    );
    let token = test_bed.token("mcp.use");
    for message in [call("add"), request("prompts/get", "{}")] {
        let response = send(test_bed.address, post("/shadow", &token, "", &message));
        assert_eq!(response.status, 200, "{message}");
        assert_eq!(test_bed.last().body, message.as_bytes());
    }
    let response = send(test_bed.address, post("/shadow", &token, "", "[]"));
    assert_eq!(response.status, 400);
}

#[test]
fn public_route_judges_messages_as_well() {
    let test_bed = TestBed::routes(
        "[[routes]]\npath = \"/open\"\npublic = true\nupstream = \"up\"\nmcp = {}\n\
         tools = [{ method = \"tools/list\" }]\n",
    );
    let ask = |message: &str| send(test_bed.address, post("/open", "x", "", message)).status;
    assert_eq!(ask(&request("tools/list", "{}")), 200);
    assert_eq!(ask(&call("add")), 403);
    assert_eq!(ask("{}"), 400);
}

#[test]
fn scope_of_a_rule_may_have_parameters_of_the_path() {
    let test_bed = TestBed::routes(
        "[[routes]]\npath = \"/t/{tenant}\"\nupstream = \"up\"\nmcp = {}\n\
         tools = [{ method = \"tools/call\", scope = \"call.{tenant}\" }]\n",
    );
    let token = test_bed.token("call.one");
    let ask = |path: &str| send(test_bed.address, post(path, &token, "", &call("add")));
    assert_eq!(ask("/t/one").status, 200);
    let response = ask("/t/two");
    assert_eq!(response.status, 403);
    let challenge = response.challenge().expect("a challenge");
    assert!(challenge.contains("scope=\"call.two\""), "{challenge}");
    assert_eq!(ask("/t/a%20b").status, 400);
}
