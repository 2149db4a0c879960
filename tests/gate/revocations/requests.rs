//! Requests to `POST /revocations`: whatever is not exactly one revocation changes nothing.

use std::time::{Duration, Instant};

use super::*;
use harness::{Connection, logged};

#[test]
#[expect(clippy::too_many_lines, reason = "one table of bodies")]
fn request_that_is_not_one_revocation_is_refused_and_changes_nothing() {
    let bed = test_bed("");
    let token = bed.token("");
    let iss = &bed.issuer.url;
    let future = NOW + 1;
    let mut claims = bed.issuer.claims("");
    claims["iss"] = json!("https://other.test");
    let foreign = bed.key.token(&claims);
    let cases = [
        (String::new(), "expected one JSON object"),
        ("[]".to_owned(), "expected one JSON object"),
        ("{".to_owned(), "expected one JSON object"),
        ("{}".to_owned(), "expected a string as issuer"),
        (
            format!(r#"{{"issuer":"{iss}"}}"#),
            "or issued_before, but found none",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":"client-1","sub":"x"}}"#),
            "duplicate member",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":"client-1","jti":"1"}}"#),
            "but found jti and sub",
        ),
        (
            format!(r#"{{"issuer":"{iss}","subject":"client-1"}}"#),
            "but found another one",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":7}}"#),
            "as sub, but found something else",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":null}}"#),
            "as sub, but found something else",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":""}}"#),
            "as sub, but found something else",
        ),
        (
            format!(r#"{{"issuer":["{iss}"],"sub":"client-1"}}"#),
            "as issuer",
        ),
        (
            format!(r#"{{"issuer":"{iss}/","sub":"client-1"}}"#),
            "expected the iss of an issuer",
        ),
        (
            r#"{"issuer":"corp","sub":"client-1"}"#.to_owned(),
            "expected the iss of an issuer",
        ),
        (
            format!(r#"{{"issuer":"{iss}","sub":"client-1","issued_before":{future}}}"#),
            "in the past",
        ),
        (
            format!(r#"{{"issuer":"{iss}","issued_before":"{NOW}"}}"#),
            "whole seconds",
        ),
        (
            format!(r#"{{"issuer":"{iss}","issued_before":{NOW}.5}}"#),
            "whole seconds",
        ),
        (
            format!(r#"{{"issuer":"{iss}","issued_before":-1}}"#),
            "whole seconds",
        ),
        (
            format!(r#"{{"issuer":"{iss}","token":"eyJhbGciOiJub25lIn0.e30."}}"#),
            "malformed JWT",
        ),
        // They would revoke nothing, and look as if they had.
        (
            format!(r#"{{"issuer":"{iss}","token":"opaque "}}"#),
            "but found characters that none has",
        ),
        (
            format!(r#"{{"issuer":"{iss}","token":"Bearer {token}"}}"#),
            "but found characters that none has",
        ),
        (
            format!(r#"{{"issuer":"{iss}","token":"{foreign}"}}"#),
            "but found one with another iss",
        ),
    ];
    for (body, expected) in &cases {
        let response = post(&bed.gateway, GOOD, body);
        assert_eq!(response.status, 400, "{body}");
        assert!(
            response.text().contains(expected),
            "{body}: {}",
            response.text()
        );
    }
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    assert_eq!(
        bed.gateway.metric("scopegate_revocation_entries{}"),
        Some(0.0)
    );
}

#[test]
fn only_the_token_of_the_file_revokes() {
    let bed = test_bed("");
    let body = json!({"issuer": bed.issuer.url, "sub": "client-1"}).to_string();
    let json = "Content-Type: application/json\r\n";
    for (authorization, challenge) in [
        ("", "Bearer"),
        (
            "Authorization: Bearer let me in\r\n",
            "Bearer error=\"invalid_token\"",
        ),
        (
            "Authorization: Bearer let m\r\n",
            "Bearer error=\"invalid_token\"",
        ),
        (
            "Authorization: Bearer \r\n",
            "Bearer error=\"invalid_token\"",
        ),
        (
            "Authorization: Basic let me\r\n",
            "Bearer error=\"invalid_token\"",
        ),
        (
            "Authorization: Bearer let me\r\nAuthorization: Bearer let me\r\n",
            "Bearer error=\"invalid_token\"",
        ),
    ] {
        let response = post(&bed.gateway, &format!("{authorization}{json}"), &body);
        assert_eq!(
            (response.status, response.challenge()),
            (401, Some(challenge)),
            "{authorization}"
        );
    }
    let own = bed.token("");
    assert_eq!(bed.get("/a", Some(&own)).status, 200);

    // Without a token in the file nobody revokes, not even from loopback.
    let open = TestBed::toml("[revocations]\n", "", "", ROUTE);
    for lines in [json.to_owned(), GOOD.to_owned()] {
        assert_eq!(post(&open.gateway, &lines, &body).status, 403);
    }
    let without = TestBed::toml(ADMIN, "", "", ROUTE);
    assert_eq!(post(&without.gateway, GOOD, &body).status, 404);
}

#[test]
fn other_methods_media_types_and_large_bodies_are_refused() {
    let bed = test_bed("");
    let response = bed.gateway.get_admin("/revocations");
    assert_eq!(
        (response.status, response.header("Allow")),
        (405, Some("POST"))
    );
    let body = json!({"issuer": bed.issuer.url, "sub": "client-1"}).to_string();
    for media_type in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/json; charset=latin1\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let lines = format!("Authorization: Bearer let me\r\n{media_type}");
        assert_eq!(
            post(&bed.gateway, &lines, &body).status,
            415,
            "{media_type}"
        );
    }
    let large = format!("{{\"issuer\":\"{}\"}}", "a".repeat(21 * 1024));
    assert_eq!(post(&bed.gateway, GOOD, &large).status, 413);
    let utf8 = GOOD.replace("/json", "/json; charset=UTF-8");
    assert_eq!(post(&bed.gateway, &utf8, &body).status, 204);
}

#[test]
fn full_store_responds_507_and_keeps_what_it_has() {
    let top = format!("{ADMIN}[revocations]\nmax_entries = 1\n");
    let bed = TestBed::toml(&top, "", "", ROUTE);
    let token = bed.token("");
    revoke(&bed.gateway, &json!({"issuer": bed.issuer.url, "jti": "1"}));
    let other = json!({"issuer": bed.issuer.url, "jti": "2"}).to_string();
    assert_eq!(post(&bed.gateway, GOOD, &other).status, 507);
    assert_revoked(&bed, &token, "a full store");
    assert_eq!(
        bed.gateway
            .metric("scopegate_revocations_total{outcome=\"full\"}"),
        Some(1.0)
    );
    assert!(
        bed.gateway
            .get_admin("/readyz")
            .text()
            .contains("[!] revocations: 1 of at most 1")
    );
    // It has expired after 24 h, and twice the leeway of 30 s.
    bed.gateway.set_time(24 * 3600 + 60);
    assert_eq!(post(&bed.gateway, GOOD, &other).status, 204);
}

#[test]
fn what_is_revoked_is_in_no_log() {
    let bed = test_bed("");
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "sub": "unmistakable-subject"}),
    );
    let token = bed.key.token(&bed.issuer.claims("unmistakable-scope"));
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "token": token}),
    );
    harness::eventually("it is logged", || logged("tokens revoked"));
    assert!(!logged("unmistakable-subject") && !logged(&token));
}

#[test]
fn slow_body_gets_a_408_and_holds_nothing_up() {
    let bed = test_bed("");
    let mut slow = Connection::open(bed.gateway.admin);
    slow.write(format!(
        "POST /revocations HTTP/1.1\r\nHost: localhost\r\n{GOOD}Content-Length: 100\r\n\r\n{{"
    ));
    let body = json!({"issuer": bed.issuer.url, "jti": "1"});
    revoke(&bed.gateway, &body);
    let began = Instant::now();
    let response = slow.read(false);
    assert_eq!(response.status, 408, "{}", response.text());
    assert!(began.elapsed() < Duration::from_secs(5));
    // Without the token, nothing of a body is waited for.
    let mut stranger = Connection::open(bed.gateway.admin);
    stranger.write("POST /revocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
    assert_eq!(stranger.read(false).status, 401);
    assert_eq!(
        bed.gateway.metric("scopegate_revocation_entries{}"),
        Some(1.0)
    );
}

#[test]
fn page_of_a_browser_and_smuggled_request_revoke_nothing() {
    let bed = test_bed("");
    let token = bed.token("");
    let body = json!({"issuer": bed.issuer.url, "sub": "client-1"}).to_string();
    // What a form or a script can send without asking.
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let lines =
            format!("Origin: https://evil.test\r\nCookie: a=b\r\nContent-Type: {media_type}\r\n");
        assert_eq!(
            post(&bed.gateway, &lines, &body).status,
            401,
            "{media_type}"
        );
    }
    let preflight = "OPTIONS /revocations HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.test\r\n\
                     Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n";
    let preflight = send(bed.gateway.admin, preflight);
    assert_eq!(preflight.status, 405);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
    let smuggled = format!(
        "POST /revocations HTTP/1.1\r\nHost: localhost\r\n{GOOD}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for framing in [
        format!("Content-Length: {}\r\n\r\n", smuggled.len()),
        "Content-Length: 0\r\n\r\n".to_owned(),
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ] {
        let first = "GET /livez HTTP/1.1\r\nHost: localhost\r\n";
        let mut connection = Connection::open(bed.gateway.admin);
        connection.write(format!("{first}{framing}{smuggled}"));
        assert_ne!(connection.read(false).status, 204, "{framing}");
        assert!(
            !connection.reads_until("HTTP/1.1"),
            "one request: {framing}"
        );
    }
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
}
