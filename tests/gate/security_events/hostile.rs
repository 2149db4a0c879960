//! Tokens that revoke nothing.

use harness::Reply;

use super::*;

fn refused(bed: &TestBed, token: &str, expected: &str) {
    let response = push(bed, token);
    assert_eq!(outcome(&response), (400, expected.to_owned()), "{token}");
    assert_eq!(response.header("content-language"), Some("en"));
}

#[test]
fn access_token_is_no_event() {
    let bed = bed();
    let mut both = claims(&bed.issuer.url, "alice");
    both["exp"] = json!(NOW + 600);
    both["scope"] = json!("a");
    for typ in [
        json!("at+jwt"),
        json!("JWT"),
        json!("application/at+jwt"),
        json!(""),
        json!("secevent"),
        json!("logout+jwt"),
    ] {
        let mut header = header(&bed.key);
        header["typ"] = typ;
        refused(&bed, &bed.key.token_with(&header, &both), "invalid_request");
    }
    let mut untyped = header(&bed.key);
    untyped.as_object_mut().expect("an object").remove("typ");
    refused(
        &bed,
        &bed.key.token_with(&untyped, &both),
        "invalid_request",
    );
    // The cached access token of another request, too.
    let access = access_token(&bed.key, &bed.issuer, "alice", NOW);
    let mut connection = Connection::open(bed.address);
    let get = format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {access}\r\n\r\n");
    assert_eq!(connection.ask(get).status, 200);
    assert_eq!(connection.ask(request(&access)).status, 400);
    assert_eq!(bed.get("/a", Some(&access)).status, 200);
}

#[test]
fn prefix_and_letter_case_of_the_type_do_not_matter() {
    let bed = bed();
    for typ in ["application/secevent+jwt", "SECEVENT+JWT"] {
        let mut header = header(&bed.key);
        header["typ"] = json!(typ);
        let token = bed
            .key
            .token_with(&header, &claims(&bed.issuer.url, "alice"));
        assert_eq!(push(&bed, &token).status, 202, "{typ}");
    }
}

#[test]
fn event_is_no_access_token() {
    // Not even where the issuer's access tokens have the type of events.
    for keys in ["", "token_types = [\"at+jwt\", \"secevent+jwt\"]\n"] {
        let bed = TestBed::toml(PUSH, keys, "", ROUTE);
        let mut both = claims(&bed.issuer.url, "alice");
        both["exp"] = json!(NOW + 600);
        both["scope"] = json!("a");
        let token = event(&bed.key, &both);
        assert_eq!(bed.get("/a", Some(&token)).status, 401, "{keys}");
        assert_eq!(push(&bed, &token).status, 202, "{keys}");
        assert_eq!(bed.get("/a", Some(&token)).status, 401, "{keys}");
        assert_eq!(bed.hits(), 0);
    }
}

#[test]
fn wrong_signature_key_and_algorithm_are_refused() {
    let bed = bed();
    let valid = claims(&bed.issuer.url, "alice");
    let token = event(&bed.key, &valid);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let mut flipped = signature.to_owned();
    let replacement = if flipped.starts_with('A') { "B" } else { "A" };
    flipped.replace_range(0..1, replacement);
    refused(
        &bed,
        &format!("{signed}.{flipped}"),
        "authentication_failed",
    );
    refused(&bed, &format!("{signed}."), "authentication_failed");
    // The same kid, another key.
    refused(
        &bed,
        &event(&Key::es256("first"), &valid),
        "authentication_failed",
    );
    refused(&bed, &event(&Key::es256("unknown"), &valid), "invalid_key");
    let shared = Key::hs256(bed.key.jwk()["x"].as_str().expect("a key").as_bytes());
    refused(&bed, &event(&shared, &valid), "invalid_key");
    let mut named = header(&shared);
    named["kid"] = json!("first");
    refused(&bed, &shared.token_with(&named, &valid), "invalid_key");
    let none = r#"{"typ":"secevent+jwt","alg":"none"}"#;
    let unsigned = bed.key.sign(none, &valid.to_string());
    refused(&bed, &unsigned, "authentication_failed");
    let unknown = bed.key.sign(
        r#"{"typ":"secevent+jwt","alg":"ES257"}"#,
        &valid.to_string(),
    );
    refused(&bed, &unknown, "invalid_key");
    let mut critical = header(&bed.key);
    critical["crit"] = json!(["x"]);
    refused(
        &bed,
        &bed.key.token_with(&critical, &valid),
        "invalid_request",
    );
    let access = access_token(&bed.key, &bed.issuer, "alice", NOW);
    assert_eq!(bed.get("/a", Some(&access)).status, 200);
}

