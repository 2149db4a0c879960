//! Which tokens a revocation is about.

use super::*;
use harness::{Key, Reply, Server, claims, eventually, get};

#[test]
fn each_selector_revokes_its_tokens_and_no_other() {
    for (name, value) in [
        ("jti", "1"),
        ("sub", "client-1"),
        ("client_id", "client-1"),
        ("sid", "session"),
    ] {
        let bed = test_bed("");
        let mut mine = bed.issuer.claims("");
        mine["sid"] = json!("session");
        let mut others = mine.clone();
        others[name] = json!(format!("{value}x"));
        let [mine, others] = [mine, others].map(|claims| bed.key.token(&claims));
        for token in [&mine, &others] {
            assert_eq!(bed.get("/a", Some(token)).status, 200, "{name}");
        }
        revoke(
            &bed.gateway,
            &json!({"issuer": bed.issuer.url, name: value}),
        );
        assert_revoked(&bed, &mine, name);
        assert_revoked(&bed, &mine, "again");
        assert_eq!(bed.get("/a", Some(&others)).status, 200, "{name}");
    }
}

#[test]
fn tokens_issued_until_the_revocation_are_refused_and_later_ones_pass() {
    for skew in [0, 5] {
        let bed = test_bed(&format!("revocation_skew = \"{skew}s\""));
        let issued = |at: i64| {
            let mut claims = bed.issuer.claims("");
            claims["iat"] = json!(at);
            bed.key.token(&claims)
        };
        revoke(
            &bed.gateway,
            &json!({"issuer": bed.issuer.url, "sub": "client-1", "issued_before": NOW - 10}),
        );
        for at in [0, NOW - 11, NOW - 10, NOW - 10 + skew] {
            if at > NOW - 3600 {
                assert_revoked(&bed, &issued(at), "issued before");
            }
        }
        assert_eq!(bed.get("/a", Some(&issued(NOW - 9 + skew))).status, 200);
        // One token is revoked whenever it was issued.
        revoke(
            &bed.gateway,
            &json!({"issuer": bed.issuer.url, "jti": "1", "issued_before": NOW - 100}),
        );
        assert_revoked(&bed, &issued(NOW - 9 + skew), "by jti");
    }
}

#[test]
fn issued_before_alone_revokes_all_tokens_of_the_issuer() {
    let bed = test_bed("");
    let token = bed.token("");
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "issued_before": NOW}),
    );
    assert_revoked(&bed, &token, "all");
    bed.gateway.set_time(1);
    let mut claims = bed.issuer.claims("");
    claims["iat"] = json!(NOW + 1);
    assert_eq!(bed.get("/a", Some(&bed.key.token(&claims))).status, 200);
}

#[test]
fn client_is_the_first_of_four_claims() {
    for (index, name) in ["client_id", "azp", "cid", "appid"].into_iter().enumerate() {
        let bed = test_bed("");
        let mut claims = bed.issuer.claims("");
        claims
            .as_object_mut()
            .expect("an object")
            .remove("client_id");
        for later in ["appid", "cid", "azp", "client_id"]
            .into_iter()
            .take(3 - index)
        {
            claims[later] = json!("another");
        }
        claims[name] = json!("the client");
        let token = bed.key.token(&claims);
        revoke(
            &bed.gateway,
            &json!({"issuer": bed.issuer.url, "client_id": "another"}),
        );
        assert_eq!(bed.get("/a", Some(&token)).status, 200, "{name}");
        revoke(
            &bed.gateway,
            &json!({"issuer": bed.issuer.url, "client_id": "the client"}),
        );
        assert_revoked(&bed, &token, name);
    }
}

#[test]
fn another_signature_of_a_revoked_token_does_not_help() {
    let bed = test_bed("");
    // ES256 signatures are random: the same header and payload, signed twice.
    let claims = bed.issuer.claims("");
    let [one, other] = [(); 2].map(|()| bed.key.token(&claims));
    assert_ne!(one, other);
    assert_eq!(bed.get("/a", Some(&other)).status, 200);
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "token": one}),
    );
    assert_revoked(&bed, &one, "the token");
    assert_revoked(&bed, &other, "its other signature");
    assert_eq!(bed.get("/a", Some(&bed.token("more"))).status, 200);
}

