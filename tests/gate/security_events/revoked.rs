//! What an event revokes.

use super::*;

#[test]
fn each_event_ends_the_older_tokens_of_its_user_alone() {
    for (number, uri) in [SESSION_REVOKED, DISABLED, CHANGE].into_iter().enumerate() {
        let bed = bed();
        let status = |subject: &str, issued: i64| {
            let token = access_token(&bed.key, &bed.issuer, subject, issued);
            // Twice: the second time, the token is cached.
            let first = bed.get("/a", Some(&token)).status;
            assert_eq!(bed.get("/a", Some(&token)).status, first);
            first
        };
        let cached = access_token(&bed.key, &bed.issuer, "alice", NOW - 100);
        assert_eq!(bed.get("/a", Some(&cached)).status, 200);
        let mut of_alice = claims(&bed.issuer.url, "alice");
        of_alice["jti"] = json!(number.to_string());
        of_alice["events"] = json!({ uri: { "event_timestamp": NOW - 10 } });
        assert_eq!(push(&bed, &event(&bed.key, &of_alice)).status, 202, "{uri}");
        assert_eq!(bed.get("/a", Some(&cached)).status, 401, "{uri}");
        assert_eq!(status("alice", NOW - 10), 401, "{uri}");
        assert_eq!(status("alice", NOW - 9), 200, "{uri}: a new sign-in works");
        assert_eq!(status("bob", NOW - 100), 200, "{uri}");
    }
}

#[test]
fn subject_inside_the_event_and_several_events_count() {
    let bed = bed();
    let url = &bed.issuer.url;
    let of = |subject: &str| json!({ "subject_type": "iss-sub", "iss": url, "sub": subject });
    let mut several = claims(url, "alice");
    several.as_object_mut().expect("an object").remove("sub_id");
    several["events"] = json!({
        DISABLED: { "subject": of("alice"), "reason": "hijacking" },
        SESSION_REVOKED: { "subject": { "user": of("bob"), "session": { "format": "opaque", "id": "1" } } },
        VERIFICATION: {},
    });
    assert_eq!(push(&bed, &event(&bed.key, &several)).status, 202);
    for (subject, status) in [("alice", 401), ("bob", 401), ("carol", 200)] {
        let token = access_token(&bed.key, &bed.issuer, subject, NOW - 1);
        assert_eq!(bed.get("/a", Some(&token)).status, status, "{subject}");
    }
}

#[test]
fn event_that_expired_long_ago_still_counts() {
    let bed = bed();
    let mut expired = claims(&bed.issuer.url, "alice");
    expired["exp"] = json!(NOW - 10_000);
    assert_eq!(push(&bed, &event(&bed.key, &expired)).status, 202);
    let token = access_token(&bed.key, &bed.issuer, "alice", NOW - 1);
    assert_eq!(bed.get("/a", Some(&token)).status, 401);
}

#[test]
fn event_of_one_issuer_revokes_nothing_of_another() {
    let (one, other) = (Key::es256("one"), Key::es256("other"));
    let (first, second) = (Issuer::start(&[&one]), Issuer::start(&[&other]));
    let upstream = harness::Server::start(|_| harness::Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "{PUSH}[issuers.first]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
         [issuers.second]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
        first.url, second.url, upstream.address
    ));
    let token = access_token(&other, &second, "alice", NOW);
    harness::eventually("the JWKS is fetched", || {
        get(gateway.address, "/a", Some(&token)).status == 200
    });
    // Signed by the first, about the second.
    let mut about = claims(&first.url, "alice");
    about["sub_id"]["iss"] = json!(second.url);
    let response = push(&gateway, &event(&one, &about));
    assert_eq!(outcome(&response), (400, "access_denied".to_owned()));
    // In the name of the second, signed by the first.
    let response = push(&gateway, &event(&one, &claims(&second.url, "alice")));
    assert_eq!(response.status, 400);
    assert_eq!(
        push(&gateway, &event(&one, &claims(&first.url, "alice"))).status,
        202
    );
    assert_eq!(get(gateway.address, "/a", Some(&token)).status, 200);
}

#[test]
fn shared_secret_signs_events_where_it_signs_access_tokens() {
    let secret = "a secret of thirty-two bytes, or more";
    let key = Key::hs256(secret.as_bytes());
    let upstream = harness::Server::start(|_| harness::Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "{PUSH}[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"https://api.test\"\n\
         shared_secret = \"{secret}\"\nalgorithms = [\"HS256\"]\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
        upstream.address
    ));
    let token = key.token(&harness::claims("https://id.test", ""));
    assert_eq!(get(gateway.address, "/a", Some(&token)).status, 200);
    let response = push(
        &gateway,
        &event(&key, &claims("https://id.test", "client-1")),
    );
    assert_eq!(response.status, 202, "{}", response.text());
    assert_eq!(get(gateway.address, "/a", Some(&token)).status, 401);
}
