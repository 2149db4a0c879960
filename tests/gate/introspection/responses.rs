//! What the server is asked, and what becomes of what it says.

use serde_json::{Value, json};

use super::{INVALID, TestBed, form, inactive};
use harness::{Gateway, Key, NOW, Reply, Server, claims, eventually, get};

#[test]
fn r7_question_is_a_form_that_the_gateway_signs_with_its_name() {
    let test_bed = TestBed::start();
    let token = "a-._~+/0==";
    assert_eq!(test_bed.get(token).status, 200);
    let [question] = &test_bed.questions()[..] else {
        panic!("one question")
    };
    assert_eq!(
        (&*question.method, question.header("accept")),
        ("POST", vec!["application/json"])
    );
    assert_eq!(
        question.header("content-type"),
        ["application/x-www-form-urlencoded"]
    );
    // gateway:of+the+gateway
    assert_eq!(
        question.header("authorization"),
        ["Basic Z2F0ZXdheTpvZit0aGUrZ2F0ZXdheQ=="]
    );
    let told = [("token", token), ("token_type_hint", "access_token")];
    assert_eq!(
        form(question),
        told.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let sent = test_bed.upstream.received();
    assert_eq!(sent[0].header("authorization"), [format!("Bearer {token}")]);
}

#[test]
fn active_token_passes_where_its_scope_suffices() {
    let test_bed = TestBed::start();
    assert_eq!(test_bed.get("good").status, 200);
    test_bed.answers(Reply::json(test_bed.active("write")));
    let answer = test_bed.get("narrow");
    let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"read\"");
    assert_eq!((answer.status, answer.challenge()), (403, challenge));
    for scope in ["re*", "*"] {
        test_bed.answers(Reply::json(test_bed.active(scope)));
        assert_eq!(
            test_bed.get(&format!("wide{}", scope.len())).status,
            200,
            "{scope}"
        );
    }
    assert_eq!(test_bed.hits(), 3);
}

#[test]
fn r8_inactive_token_is_invalid() {
    let test_bed = TestBed::start();
    test_bed.answers(inactive());
    test_bed.assert_refused("revoked", "active: false");
    test_bed.answers(Reply::json(
        json!({ "active": false, "scope": "read", "error": "odd" }),
    ));
    test_bed.assert_refused("revoked-too", "active: false with more");
}

