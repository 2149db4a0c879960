//! Presets of issuers, with tokens as those servers issue them.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use harness::{Gateway, Issuer, Key, Reply, Server, eventually, get, logged};

const ROUTES: &str = "[[routes]]
path = \"/any\"
upstream = \"up\"
[[routes]]
path = \"/orders\"
scope = \"orders/read\"
upstream = \"up\"
[[routes]]
path = \"/admin\"
scope = \"realm:admin\"
upstream = \"up\"
";

struct Bed {
    key: Key,
    /// Published as well, but no preset accepts its algorithm.
    ed25519: Key,
    issuer: Issuer,
    upstream: Server,
    gateway: Gateway,
}

impl Bed {
    /// `issuer_keys` are the lines of `[issuers.corp]` beside `issuer`. `valid` are claims that pass.
    fn start(issuer_keys: &str, valid: &Value) -> Self {
        let key = Key::rsa(Some("first"), Algorithm::RS256);
        let ed25519 = Key::ed25519("second");
        let issuer = Issuer::start(&[&key, &ed25519]);
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{}\"\n{issuer_keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
            issuer.url, upstream.address
        ));
        let bed = Self {
            key,
            ed25519,
            issuer,
            upstream,
            gateway,
        };
        let token = bed.key.token(&bed.claims(valid));
        eventually("the JWKS is fetched", || {
            get(bed.gateway.address, "/any", Some(&token)).status == 200
        });
        bed
    }

    /// Exactly these claims, beside `iss`, `exp` and `iat`.
    fn claims(&self, changed: &Value) -> Value {
        let mut claims = self.issuer.claims("");
        let members = claims.as_object_mut().expect("an object");
        members.retain(|name, _| ["iss", "exp", "iat"].contains(&&**name));
        members.extend(changed.as_object().expect("an object").clone());
        claims
    }

    /// The status of `path` for a token with these claims.
    fn status(&self, path: &str, changed: &Value) -> u16 {
        self.status_of(path, &self.key.token(&self.claims(changed)))
    }

    fn status_of(&self, path: &str, token: &str) -> u16 {
        let before = self.upstream.received().len();
        let [first, second] = [(); 2].map(|()| get(self.gateway.address, path, Some(token)).status);
        assert_eq!(first, second, "{path}");
        let passed = self.upstream.received().len() - before;
        assert_eq!(passed, if first == 200 { 2 } else { 0 }, "{path}");
        first
    }
}

fn with(object: &Value, changed: Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().expect("an object");
    members.extend(changed.as_object().expect("an object").clone());
    members.retain(|_, value| !value.is_null());
    object
}

#[test]
fn cognito_tokens_pass_by_client_and_use() {
    let access = json!({
        "sub": "aaaa-bbbb", "client_id": "1example23456789", "token_use": "access",
        "scope": "orders/read", "version": 2, "jti": "1",
    });
    let bed = Bed::start(
        "provider = \"cognito\"\naudience = [\"1example23456789\"]",
        &access,
    );
    for (changed, expected) in [
        (json!({}), [200, 200]),
        (
            json!({ "scope": "aws.cognito.signin.user.admin" }),
            [200, 403],
        ),
        // Groups are not scopes, and nor is `scp`.
        (
            json!({ "scope": null, "scp": "orders/read", "cognito:groups": ["orders/read"] }),
            [200, 403],
        ),
        (json!({ "client_id": "other" }), [401; 2]),
        (json!({ "client_id": null }), [401; 2]),
        (json!({ "token_use": null }), [401; 2]),
        (json!({ "token_use": ["access"] }), [401; 2]),
        // An ID token names the client in `aud`.
        (
            json!({ "token_use": "id", "aud": "1example23456789", "client_id": null }),
            [401; 2],
        ),
        (json!({ "aud": "other" }), [401; 2]),
    ] {
        let claims = with(&access, changed);
        let statuses = ["/any", "/orders"].map(|path| bed.status(path, &claims));
        assert_eq!(statuses, expected, "{claims}");
    }
    // Without the preset, the default accepts this algorithm.
    let other = bed.ed25519.token(&bed.claims(&access));
    assert_eq!(bed.status_of("/any", &other), 401);
    assert!(logged("\"reason\":\"algorithm_not_allowed\""));
}

#[test]
fn roles_of_keycloak_are_no_scopes_until_the_file_says_so() {
    let access = json!({
        "sub": "user", "aud": ["orders-api", "account"], "azp": "shop-web", "typ": "Bearer",
        "scope": "openid orders/read", "realm_access": { "roles": ["admin", "realm:admin"] },
    });
    let keys = "provider = \"keycloak\"\naudience = \"orders-api\"\n";
    let bed = Bed::start(keys, &access);
    let statuses = |bed: &Bed, claims: &Value| {
        ["/any", "/orders", "/admin"].map(|path| bed.status(path, claims))
    };
    assert_eq!(statuses(&bed, &access), [200, 200, 403]);
    for changed in [
        json!({ "aud": "account" }),
        json!({ "aud": null }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
    ] {
        let claims = with(&access, changed);
        assert_eq!(statuses(&bed, &claims), [401; 3], "{claims}");
    }

    let roles =
        "scope_claims = [\"scope\", { claim = \"/realm_access/roles\", prefix = \"realm:\" }]";
    let bed = Bed::start(&format!("{keys}{roles}"), &access);
    assert_eq!(statuses(&bed, &access), [200, 200, 200]);
    let claims = with(
        &access,
        json!({ "realm_access": { "roles": ["realm:admin"] } }),
    );
    assert_eq!(statuses(&bed, &claims), [200, 200, 403]);
}

#[test]
fn claims_of_id_tokens_pass_only_where_the_preset_needs_it() {
    let access = json!({ "sub": "user", "aud": "orders-app", "groups": ["orders/read"] });
    let id_like = with(
        &access,
        json!({ "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng", "nonce": "n" }),
    );
    for (keys, expected) in [
        ("provider = \"dex\"", [200, 200]),
        ("provider = \"dex\"\nrefuse_id_tokens = true", [401; 2]),
        ("provider = \"keycloak\"", [401; 2]),
    ] {
        let bed = Bed::start(&format!("{keys}\naudience = \"orders-app\""), &access);
        let statuses = ["/any", "/orders"].map(|path| bed.status(path, &id_like));
        assert_eq!(statuses, expected, "{keys}");
        let other = with(&id_like, json!({ "aud": "other" }));
        assert_eq!(bed.status("/any", &other), 401, "{keys}");
    }
}