#[test]
fn bodies_that_are_no_token_are_refused() {
    let bed = bed();
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    let doubled = format!("{token}.{token}");
    for body in [
        "",
        " ",
        "x",
        "a.b",
        "a.b.c",
        "..",
        &doubled,
        &format!(" {token}"),
        &format!("{token}\n"),
        "{}",
        "\u{fc}",
    ] {
        refused(&bed, body, "invalid_request");
    }
    let mut connection = Connection::open(bed.address);
    connection.write(request("abcd").trim_end_matches("abcd"));
    connection.write([0xff, 0xfe, 0x00, 0x01]);
    assert_eq!(connection.read(false).status, 400);
    let duplicate =
        claims(&bed.issuer.url, "alice")
            .to_string()
            .replacen('{', "{\"jti\":\"x\",", 1);
    refused(
        &bed,
        &bed.key.sign(&header(&bed.key).to_string(), &duplicate),
        "invalid_request",
    );
}

#[test]
fn other_media_types_are_refused() {
    let bed = bed();
    let token = event(&bed.key, &claims(&bed.issuer.url, "alice"));
    let right = "Content-Type: application/secevent+jwt\r\n";
    for lines in [
        "",
        "Content-Type: application/jwt\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/secevent+jwtx\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        &format!("{right}{right}"),
        &format!("{right}Content-Encoding: gzip\r\n"),
    ] {
        let sent = request(&token).replacen(right, lines, 1);
        let response = send(bed.address, sent);
        assert_eq!(
            outcome(&response),
            (400, "invalid_request".to_owned()),
            "{lines}"
        );
    }
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let bed = bed();
    let valid = claims(&bed.issuer.url, "alice");
    for (claim, value, expected) in [
        ("iss", json!("https://evil.test"), "invalid_issuer"),
        (
            "iss",
            json!(format!("{}/", bed.issuer.url)),
            "invalid_issuer",
        ),
        ("iss", json!(1), "invalid_request"),
        ("aud", json!("https://other.test"), "invalid_audience"),
        ("aud", json!([]), "invalid_audience"),
        ("aud", Value::Null, "invalid_audience"),
        ("iat", json!(NOW + 3600), "invalid_request"),
        ("iat", json!(NOW * 1000), "invalid_request"),
        ("toe", json!(NOW + 3600), "invalid_request"),
        ("jti", json!(""), "invalid_request"),
        ("events", json!({}), "invalid_request"),
        (
            "events",
            json!({ SESSION_REVOKED: { "event_timestamp": NOW * 1000 } }),
            "invalid_request",
        ),
        (
            "sub_id",
            json!({ "format": "iss_sub", "iss": "https://evil.test", "sub": "alice" }),
            "access_denied",
        ),
        (
            "sub_id",
            json!({ "format": "email", "email": "a@api.test" }),
            "invalid_request",
        ),
    ] {
        let mut wrong = valid.clone();
        wrong[claim] = value.clone();
        let response = push(&bed, &event(&bed.key, &wrong));
        assert_eq!(
            outcome(&response),
            (400, expected.to_owned()),
            "{claim}: {value}"
        );
    }
    for claim in ["iss", "aud", "iat", "jti", "events", "sub_id"] {
        let mut wrong = valid.clone();
        wrong.as_object_mut().expect("an object").remove(claim);
        refused(&bed, &event(&bed.key, &wrong), "invalid_request");
    }
    let access = access_token(&bed.key, &bed.issuer, "alice", NOW);
    assert_eq!(bed.get("/a", Some(&access)).status, 200);
}

#[test]
fn issuer_without_keys_or_audience_accepts_no_event() {
    let key = Key::es256("first");
    let issuer = Issuer::start(&[&key]);
    let gateway = |keys: &str| {
        Gateway::start(&format!(
            "{PUSH}[issuers.corp]\nissuer = \"{}\"\n{keys}\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{ROUTE}",
            issuer.url
        ))
    };
    let token = event(&key, &claims(&issuer.url, "alice"));
    let any = gateway("audience = \"any\"\n");
    assert_eq!(
        outcome(&push(&any, &token)),
        (400, "access_denied".to_owned())
    );
    let introspected = gateway(&format!(
        "audience = \"https://api.test\"\nvalidation = \"introspection\"\n[issuers.corp.introspection]\n\
         endpoint = \"{}/introspect\"\nclient_id = \"a\"\nclient_secret = \"b\"\n",
        issuer.url
    ));
    assert_eq!(
        outcome(&push(&introspected, &token)),
        (400, "access_denied".to_owned())
    );
}

#[test]
fn missing_keys_are_a_503_until_they_arrive() {
    let key = Key::es256("first");
    let issuer = Issuer::start(&[&key]);
    issuer.fail(Reply::status(500));
    let gateway = Gateway::start(&format!(
        "{PUSH}[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{ROUTE}",
        issuer.url
    ));
    let token = event(&key, &claims(&issuer.url, "alice"));
    let response = push(&gateway, &token);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    issuer.recover();
    eventually("the keys arrive", || push(&gateway, &token).status == 202);
}

#[test]
fn unknown_keys_cost_the_issuer_one_fetch() {
    let bed = bed();
    let before = bed.issuer.fetches();
    for number in 0..50 {
        let stranger = Key::es256(&format!("stranger-{number}"));
        refused(
            &bed,
            &event(&stranger, &claims(&bed.issuer.url, "alice")),
            "invalid_key",
        );
    }
    assert!(bed.issuer.fetches() <= before + 1);
    assert_eq!(get(bed.address, "/a", None).status, 401);
}