#[test]
fn r11_what_an_answer_says_is_judged_as_claims_are() {
    let test_bed = TestBed::start();
    for (name, value) in [
        ("iss", json!("https://other.test")),
        ("aud", json!("https://other.test")),
        ("aud", json!(["https://other.test", 7])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 31)),
        ("exp", json!((NOW + 600) * 1000)),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(NOW + 31)),
        ("iat", json!(NOW + 31)),
        ("cnf", json!({ "jkt": "x" })),
        ("cnf", json!({ "x5t#S256": "x" })),
        ("token_type", json!("DPoP")),
        ("token_type", json!("refresh_token")),
        ("token_use", json!("id")),
        ("purpose", json!("refresh_token")),
        ("nonce", json!("x")),
    ] {
        let mut answer = test_bed.active("read");
        answer[name] = value.clone();
        test_bed.answers(Reply::json(&answer));
        test_bed.assert_refused(
            &format!("{name}{}", test_bed.questions().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r43_answer_with_values_that_cannot_stand_there_is_the_servers_mistake() {
    let test_bed = TestBed::start();
    for (name, value) in [
        ("iss", json!(7)),
        ("exp", json!("1800000600")),
        ("exp", json!(-1)),
        ("nbf", json!([])),
        ("iat", json!({})),
    ] {
        let mut answer = test_bed.active("read");
        answer[name] = value.clone();
        test_bed.answers(Reply::json(&answer));
        test_bed.assert_unavailable(
            &format!("{name}{}", test_bed.questions().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r19_token_ends_when_it_says_so_itself_whatever_the_server_says() {
    let brief = |test_bed: &TestBed| {
        let mut claims = claims(&test_bed.url, "read");
        claims["exp"] = json!(NOW + 10);
        test_bed.key.token(&claims)
    };
    for validation in ["introspection", "jwks+introspection"] {
        let test_bed = TestBed::with(
            &format!("validation = \"{validation}\"\nleeway = \"0s\""),
            "",
        );
        test_bed.answers(Reply::json(
            json!({ "active": true, "aud": "https://api.test", "scope": "read" }),
        ));
        let token = brief(&test_bed);
        eventually("it passes", || test_bed.get(&token).status == 200);
        test_bed.gateway.at(10);
        let answer = test_bed.get(&token);
        assert_eq!(
            (answer.status, answer.challenge()),
            (401, INVALID),
            "{validation}"
        );
    }
}

#[test]
fn answer_may_leave_out_issuer_and_expiry_and_holds_for_cache_ttl_then() {
    let test_bed = TestBed::with(
        "audience_required = false",
        "cache_ttl = \"10s\"\nrefresh_ahead = false",
    );
    test_bed.answers(Reply::json(json!({ "active": true, "scope": "read" })));
    for (seconds, questions) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3)] {
        test_bed.at(seconds);
        assert_eq!(
            (test_bed.get("bare").status, test_bed.questions().len()),
            (200, questions),
            "at {seconds}"
        );
    }
}

#[test]
fn r10_revoked_token_is_refused_within_cache_ttl_and_expired_one_at_its_expiry() {
    let test_bed = TestBed::with(
        "leeway = \"2s\"",
        "cache_ttl = \"10s\"\nrefresh_ahead = false",
    );
    assert_eq!(
        (test_bed.get("token").status, test_bed.questions().len()),
        (200, 1)
    );
    test_bed.answers(inactive());
    test_bed.at(9);
    assert_eq!(
        (test_bed.get("token").status, test_bed.questions().len()),
        (200, 1),
        "known for cache_ttl"
    );
    test_bed.at(10);
    let answer = test_bed.get("token");
    assert_eq!(
        (
            answer.status,
            answer.challenge(),
            test_bed.questions().len()
        ),
        (401, INVALID, 2)
    );

    let mut brief = test_bed.active("read");
    brief["exp"] = json!(NOW + 13);
    test_bed.answers(Reply::json(brief));
    assert_eq!(test_bed.get("brief").status, 200);
    test_bed.at(14);
    assert_eq!(
        (test_bed.get("brief").status, test_bed.questions().len()),
        (200, 3),
        "within the leeway"
    );
    test_bed.at(15);
    let answer = test_bed.get("brief");
    assert_eq!(
        (
            answer.status,
            answer.challenge(),
            test_bed.questions().len()
        ),
        (401, INVALID, 3),
        "cached or not"
    );
}

#[test]
fn zero_cache_ttl_asks_each_time_and_cache_max_age_bounds_it() {
    let test_bed = TestBed::with("", "cache_ttl = \"0s\"");
    for questions in 1..=3 {
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, questions)
        );
    }
    let test_bed = TestBed::with(
        "cache_max_age = \"5s\"",
        "cache_ttl = \"60s\"\nrefresh_ahead = false",
    );
    for (seconds, questions) in [(0, 1), (4, 1), (5, 2)] {
        test_bed.at(seconds);
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, questions),
            "at {seconds}"
        );
    }
    let test_bed = TestBed::start();
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    test_bed.answers(Reply::answer(200, &headers, test_bed.active("read")));
    for _ in 0..2 {
        // It is meant for caches between server and gateway (RFC 7662 §4), and most servers say it each time.
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, 1),
            "no-store"
        );
    }
}

#[test]
fn refused_token_is_not_asked_about_again_for_negative_ttl() {
    let test_bed = TestBed::with("", "negative_ttl = \"5s\"");
    test_bed.answers(inactive());
    for (seconds, questions) in [(0, 1), (0, 1), (4, 1), (5, 2)] {
        test_bed.at(seconds);
        test_bed.assert_refused("token", "inactive");
        assert_eq!(test_bed.questions().len(), questions, "at {seconds}");
    }
    test_bed.answers(Reply::json(test_bed.active("read")));
    test_bed.at(10);
    assert_eq!(test_bed.get("token").status, 200, "active by now");
}

