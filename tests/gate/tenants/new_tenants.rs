//! Tenants that only a token names: known to the server or invented, and how many at a time.

use harness::NOW;
use scopegate::oauth::UnixTime;

use super::*;

#[test]
fn server_that_does_not_know_the_tenant_is_a_401_and_one_that_fails_a_503() {
    let key = Key::es256("k");
    let realms = Realms::start(&[("shop", &key)]);
    let upstream = upstream();
    let gateway = Gateway::start(&realms.file("tenants = \"any\"", PLAIN, &upstream));
    let response = get(gateway.address, "/a", Some(&realms.token("fake", &key)));
    assert_eq!(response.status, 401);
    assert_eq!(response.challenge(), Some("Bearer error=\"invalid_token\""));
    assert_eq!(refusal(&gateway).0, "unknown_issuer");
    let fetched = realms.fetches("");
    for _ in 0..5 {
        let token = realms.token("fake", &Key::es256("k"));
        assert_eq!(status(&gateway, "/a", &token), 401);
    }
    assert_eq!(
        realms.fetches(""),
        fetched,
        "one fetch per tenant and cooldown"
    );

    realms.server.script(|_| Reply::status(502));
    let response = get(gateway.address, "/a", Some(&realms.token("shop", &key)));
    assert_eq!((response.status, response.challenge()), (503, None));
    let retry_after: u64 = response
        .header("retry-after")
        .expect("a header")
        .parse()
        .expect("seconds");
    assert!((1..=30).contains(&retry_after), "{retry_after}");
    let (reason, cause) = refusal(&gateway);
    assert_eq!(reason, "issuer_unavailable");
    assert!(cause.contains("502"), "{cause}");
    // Within the cooldown, the server is left alone.
    realms.recover();
    let fetched = realms.server.hits();
    assert_eq!(status(&gateway, "/a", &realms.token("shop", &key)), 503);
    assert_eq!(realms.server.hits(), fetched);
    assert_eq!(upstream.hits(), 0);
}

#[test]
fn tenant_is_tried_again_after_the_cooldown() {
    let key = Key::es256("k");
    let realms = Realms::start(&[]);
    let upstream = upstream();
    let keys = "tenants = \"any\"\nunknown_key_cooldown = \"1s\"";
    let gateway = Gateway::start(&realms.file(keys, PLAIN, &upstream));
    assert_eq!(status(&gateway, "/a", &realms.token("shop", &key)), 401);
    realms.publish("shop", &key);
    eventually("the tenant is found", || {
        status(&gateway, "/a", &realms.token("shop", &key)) == 200
    });
}

#[test]
fn token_whose_own_claims_fail_causes_no_fetch() {
    let key = Key::es256("k");
    let realms = Realms::start(&[("shop", &key)]);
    let upstream = upstream();
    let rule = "claims = [{ claim = \"org\", is = \"{tenant}\" }]";
    let keys = format!("tenants = \"any\"\n{rule}");
    let gateway = Gateway::start(&realms.file(&keys, PLAIN, &upstream));
    let mut good = claims(&realms.iss("shop"), "");
    good["org"] = json!("shop");
    for (name, value, reason) in [
        ("aud", json!("other"), "wrong_audience"),
        ("exp", json!(1), "expired"),
        ("org", json!("toys"), "issuer_claim_not_met"),
        ("org", json!("{tenant}"), "issuer_claim_not_met"),
        ("nonce", json!("x"), "other_kind_of_token"),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(status(&gateway, "/a", &key.token(&bad)), 401, "{name}");
        assert_eq!(refusal(&gateway).0, reason);
    }
    assert_eq!(realms.server.hits(), 0);
    assert_eq!(status(&gateway, "/a", &key.token(&good)), 200);
}