#[test]
fn revocation_of_one_tenant_leaves_the_others() {
    let key = Key::es256("k");
    let jwk = key.jwk();
    let server = Server::start(|_| Reply::status(404));
    let base = format!("http://{}", server.address);
    let issuers = base.clone();
    server.script(move |request| match request.target.rsplit_once('/') {
        Some((_, "openid-configuration")) => {
            let tenant = request.target.split('/').nth(1).unwrap_or_default();
            let iss = format!("{issuers}/{tenant}");
            Reply::json(json!({"issuer": iss, "jwks_uri": format!("{iss}/jwks")}))
        }
        Some((_, "jwks")) => Reply::json(json!({"keys": [jwk]})),
        _ => Reply::status(404),
    });
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "{ADMIN}[revocations]\n[issuers.corp]\nissuer = \"{base}/{{tenant}}\"\ntenants = [\"shop\", \"toys\"]\n\
         audience = \"https://api.test\"\n[upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
        upstream.address
    ));
    let [shop, toys] =
        ["shop", "toys"].map(|name| key.token(&claims(&format!("{base}/{name}"), "")));
    let status = |token: &str| get(gateway.address, "/a", Some(token)).status;
    eventually("the keys are fetched", || {
        status(&shop) == 200 && status(&toys) == 200
    });
    revoke(
        &gateway,
        &json!({"issuer": format!("{base}/shop"), "sub": "client-1"}),
    );
    assert_eq!(
        (status(&shop), reason(&gateway).as_str()),
        (401, "token_revoked")
    );
    assert_eq!(status(&toys), 200);
    let unlisted = json!({"issuer": format!("{base}/other"), "sub": "a"}).to_string();
    assert_eq!(post(&gateway, GOOD, &unlisted).status, 400);
    let template = json!({"issuer": format!("{base}/{{tenant}}"), "sub": "a"}).to_string();
    assert_eq!(post(&gateway, GOOD, &template).status, 400);
}

#[test]
fn every_name_of_an_issuer_is_revoked_by_one_of_them() {
    let key = Key::es256("k");
    let issuer = harness::Issuer::start(&[&key]);
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "{ADMIN}[revocations]\n[issuers.corp]\nissuer = [\"{0}\", \"https://old.test\"]\naudience = \"https://api.test\"\n\
         [upstreams.up]\ntargets = \"http://{1}\"\n{ROUTE}",
        issuer.url, upstream.address
    ));
    let tokens = [issuer.url.as_str(), "https://old.test"].map(|iss| key.token(&claims(iss, "")));
    let status = |token: &str| get(gateway.address, "/a", Some(token)).status;
    eventually("the keys are fetched", || {
        tokens.iter().all(|token| status(token) == 200)
    });
    revoke(
        &gateway,
        &json!({"issuer": "https://old.test", "sub": "client-1"}),
    );
    for token in &tokens {
        assert_eq!(status(token), 401);
    }
}

#[test]
fn shadow_mode_forwards_a_revoked_token_and_logs_the_reason() {
    let route = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\nenforce = false\n";
    let bed = TestBed::toml(&format!("{ADMIN}[revocations]\n"), "", "", route);
    let token = bed.token("");
    revoke(&bed.gateway, &json!({"issuer": bed.issuer.url, "jti": "1"}));
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    let line = bed.gateway.requests.lines().pop().expect("a line");
    assert!(line.to_string().contains("token_revoked"), "{line}");
}

#[test]
fn no_other_spelling_of_a_revoked_token_passes() {
    let bed = test_bed("");
    let token = bed.token("");
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "token": token}),
    );
    let parts: Vec<_> = token.split('.').collect();
    let mut spellings: Vec<String> = vec![
        format!("{token}="),
        format!("{token}=="),
        format!("{token}."),
        token.replace('.', "%2e"),
        token.replace('-', "+").replace('_', "/"),
    ];
    // The bits after the last byte of each part.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for index in 0..parts.len() {
        for last in alphabet.chars() {
            let mut changed: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
            changed[index].pop();
            changed[index].push(last);
            spellings.push(changed.join("."));
        }
        let mut padded: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
        padded[index].push('=');
        spellings.push(padded.join("."));
    }
    let hits = bed.hits();
    for spelling in spellings {
        let status = bed.get("/a", Some(&spelling)).status;
        assert!([400, 401].contains(&status), "{status}: {spelling}");
    }
    assert_eq!(bed.hits(), hits);
}

#[test]
fn values_are_compared_byte_by_byte() {
    let bed = test_bed("");
    let token_of = |subject: &str| {
        let mut claims = bed.issuer.claims("");
        claims["sub"] = json!(subject);
        bed.key.token(&claims)
    };
    // Composed, decomposed, and other letters that look alike.
    let subjects = [
        "alic\u{e9}",
        "alice\u{301}",
        "ALIC\u{c9}",
        "\u{430}lic\u{e9}",
        "alic\u{e9} ",
    ];
    let tokens = subjects.map(token_of);
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.issuer.url, "sub": subjects[0]}),
    );
    assert_revoked(&bed, &tokens[0], subjects[0]);
    for (subject, token) in subjects.iter().zip(&tokens).skip(1) {
        assert_eq!(bed.get("/a", Some(token)).status, 200, "{subject}");
    }
}
