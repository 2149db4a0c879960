//! Realms, each with a key of its own: listed, and any.

use super::*;

#[test]
fn token_of_a_realm_is_verified_by_keys_of_this_realm_only() {
    let [shop, toys] = ["k", "k"].map(Key::es256);
    let realms = Realms::start(&[("shop", &shop), ("toys", &toys)]);
    let upstream = upstream();
    for tenants in ["[\"shop\", \"toys\"]", "\"any\""] {
        let keys = format!("tenants = {tenants}");
        let gateway = Gateway::start(&realms.file(&keys, PLAIN, &upstream));
        eventually("the keys are fetched", || {
            status(&gateway, "/a", &realms.token("shop", &shop)) == 200
                && status(&gateway, "/a", &realms.token("toys", &toys)) == 200
        });
        let hits = upstream.hits();
        // Each twice: the second one may find what the first left behind.
        for (realm, key, expected) in [
            ("shop", &shop, 200),
            ("shop", &toys, 401),
            ("toys", &shop, 401),
            ("toys", &toys, 200),
        ] {
            let token = realms.token(realm, key);
            for time in ["first", "second"] {
                let status = status(&gateway, "/a", &token);
                assert_eq!(status, expected, "{tenants} {realm} {time}");
                if expected == 401 {
                    assert_eq!(refusal(&gateway).0, "bad_signature");
                }
            }
        }
        assert_eq!(upstream.hits() - hits, 4, "{tenants}");
    }
}

#[test]
fn keys_of_listed_realms_are_fetched_at_the_start_and_of_no_other() {
    let [shop, toys] = ["shop", "toys"].map(Key::es256);
    let realms = Realms::start(&[("shop", &shop), ("toys", &toys)]);
    let upstream = upstream();
    let gateway = Gateway::start(&realms.file("tenants = [\"shop\"]", PLAIN, &upstream));
    eventually("the keys are fetched", || realms.fetches("shop/certs") == 1);
    let line = format!("expected {:?} as iss", realms.template());
    for realm in [
        "toys",
        "Shop",
        "shop%2e",
        "{tenant}",
        "..",
        "",
        "shop/x",
        "a".repeat(129).as_str(),
    ] {
        let token = realms.token(realm, &toys);
        assert_eq!(status(&gateway, "/a", &token), 401, "{realm}");
        let (reason, cause) = refusal(&gateway);
        assert_eq!(reason, "unknown_issuer", "{realm}");
        assert!(cause.starts_with(&line), "{cause}");
    }
    assert_eq!(realms.fetches(""), realms.fetches("shop"));
    assert_eq!(upstream.hits(), 0);
}

#[test]
fn withdrawn_key_ends_the_cached_tokens_of_its_realm_only() {
    let [shop, toys, new] = ["shop", "toys", "new"].map(Key::es256);
    let realms = Realms::start(&[("shop", &shop), ("toys", &toys)]);
    let upstream = upstream();
    let gateway = Gateway::start(&realms.file(
        "tenants = \"any\"\nunknown_key_cooldown = \"1s\"",
        PLAIN,
        &upstream,
    ));
    let [of_shop, of_toys] = [realms.token("shop", &shop), realms.token("toys", &toys)];
    for token in [&of_shop, &of_toys, &of_shop, &of_toys] {
        assert_eq!(status(&gateway, "/a", token), 200);
    }
    realms.publish("shop", &new);
    // A token with the new key makes the gateway fetch the realm's keys, once the cooldown is over.
    eventually("the new key is fetched", || {
        status(&gateway, "/a", &realms.token("shop", &new)) == 200
    });
    assert_eq!(status(&gateway, "/a", &of_shop), 401);
    assert_eq!(refusal(&gateway).0, "unknown_key");
    let fetched = realms.fetches("toys/certs");
    assert_eq!(status(&gateway, "/a", &of_toys), 200);
    assert_eq!(realms.fetches("toys/certs"), fetched);
}

