//! How long tokens and revocations last.

use super::*;

fn token_of(bed: &TestBed, alter: impl FnOnce(&mut Value)) -> String {
    let mut claims = bed.issuer.claims("");
    alter(&mut claims);
    bed.key.token(&claims)
}

#[test]
fn token_expires_at_its_maximum_lifetime_whatever_exp_says() {
    let bed = test_bed("max_token_lifetime = \"60s\"\nleeway = \"0s\"");
    let issued = |at: i64| {
        token_of(&bed, |claims| {
            claims["iat"] = json!(at);
            claims["exp"] = json!(NOW + 100_000);
        })
    };
    assert_eq!(bed.get("/a", Some(&issued(NOW - 59))).status, 200);
    assert_eq!(bed.get("/a", Some(&issued(NOW - 60))).status, 401);
    assert_eq!(reason(&bed.gateway), "expired");
    // Also from the cache.
    let token = issued(NOW);
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    bed.gateway.set_time(59);
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    bed.gateway.set_time(60);
    assert_eq!(bed.get("/a", Some(&token)).status, 401);
    assert_eq!(reason(&bed.gateway), "expired");
}

#[test]
fn token_without_iat_is_refused_unless_the_issuer_says_otherwise() {
    let without = |bed: &TestBed| {
        token_of(bed, |claims| {
            claims.as_object_mut().expect("an object").remove("iat");
        })
    };
    let strict = test_bed("");
    assert_eq!(strict.get("/a", Some(&without(&strict))).status, 401);
    assert_eq!(reason(&strict.gateway), "missing_claim");

    let lax = test_bed("iat_required = false");
    let token = without(&lax);
    assert_eq!(lax.get("/a", Some(&token)).status, 200);
    revoke(
        &lax.gateway,
        &json!({"issuer": lax.issuer.url, "sub": "client-1"}),
    );
    assert_eq!(
        lax.get("/a", Some(&token)).status,
        200,
        "only token and jti revoke it"
    );
    revoke(&lax.gateway, &json!({"issuer": lax.issuer.url, "jti": "1"}));
    assert_revoked(&lax, &token, "by jti");
}

#[test]
fn without_revocations_neither_rule_holds() {
    let bed = TestBed::toml(ADMIN, "max_token_lifetime = \"1s\"", "", ROUTE);
    let token = token_of(&bed, |claims| {
        claims.as_object_mut().expect("an object").remove("iat");
    });
    assert_eq!(bed.get("/a", Some(&token)).status, 200);
    let old = token_of(&bed, |claims| claims["iat"] = json!(NOW - 90_000));
    assert_eq!(bed.get("/a", Some(&old)).status, 200);
}

#[test]
fn unbounded_expiry_beside_revocations_is_an_error() {
    let toml = "[revocations]\n[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n\
                accept_unbounded_expiry = true\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/a\"\nupstream = \"up\"\n";
    let (config, source) = scopegate::config::parse("gateway.toml", toml).expect("a readable file");
    let faults = scopegate::gateway::compile(&config).err().expect("a fault");
    let report = source.report(faults).to_string();
    let expected =
        "gateway.toml:5: issuers.corp.accept_unbounded_expiry: expected false beside [revocations]";
    assert!(report.contains(expected), "{report}");
}