#[test]
fn jwt_is_asked_about_by_the_issuer_that_it_names() {
    let test_bed = TestBed::start();
    let token = test_bed
        .key
        .token(&claims(&test_bed.url, "nothing that counts"));
    assert_eq!(test_bed.get(&token).status, 200);
    assert_eq!(form(&test_bed.questions()[0])[0].1, token);
    // Another issuer's token is not shown to this one, nor what is no access token.
    test_bed.assert_not_asked(&test_bed.key.token(&claims("https://other.test", "read")));
    // What speaks against itself needs no server to be refused.
    for (name, value) in [
        ("typ", json!("refresh")),
        ("aud", json!("https://other.test")),
        ("exp", json!(NOW - 31)),
        ("cnf", json!({ "jkt": "x" })),
    ] {
        let mut claims = claims(&test_bed.url, "read");
        claims[name] = value;
        test_bed.assert_not_asked(&test_bed.key.token(&claims));
    }
    let header = json!({ "alg": "ES256", "typ": "token-introspection+jwt", "kid": "first" });
    test_bed.assert_not_asked(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
    let header = json!({ "alg": "none" });
    test_bed.assert_not_asked(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
}

#[test]
fn with_keys_and_introspection_a_jwt_must_pass_both() {
    let test_bed = TestBed::with("validation = \"jwks+introspection\"", "");
    test_bed.has_keys();
    let token = |change: fn(&mut Value)| {
        let mut claims = claims(&test_bed.url, "read");
        change(&mut claims);
        test_bed.key.token(&claims)
    };
    eventually("keys", || {
        test_bed
            .get(&token(|claims| claims["jti"] = json!("first")))
            .status
            == 200
    });
    let (asked, hits) = (test_bed.questions().len(), test_bed.hits());

    // What is forged or expired is not asked about.
    test_bed.assert_not_asked(&Key::es256("first").token(&claims(&test_bed.url, "read")));
    test_bed.assert_not_asked(&token(|claims| claims["exp"] = json!(NOW - 31)));
    assert_eq!(test_bed.questions().len(), asked);

    // What is revoked does not pass by its signature.
    test_bed.answers(inactive());
    let answer = test_bed.get(&token(|claims| claims["jti"] = json!("revoked")));
    assert_eq!(
        (answer.status, answer.challenge(), test_bed.hits()),
        (401, INVALID, hits)
    );

    // Nor while nobody can tell whether it is revoked.
    for reply in [
        Reply::status(500),
        Reply::RawThenClose(Vec::new()),
        Reply::json(json!({})),
    ] {
        test_bed.answers(reply.clone());
        test_bed.assert_unavailable(
            &token(|claims| claims["jti"] = json!("unclear")),
            "a signed token whose server fails",
        );
    }

    // The server has the last word on what it names, and the token says the rest.
    test_bed.answers(Reply::json(json!({ "active": true, "scope": "write" })));
    let answer = test_bed.get(&token(|claims| claims["jti"] = json!("narrowed")));
    assert_eq!((answer.status, test_bed.hits()), (403, hits));
    test_bed.answers(Reply::json(json!({ "active": true })));
    assert_eq!(
        test_bed
            .get(&token(|claims| claims["jti"] = json!("plain")))
            .status,
        200
    );
    // It ends when the first of the two does.
    let brief = token(|claims| claims["exp"] = json!(NOW + 20));
    test_bed.answers(Reply::json(json!({ "active": true, "exp": NOW + 500 })));
    assert_eq!(test_bed.get(&brief).status, 200);
    test_bed.at(50);
    assert_eq!(test_bed.get(&brief).status, 401, "exp and 30 s of leeway");
    // Opaque tokens are asked about, too.
    test_bed.answers(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("opaque").status, 200);
}

#[test]
fn r11_routes_of_two_issuers_share_no_facts_about_one_token() {
    let said = |scope: &str| {
        Reply::json(json!({ "active": true, "scope": scope, "aud": "https://api.test" }))
    };
    let (one, other) = (
        Server::start(move |_| said("read")),
        Server::start(|_| inactive()),
    );
    let upstream = Server::start(|_| Reply::text("hello"));
    let issuer = |name: &str, server: &Server| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"https://api.test\"\n\
             validation = \"introspection\"\n[issuers.{name}.introspection]\nendpoint = \"http://{}/ask\"\n\
             authentication = \"none\"\n",
            server.address
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/one\"\nissuers = \"one\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/other\"\nissuers = \"other\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/written\"\nissuers = \"one\"\nscope = \"write\"\nupstream = \"up\"\n",
        issuer("one", &one),
        issuer("other", &other),
        upstream.address
    ));
    for _ in 0..2 {
        assert_eq!(get(gateway.address, "/one", Some("token")).status, 200);
        let answer = get(gateway.address, "/other", Some("token"));
        assert_eq!((answer.status, answer.challenge()), (401, INVALID));
        // The fact is known, and the other route's scope is asked for all the same.
        assert_eq!(get(gateway.address, "/written", Some("token")).status, 403);
    }
    assert_eq!((one.hits(), other.hits(), upstream.hits()), (1, 1, 2));
}

