//! Rules that name the tenant, and paths that do.

use super::*;

struct Bed {
    keys: [Key; 2],
    realms: Realms,
    upstream: Server,
    gateway: Gateway,
}

impl Bed {
    fn start(issuer: &str, routes: &str) -> Self {
        let keys = ["shop", "toys"].map(Key::es256);
        let realms = Realms::start(&[("shop", &keys[0]), ("toys", &keys[1])]);
        let upstream = upstream();
        let issuer = format!("tenants = \"any\"\n{issuer}");
        let gateway = Gateway::start(&realms.file(&issuer, routes, &upstream));
        Self {
            keys,
            realms,
            upstream,
            gateway,
        }
    }

    /// The status of `path` for a token of `shop` with these claims in addition, cached or not.
    fn status(&self, path: &str, changed: &Value) -> u16 {
        let mut claims = claims(&self.realms.iss("shop"), "read");
        for (name, value) in changed.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let token = self.keys[0].token(&claims);
        let before = self.upstream.hits();
        let [first, second] = [(); 2].map(|()| status(&self.gateway, path, &token));
        assert_eq!(first, second, "{path}");
        let passed = self.upstream.hits() - before;
        assert_eq!(passed, if first == 200 { 2 } else { 0 }, "{path}");
        first
    }
}

#[test]
fn tenant_in_the_path_is_that_of_the_token() {
    let routes = "[[routes]]\npath = \"/{tenant}/things/{id}\"\nscope = \"read\"\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/scoped/{tenant}\"\nscope = \"write\"\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/other/{realm}\"\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/open/{tenant}\"\npublic = true\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/seen/{tenant}\"\nenforce = false\nupstream = \"up\"\n";
    let bed = Bed::start("", routes);
    for (path, expected) in [
        ("/shop/things/1", 200),
        ("/sho%70/things/1", 200),
        ("/toys/things/1", 403),
        ("/Shop/things/1", 403),
        ("/shop%20/things/1", 403),
        ("/*/things/1", 403),
        ("/other/toys", 200),
        ("/open/toys", 200),
        ("/seen/toys", 200),
    ] {
        assert_eq!(bed.status(path, &json!({})), expected, "{path}");
        if expected == 403 {
            let (reason, cause) = refusal(&bed.gateway);
            assert_eq!(reason, "claim_not_met", "{path}");
            assert_eq!(
                cause,
                "expected the tenant of the token as {tenant} of the path (see tenants), but found another"
            );
        }
    }
    // Without a challenge, as for a rule; a missing scope takes precedence.
    let token = bed.realms.token("shop", &bed.keys[0]);
    let response = get(bed.gateway.address, "/toys/things/1", Some(&token));
    assert_eq!((response.status, response.challenge()), (403, None));
    let response = get(bed.gateway.address, "/scoped/toys", Some(&token));
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    assert_eq!(
        (response.status, response.challenge()),
        (403, Some(challenge))
    );
    let line = bed.gateway.requests.lines();
    let shadowed = line
        .iter()
        .any(|line| line["decision"] == "shadowed" && line["reason"] == "claim_not_met");
    assert!(shadowed, "{line:?}");
}

#[test]
fn rules_of_issuer_and_route_compare_with_the_tenant() {
    let rules = |rules: &str| format!("claims = [{rules}]");
    let issuer = rules(
        "{ claim = \"tid\", is = \"{tenant}\" }, { claim = \"/org/names\", has = \"t-{tenant}\" }",
    );
    let routes = format!(
        "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/is\"\nupstream = \"up\"\n{}\n\
         [[routes]]\npath = \"/of/{{id}}\"\nupstream = \"up\"\n{}\n",
        rules("{ claim = \"home\", matches = \"*@{tenant}\" }"),
        rules("{ claim = \"home\", is = \"{id}@{tenant}\" }")
    );
    let bed = Bed::start(&issuer, &routes);
    let good = json!({ "tid": "shop", "org": { "names": ["t-shop"] }, "home": "a@shop" });
    let with = |changed: Value| {
        let mut claims = good.clone();
        for (name, value) in changed.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    for (path, claims, expected) in [
        ("/a", good.clone(), 200),
        ("/is", good.clone(), 200),
        ("/of/a", good.clone(), 200),
        ("/of/b", good.clone(), 403),
        ("/is", with(json!({ "home": "a@toys" })), 403),
        ("/is", with(json!({ "home": "a@{tenant}" })), 403),
        ("/is", with(json!({ "home": null })), 403),
        ("/a", with(json!({ "tid": "toys" })), 401),
        ("/a", with(json!({ "tid": ["shop"] })), 401),
        ("/a", with(json!({ "org": { "names": ["t-toys"] } })), 401),
        ("/a", with(json!({ "org": null })), 401),
    ] {
        assert_eq!(bed.status(path, &claims), expected, "{path} {claims}");
    }
}

#[test]
fn value_of_the_tenant_is_no_pattern() {
    let rule = "claims = [{ claim = \"home\", matches = \"{tenant}-*\" }]";
    let bed = Bed::start(rule, PLAIN);
    for (home, expected) in [
        ("shop-1", 200),
        ("shop", 401),
        ("toys-1", 401),
        ("~-1", 401),
    ] {
        assert_eq!(
            bed.status("/a", &json!({ "home": home })),
            expected,
            "{home}"
        );
    }
}
