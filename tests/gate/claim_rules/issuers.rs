//! Rules of issuers: a token that does not meet them is invalid.

use super::*;
use harness::{Gateway, Issuer, Key, Reply, Server, eventually, get, logged};

const RULES: &str = "claims = [{ claim = \"token_use\", is = \"access\" }, { claim = \"/act/sub\", matches = \"svc-*\" }]";

struct Servers {
    key: Key,
    issuer: Issuer,
    upstream: Server,
}

impl Servers {
    fn start() -> Self {
        let key = Key::es256("first");
        Self {
            issuer: Issuer::start(&[&key]),
            key,
            upstream: Server::start(|_| Reply::text("hello")),
        }
    }

    fn file(&self, issuer_keys: &str) -> String {
        format!(
            "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n{issuer_keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/a\"\nscope = \"read\"\nupstream = \"up\"\n",
            self.issuer.url, self.upstream.address
        )
    }

    fn token(&self, changed: &Value) -> String {
        let mut claims = self.issuer.claims("read");
        for (name, value) in changed.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.key.token(&claims)
    }
}

#[test]
fn token_that_does_not_meet_the_rules_of_its_issuer_is_invalid() {
    let servers = Servers::start();
    let gateway = Gateway::start(&servers.file(RULES));
    let met = json!({ "token_use": "access", "act": { "sub": "svc-1" } });
    let token = servers.token(&met);
    eventually("the JWKS is fetched", || {
        get(gateway.address, "/a", Some(&token)).status == 200
    });
    for (claims, expected) in [
        (met, 200),
        (
            json!({ "token_use": "access", "act": { "sub": "user" } }),
            401,
        ),
        (json!({ "token_use": "access", "act": "svc-1" }), 401),
        (json!({ "token_use": "access" }), 401),
        (json!({ "act": { "sub": "svc-1" } }), 401),
        (
            json!({ "token_use": ["access"], "act": { "sub": "svc-1" } }),
            401,
        ),
        (json!({}), 401),
    ] {
        let token = servers.token(&claims);
        for _ in 0..2 {
            let response = get(gateway.address, "/a", Some(&token));
            let challenge = (expected == 401).then_some("Bearer error=\"invalid_token\"");
            assert_eq!(
                (response.status, response.challenge()),
                (expected, challenge),
                "{claims}"
            );
        }
    }
    assert!(logged("\"reason\":\"issuer_claim_not_met\""));
    assert!(logged(
        r#"expected claim \"/act/sub\" to meet claims[1] (matches), but found a string (see claims of the issuer)"#
    ));
}

#[test]
fn cached_token_ends_with_the_rules_of_its_issuer() {
    let servers = Servers::start();
    let gateway = Gateway::start(&servers.file(""));
    let token = servers.token(&json!({ "token_use": "access" }));
    let status = || get(gateway.address, "/a", Some(&token)).status;
    eventually("the JWKS is fetched", || status() == 200);
    for (rules, expected) in [
        ("claims = [{ claim = \"token_use\", is = \"other\" }]", 401),
        ("claims = [{ claim = \"token_use\", is = \"access\" }]", 200),
        (RULES, 401),
        ("", 200),
    ] {
        gateway.reload(&servers.file(rules)).expect("a file");
        assert_eq!([status(), status()], [expected; 2], "{rules}");
    }
}

#[test]
fn token_without_aud_may_name_its_audience_in_another_claim() {
    let test_bed = TestBed::toml(
        "",
        "audience_claims = [\"client_id\", \"/act/aud\"]",
        "",
        "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n",
    );
    let status = |changed: &Value| {
        let mut claims = test_bed.issuer.claims("");
        let members = claims.as_object_mut().expect("an object");
        members.remove("aud");
        members.remove("client_id");
        for (name, value) in changed.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let token = test_bed.key.token(&claims);
        [(); 2].map(|()| test_bed.get("/a", Some(&token)).status)
    };
    for (claims, expected) in [
        (json!({ "client_id": "https://api.test" }), 200),
        (json!({ "act": { "aud": ["https://api.test"] } }), 200),
        (json!({ "client_id": "other" }), 401),
        (
            json!({ "client_id": "other", "act": { "aud": "https://api.test" } }),
            401,
        ),
        (
            json!({ "client_id": "https://api.test", "aud": "other" }),
            401,
        ),
        (json!({ "client_id": "https://api.test", "aud": null }), 401),
        (json!({ "azp": "https://api.test" }), 401),
        (json!({}), 401),
    ] {
        assert_eq!(status(&claims), [expected; 2], "{claims}");
    }
}