#[test]
fn client_that_invents_tenants_is_limited_and_known_tenants_are_unharmed() {
    let [shop, toys] = ["shop", "toys"].map(Key::es256);
    let realms = Realms::start(&[("shop", &shop), ("toys", &toys)]);
    let upstream = upstream();
    let file = realms.file("tenants = \"any\"\nmax_tenants = 1", PLAIN, &upstream);
    let gateway = Gateway::start(&file);
    let known = realms.token("shop", &shop);
    assert_eq!(status(&gateway, "/a", &known), 200);
    // Invented ones, and one that exists but whose token is forged.
    for number in 0..40 {
        let token = match number {
            0 => realms.token("toys", &shop),
            _ => realms.token(&format!("fake-{number}"), &shop),
        };
        let expected = if number < 9 { 401 } else { 503 };
        assert_eq!(status(&gateway, "/a", &token), expected, "{number}");
        if expected == 503 {
            let (reason, cause) = refusal(&gateway);
            assert_eq!(reason, "overloaded");
            assert_eq!(
                cause,
                "too many new tenants of one client (at most 10 within a minute)"
            );
        }
    }
    let response = get(gateway.address, "/a", Some(&realms.token("fake-99", &shop)));
    let retry_after: u64 = response
        .header("retry-after")
        .expect("a header")
        .parse()
        .expect("seconds");
    assert!((2..=60).contains(&retry_after), "{retry_after}");
    // Cached or not, tokens of the known tenant pass. Its keys are not fetched again.
    let fetched = realms.fetches("shop/certs");
    assert_eq!(status(&gateway, "/a", &known), 200);
    let mut another = claims(&realms.iss("shop"), "");
    another["jti"] = json!("another");
    assert_eq!(status(&gateway, "/a", &shop.token(&another)), 200);
    assert_eq!(realms.fetches("shop/certs"), fetched);
}

#[test]
fn tenant_without_a_verified_token_for_longest_is_dropped() {
    let keys = ["one", "two", "three"].map(Key::es256);
    let [one, two, three] = &keys;
    let realms = Realms::start(&[("one", one), ("two", two), ("three", three)]);
    let upstream = upstream();
    let file = realms.file("tenants = \"any\"\nmax_tenants = 2", PLAIN, &upstream);
    let gateway = Gateway::start(&file);
    let tokens =
        [("one", one), ("two", two), ("three", three)].map(|(realm, key)| realms.token(realm, key));
    assert_eq!(status(&gateway, "/a", &tokens[0]), 200);
    gateway.clock.set(UnixTime::from_seconds(NOW + 1));
    assert_eq!(status(&gateway, "/a", &tokens[1]), 200);
    gateway.clock.set(UnixTime::from_seconds(NOW + 2));
    // A cached token counts as well.
    assert_eq!(status(&gateway, "/a", &tokens[0]), 200);
    gateway.clock.set(UnixTime::from_seconds(NOW + 3));
    assert_eq!(status(&gateway, "/a", &tokens[2]), 200);
    let fetches = |realm: &str| realms.fetches(&format!("{realm}/certs"));
    assert_eq!(["one", "two", "three"].map(fetches), [1, 1, 1]);
    assert_eq!(status(&gateway, "/a", &tokens[0]), 200);
    assert_eq!(["one", "two", "three"].map(fetches), [1, 1, 1]);
    // Its cached token went with it.
    assert_eq!(status(&gateway, "/a", &tokens[1]), 200);
    assert_eq!(["one", "two", "three"].map(fetches), [1, 2, 1]);
}

#[test]
fn deleted_tenant_keeps_its_keys_as_any_issuer_does() {
    let key = Key::es256("k");
    let realms = Realms::start(&[("shop", &key)]);
    let upstream = upstream();
    let gateway = Gateway::start(&realms.file("tenants = \"any\"", PLAIN, &upstream));
    assert_eq!(status(&gateway, "/a", &realms.token("shop", &key)), 200);
    realms.remove("shop");
    let mut another = claims(&realms.iss("shop"), "");
    another["jti"] = json!("another");
    assert_eq!(status(&gateway, "/a", &key.token(&another)), 200);
}
