//! What the transmitter sees: statuses, headers and bodies.

use super::*;

#[test]
fn accepted_event_is_a_202_without_a_body() {
    let bed = bed();
    let response = push(&bed, &event(&bed.key, &claims(&bed.issuer.url, "alice")));
    assert_eq!(response.status, 202, "{}", response.text());
    assert!(response.complete && response.body.is_empty());
    assert_eq!(response.header("content-type"), None);
    assert_eq!(bed.hits(), 0);
    assert_eq!(
        bed.metric(
            "scopegate_security_events_total{event=\"session-revoked\",outcome=\"revoked\"}"
        ),
        Some(1.0)
    );
}

#[test]
fn host_media_type_spelling_and_http_version_do_not_matter() {
    let bed = bed();
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    let length = token.len();
    for (host, media_type) in [
        ("api.test", "application/secevent+jwt"),
        ("other.test:8443", "Application/SecEvent+JWT"),
        ("127.0.0.1", "application/secevent+jwt; charset=utf-8"),
    ] {
        let response = send(
            bed.address,
            format!(
                "POST /events HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\n\
                 Content-Length: {length}\r\n\r\n{token}"
            ),
        );
        assert_eq!(response.status, 202, "{host} {media_type}");
    }
    let chunked = format!(
        "POST /events HTTP/1.1\r\nHost: a\r\nContent-Type: application/secevent+jwt\r\n\
         Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{token}\r\n0\r\n\r\n"
    );
    assert_eq!(send(bed.address, chunked).status, 202);
}

#[test]
fn refused_event_has_the_error_document_of_rfc_8935() {
    let bed = bed();
    let response = push(&bed, "not.a.token");
    assert_eq!(response.status, 400);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("content-language"), Some("en"));
    assert_eq!(response.header("retry-after"), None);
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(body["err"], "invalid_request");
    assert!(
        body["description"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(body.as_object().map(|members| members.len()), Some(2));
}

#[test]
fn only_post_is_allowed_and_the_path_is_exact() {
    let bed = bed();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let mut connection = Connection::open(bed.address);
        let response = connection.ask(format!("{method} /events HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(response.status, 405, "{method}");
        assert_eq!(response.header("allow"), Some("POST"), "{method}");
    }
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    for (path, status) in [
        ("/Events", 404),
        ("/events/", 404),
        ("/events/x", 404),
        ("//events", 400),
        ("/%65vents", 202),
        ("/x/../events", 400),
        ("/events?x=1", 202),
    ] {
        let sent = request(&token).replacen("/events", path, 1);
        assert_eq!(send(bed.address, sent).status, status, "{path}");
    }
    assert_eq!(bed.hits(), 0);
}

#[test]
fn repeated_event_is_accepted_and_changes_nothing() {
    let bed = bed();
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    for repetition in 0..3 {
        assert_eq!(push(&bed, &token).status, 202, "{repetition}");
    }
    // Later, too.
    bed.clock
        .set(scopegate::oauth::UnixTime::from_seconds(NOW + 100));
    assert_eq!(push(&bed, &token).status, 202);
    let count = |outcome: &str| {
        bed.metric(&format!(
            "scopegate_security_events_total{{event=\"session-revoked\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(
        (count("revoked"), count("repeated")),
        (Some(1.0), Some(3.0))
    );
}

#[test]
fn unknown_event_is_accepted_and_revokes_nothing() {
    let bed = bed();
    let mut unknown = claims(&bed.issuer.url, "alice");
    unknown["sub_id"] = json!({ "format": "opaque", "id": "stream-1" });
    unknown["events"] = json!({ VERIFICATION: { "state": "abc" } });
    assert_eq!(push(&bed, &event(&bed.key, &unknown)).status, 202);
    let token = access_token(&bed.key, &bed.issuer, "alice", NOW);
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    let series = "scopegate_security_events_total{event=\"other\",outcome=\"ignored\"}";
    assert_eq!(bed.metric(series), Some(1.0));
}

#[test]
fn access_log_has_the_reason_and_no_token_and_no_subject() {
    let bed = bed();
    let mut wrong = claims(&bed.issuer.url, "alice-of-the-log");
    wrong["aud"] = json!("https://other.test");
    let token = event(&bed.key, &wrong);
    assert_eq!(
        outcome(&push(&bed, &token)),
        (400, "invalid_audience".to_owned())
    );
    let accepted = event(&bed.key, &claims(&bed.issuer.url, "alice-of-the-log"));
    assert_eq!(push(&bed, &accepted).status, 202);
    let line = line_of(&bed, "security_event_invalid_audience");
    assert_eq!(line["issuer"], "corp");
    assert_eq!(line["status"], 400);
    assert!(harness::logged("security event received"));
    for secret in ["alice-of-the-log", &token, &accepted] {
        assert!(!bed.requests.text().contains(secret), "{secret}");
        assert!(!harness::logged(secret), "{secret}");
    }
}

#[test]
fn gateway_without_push_has_no_such_path() {
    let bed = TestBed::toml("[revocations]\n", "", "", ROUTE);
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    assert_eq!(push(&bed, &token).status, 404);
    // A reload adds it.
    let toml = |top: &str| {
        format!(
            "{top}[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
            bed.issuer.url, bed.upstream.address
        )
    };
    bed.reload(&toml(PUSH)).expect("a valid file");
    assert_eq!(push(&bed, &token).status, 202);
    bed.reload(&toml("[revocations]\n")).expect("a valid file");
    assert_eq!(push(&bed, &token).status, 404);
}