#[test]
fn changed_configuration_ends_cached_tokens_and_an_equal_one_keeps_them() {
    let shop = Key::es256("shop");
    let realms = Realms::start(&[("shop", &shop)]);
    let upstream = upstream();
    let file = |keys: &str| realms.file(&format!("tenants = \"any\"\n{keys}"), PLAIN, &upstream);
    let gateway = Gateway::start(&file(""));
    let token = realms.token("shop", &shop);
    assert_eq!(status(&gateway, "/a", &token), 200);
    let fetched = realms.fetches("shop");
    // Another route leaves the issuer alone.
    let other_route = "[[routes]]\npath = \"/b\"\nupstream = \"up\"\n";
    gateway
        .reload(&format!("{}{other_route}", file("")))
        .expect("a good file");
    assert_eq!(status(&gateway, "/b", &token), 200);
    assert_eq!(realms.fetches("shop"), fetched);
    gateway
        .reload(&file("claims = [{ claim = \"org\", is = \"{tenant}\" }]"))
        .expect("a good file");
    assert_eq!(status(&gateway, "/a", &token), 401);
    assert_eq!(refusal(&gateway).0, "issuer_claim_not_met");
    gateway.reload(&file("")).expect("a good file");
    assert_eq!(status(&gateway, "/a", &token), 200);
    gateway
        .reload(&file("").replace("\"any\"", "[\"toys\"]"))
        .expect("a good file");
    assert_eq!(status(&gateway, "/a", &token), 401);
    assert_eq!(refusal(&gateway).0, "unknown_issuer");
}

#[test]
fn metrics_and_readiness_name_the_issuer_and_never_a_tenant() {
    let [shop, toys] = ["shop", "toys"].map(Key::es256);
    let realms = Realms::start(&[("shop-realm", &shop), ("toys-realm", &toys)]);
    let upstream = upstream();
    let gateway = Gateway::start(&realms.file("tenants = \"any\"", PLAIN, &upstream));
    assert_eq!(gateway.get_admin("/readyz").status, 200);
    for (realm, key) in [("shop-realm", &shop), ("toys-realm", &toys)] {
        assert_eq!(status(&gateway, "/a", &realms.token(realm, key)), 200);
    }
    assert_eq!(
        status(&gateway, "/a", &realms.token("fake-realm", &shop)),
        401
    );
    let metrics = gateway.get_admin("/metrics").text();
    for line in [
        "scopegate_issuer_keys{issuer=\"corp\"} 2",
        "scopegate_issuer_key_fetches_total{issuer=\"corp\",outcome=\"success\"} 2",
        "scopegate_issuer_key_fetches_total{issuer=\"corp\",outcome=\"failure\"} 1",
        "scopegate_verification_duration_seconds_count{issuer=\"corp\"} 2",
    ] {
        assert!(
            metrics.lines().any(|known| known == line),
            "{line}\n{metrics}"
        );
    }
    assert!(!metrics.contains("-realm"), "{metrics}");
}

#[test]
fn known_tenant_is_not_new_after_a_reload_that_changes_the_issuer() {
    let key = Key::es256("shop");
    let realms = Realms::start(&[("shop", &key), ("toys", &key)]);
    let upstream = upstream();
    let file = |keys: &str| realms.file(&format!("tenants = \"any\"\n{keys}"), PLAIN, &upstream);
    let gateway = Gateway::start(&file(""));
    let token = realms.token("shop", &key);
    assert_eq!(status(&gateway, "/a", &token), 200);
    let fetched = realms.fetches("shop/certs");
    gateway
        .reload(&file("leeway = \"7s\""))
        .expect("a good file");
    assert_eq!(realms.fetches("shop/certs"), fetched + 1);
    // The client uses up its share of new tenants.
    for number in 0..10 {
        let fake = realms.token(&format!("fake-{number}"), &key);
        assert_eq!(status(&gateway, "/a", &fake), 401);
    }
    assert_eq!(status(&gateway, "/a", &realms.token("toys", &key)), 503);
    assert_eq!(refusal(&gateway).0, "overloaded");
    assert_eq!(status(&gateway, "/a", &token), 200);
    assert_eq!(realms.fetches("shop/certs"), fetched + 1);
    // Another server knows nothing of them.
    let other = Realms::start(&[("shop", &key)]);
    gateway
        .reload(&other.file("tenants = \"any\"", PLAIN, &upstream))
        .expect("a good file");
    assert_eq!(other.server.hits(), 0);
    assert_eq!(status(&gateway, "/a", &other.token("shop", &key)), 200);
    assert_eq!(status(&gateway, "/a", &token), 401);
}