#[test]
fn opaque_tokens_of_two_issuers_of_one_route_are_told_apart_by_their_prefix() {
    let active = |_: &_| Reply::json(json!({ "active": true, "aud": "https://api.test" }));
    let (one, other) = (Server::start(active), Server::start(active));
    let upstream = Server::start(|_| Reply::text("hello"));
    let issuer = |name: &str, server: &Server| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"https://api.test\"\n\
             validation = \"introspection\"\ntoken_prefix = \"{name}_\"\n[issuers.{name}.introspection]\n\
             endpoint = \"http://{}/ask\"\nauthentication = \"none\"\n",
            server.address
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n",
        issuer("one", &one),
        issuer("other", &other),
        upstream.address
    ));
    for (token, status, hits) in [
        ("one_x", 200, (1, 0)),
        ("other_x", 200, (1, 1)),
        ("x", 401, (1, 1)),
        ("on_x", 401, (1, 1)),
    ] {
        assert_eq!(
            get(gateway.address, "/", Some(token)).status,
            status,
            "{token}"
        );
        assert_eq!((one.hits(), other.hits()), hits, "{token}");
    }
}

#[test]
fn prefixes_that_tell_nobody_apart_are_refused_when_the_file_is_loaded() {
    let issuer = |name: &str, prefix: &str| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
             {prefix}\n[issuers.{name}.introspection]\nauthentication = \"none\"\n"
        )
    };
    let faults = |one: &str, other: &str, issuers: &str| {
        let toml = format!(
            "{}{}[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n{issuers}",
            issuer("one", one),
            issuer("other", other)
        );
        let (config, _) = scopegate::config::parse("gateway.toml", &toml)
            .unwrap_or_else(|report| panic!("{report}"));
        let faults = scopegate::gateway::compile(&config)
            .err()
            .unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| fault.key)
            .collect::<Vec<_>>()
    };
    let prefix = |prefix: &str| format!("token_prefix = \"{prefix}\"");
    assert_eq!(faults("", "", ""), ["issuers.other"]);
    assert_eq!(faults("", &prefix("a"), ""), ["issuers.other.token_prefix"]);
    assert_eq!(
        faults(&prefix("a"), &prefix("ab"), ""),
        ["issuers.other.token_prefix"]
    );
    assert_eq!(
        faults(&prefix("ab"), &prefix("ab"), ""),
        ["issuers.other.token_prefix"]
    );
    assert!(faults(&prefix("ab"), &prefix("b"), "").is_empty());
    assert!(faults("", "", "issuers = \"one\"").is_empty());
}

impl TestBed {
    #[track_caller]
    fn assert_not_asked(&self, token: &str) {
        let (questions, hits) = (self.questions().len(), self.hits());
        let answer = self.get(token);
        let found = (
            answer.status,
            answer.challenge(),
            self.questions().len(),
            self.hits(),
        );
        assert_eq!(found, (401, INVALID, questions, hits), "{token}");
    }
}
