//! When a request counts, and in what.

use harness::{Key, TestBed, send};
use serde_json::json;

use super::{SLOW, fields, passed, state, token};

const CORS: &str = "[cors]\norigins = \"https://app.example.com\"\n";

fn test_bed() -> TestBed {
    TestBed::toml(
        CORS,
        "",
        "",
        &format!(
            "[limits.client]\n{SLOW}[limits.open]\nrequests = 100\nper = \"1h\"\nburst = 5\nkey = \"address\"\n\
             [[routes]]\npath = \"/client\"\nscope = \"read\"\nlimit = \"client\"\nupstream = \"up\"\n\
             [[routes]]\npath = \"/open\"\nscope = \"read\"\nlimit = \"open\"\nupstream = \"up\"\n\
             [[routes]]\npath = \"/both\"\nscope = \"read\"\nlimit = [\"client\", \"open\"]\nupstream = \"up\"\n\
             [[routes]]\npath = \"/shadow\"\nscope = \"admin\"\nenforce = false\nlimit = \"client\"\nupstream = \"up\"\n"
        ),
    )
}

fn client(test_bed: &TestBed, id: &str) -> String {
    token(test_bed, json!({ "client_id": id }))
}

#[test]
fn forged_tokens_spend_nobodys_quota() {
    let test_bed = test_bed();
    let mut claims = test_bed.issuer.claims("read");
    claims["client_id"] = json!("one");
    let forged = Key::es256("first").token(&claims);
    claims["exp"] = json!(1);
    let expired = test_bed.key.token(&claims);
    for token in [&*forged, &expired, "x", ""] {
        for _ in 0..5 {
            let response = test_bed.get("/client", Some(token).filter(|token| !token.is_empty()));
            assert_eq!(response.status, 401);
            assert_eq!(fields(&response), ("", ""));
        }
    }
    assert_eq!(
        passed(&test_bed, 4, "/client", &client(&test_bed, "one")),
        3
    );
}

#[test]
fn forbidden_requests_count() {
    let test_bed = test_bed();
    let weak = token(&test_bed, json!({ "client_id": "one", "scope": "other" }));
    for remaining in [2, 1, 0] {
        let response = test_bed.get("/client", Some(&weak));
        assert_eq!(response.status, 403);
        assert_eq!(state(&response).0, remaining);
    }
    assert_eq!(test_bed.get("/client", Some(&weak)).status, 429);
    assert_eq!(
        passed(&test_bed, 1, "/client", &client(&test_bed, "one")),
        0
    );
    assert_eq!(
        passed(&test_bed, 1, "/client", &client(&test_bed, "two")),
        1
    );
}

#[test]
fn limit_by_address_counts_before_the_token() {
    let test_bed = test_bed();
    let statuses = (0..7).map(|_| test_bed.get("/open", Some("forged")).status);
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [401, 401, 401, 401, 401, 429, 429]
    );
    assert_eq!(test_bed.get("/open", None).status, 429);
    // It is refused without a look at its token, so a good one does not help.
    assert_eq!(passed(&test_bed, 1, "/open", &client(&test_bed, "one")), 0);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn refusal_by_one_limit_spends_no_other() {
    let test_bed = test_bed();
    // The client has three requests, its address five.
    let one = client(&test_bed, "one");
    let responses: Vec<_> = (0..9).map(|_| test_bed.get("/both", Some(&one))).collect();
    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429, 429, 429, 429]);
    let policies =
        "\"open\";q=100;w=3600;scopegate-burst=5, \"client\";q=100;w=3600;scopegate-burst=3";
    for response in &responses {
        assert_eq!(fields(response).1, policies);
    }
    assert_eq!(
        fields(&responses[0]).0,
        "\"open\";r=4;t=36, \"client\";r=2;t=36"
    );
    assert!(
        fields(&responses[8]).0.starts_with("\"open\";r=2;"),
        "{:?}",
        fields(&responses[8])
    );
    assert!(
        responses[8]
            .text()
            .contains("\"violated-policies\":[\"client\"]")
    );
    let two = client(&test_bed, "two");
    assert_eq!(passed(&test_bed, 3, "/both", &two), 2);
    // What the address refused, the client did not spend.
    assert_eq!(passed(&test_bed, 2, "/client", &two), 1);
    assert_eq!(test_bed.hits(), 6);
}

#[test]
fn limit_holds_in_shadow_mode_for_requests_with_a_valid_token() {
    let test_bed = test_bed();
    let token = client(&test_bed, "one");
    let statuses = (0..5).map(|_| test_bed.get("/shadow", Some(&token)).status);
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 200, 200, 429, 429]);
    // Without a valid token there is no client to count.
    for token in [None, Some("forged")] {
        assert_eq!(test_bed.get("/shadow", token).status, 200);
    }
}

#[test]
fn preflights_count_nowhere_and_scripts_can_read_a_429() {
    let test_bed = test_bed();
    let origin = "Host: a\r\nOrigin: https://app.example.com\r\n";
    for _ in 0..8 {
        let head =
            format!("OPTIONS /open HTTP/1.1\r\n{origin}Access-Control-Request-Method: GET\r\n\r\n");
        let response = send(test_bed.address, head);
        assert_eq!((response.status, fields(&response)), (204, ("", "")));
    }
    assert_eq!(passed(&test_bed, 5, "/open", &client(&test_bed, "one")), 5);
    let response = send(
        test_bed.address,
        format!("GET /open HTTP/1.1\r\n{origin}\r\n"),
    );
    assert_eq!(response.status, 429);
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    let exposed = response
        .header("access-control-expose-headers")
        .expect("a list");
    for name in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
        assert!(exposed.contains(name), "{exposed}");
    }
}
