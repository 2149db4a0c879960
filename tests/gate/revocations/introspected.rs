//! Tokens that the authorization server calls active, and that are revoked here.

use super::*;
use harness::{Key, Received, Reply, Server, eventually, get};

/// An authorization server that calls every token active, and a gateway that asks it.
struct Introspecting {
    key: Key,
    server: Server,
    upstream: Server,
    gateway: Gateway,
    url: String,
}

fn introspecting(validation: &str, introspection: &str) -> Introspecting {
    let key = Key::es256("k");
    let server = Server::start(|_| Reply::status(404));
    let url = format!("http://{}", server.address);
    let (iss, jwk) = (url.clone(), key.jwk());
    server.script(move |request: &Received| match request.target.as_str() {
        "/jwks" => Reply::json(json!({"keys": [jwk]})),
        _ => Reply::json(json!({
            "active": true, "iss": iss, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
            "exp": NOW + 600, "iat": NOW, "sid": "session",
        })),
    });
    let upstream = Server::start(|_| Reply::text("hello"));
    let keys = match validation {
        "introspection" if !introspection.contains("phantom") => String::new(),
        _ => format!("jwks_uri = \"{url}/jwks\"\n"),
    };
    let gateway = Gateway::start(&format!(
        "{ADMIN}[revocations]\n[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\n\
         validation = \"{validation}\"\n{keys}[issuers.corp.introspection]\n\
         endpoint = \"{url}/introspect\"\nclient_id = \"g\"\nclient_secret = \"s\"\n{introspection}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
        upstream.address
    ));
    Introspecting {
        key,
        server,
        upstream,
        gateway,
        url,
    }
}

impl Introspecting {
    fn status(&self, token: &str) -> u16 {
        get(self.gateway.address, "/a", Some(token)).status
    }

    fn questions(&self) -> usize {
        let received = self.server.received();
        received
            .iter()
            .filter(|request| request.target == "/introspect")
            .count()
    }

    #[track_caller]
    fn assert_revoked(&self, token: &str, what: &str) {
        let hits = self.upstream.hits();
        assert_eq!(
            (self.status(token), self.upstream.hits()),
            (401, hits),
            "{what}"
        );
        assert_eq!(reason(&self.gateway), "token_revoked", "{what}");
    }
}

#[test]
fn opaque_token_is_revoked_by_itself_and_by_what_the_server_says_of_it() {
    for (name, value) in [
        ("token", "opaque-1"),
        ("sub", "client-1"),
        ("client_id", "client-1"),
        ("sid", "session"),
    ] {
        for ttl in ["60s", "0s"] {
            let bed = introspecting("introspection", &format!("cache_ttl = \"{ttl}\""));
            assert_eq!(bed.status("opaque-1"), 200, "{name}");
            revoke(&bed.gateway, &json!({"issuer": bed.url, name: value}));
            bed.assert_revoked("opaque-1", name);
            // The refusal is remembered: a revoked token must not flood the server.
            for _ in 0..3 {
                bed.assert_revoked("opaque-1", name);
            }
            assert!(bed.questions() <= 2, "{name}: {}", bed.questions());
            let other = if name == "token" { 200 } else { 401 };
            assert_eq!(bed.status("opaque-2"), other, "{name}");
        }
    }
}

#[test]
fn cached_token_is_revoked_while_its_server_is_down() {
    let bed = introspecting("introspection", "");
    assert_eq!(bed.status("opaque-1"), 200);
    bed.server.script(|_| Reply::status(500));
    revoke(&bed.gateway, &json!({"issuer": bed.url, "sub": "client-1"}));
    bed.assert_revoked("opaque-1", "no question is needed");
}

#[test]
fn signed_token_that_is_introspected_is_revoked_by_its_own_claims_and_by_the_response() {
    for (name, value) in [
        ("jti", "own"),
        ("sub", "own"),
        ("sid", "session"),
        ("client_id", "client-1"),
    ] {
        let bed = introspecting("jwks+introspection", "");
        let mut claims = harness::claims(&bed.url, "");
        claims["jti"] = json!("own");
        claims["sub"] = json!("own");
        let token = bed.key.token(&claims);
        eventually("the keys are fetched", || bed.status(&token) == 200);
        revoke(&bed.gateway, &json!({"issuer": bed.url, name: value}));
        bed.assert_revoked(&token, name);
    }
}

#[test]
fn renewal_in_the_background_does_not_bring_a_revoked_token_back() {
    let bed = introspecting("introspection", "refresh_ahead = true\ncache_ttl = \"60s\"");
    assert_eq!(bed.status("opaque-1"), 200);
    bed.gateway.set_time(55);
    assert_eq!(bed.status("opaque-1"), 200);
    revoke(
        &bed.gateway,
        &json!({"issuer": bed.url, "token": "opaque-1"}),
    );
    for _ in 0..5 {
        bed.assert_revoked("opaque-1", "during and after the renewal");
    }
    eventually("the renewal has ended", || bed.questions() >= 2);
    bed.assert_revoked("opaque-1", "after the renewal");
}

#[test]
fn lookup_that_began_before_the_revocation_does_not_pass() {
    let bed = introspecting("introspection", "");
    let iss = bed.url.clone();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    bed.server.script(move |_| {
        let _ = wait.lock().expect("no panic").recv();
        Reply::json(json!({
            "active": true, "iss": iss, "aud": "https://api.test", "sub": "client-1", "exp": NOW + 600, "iat": NOW,
        }))
    });
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| bed.status("opaque-1"));
        eventually("the server is asked", || bed.questions() == 1);
        revoke(&bed.gateway, &json!({"issuer": bed.url, "sub": "client-1"}));
        drop(release);
        assert_eq!(asking.join().expect("no panic"), 401);
    });
    assert_eq!(bed.upstream.hits(), 0);
}

#[test]
fn phantom_token_is_revoked_by_itself_by_its_jwt_and_by_the_claims_of_that() {
    for (name, value) in [
        ("token", "opaque-1"),
        ("token", "the JWT"),
        ("jti", "phantom"),
        ("sub", "client-1"),
        ("client_id", "client-1"),
        ("sid", "session"),
    ] {
        for ttl in ["60s", "0s"] {
            let introspection = format!("accept = \"phantom\"\ncache_ttl = \"{ttl}\"");
            let bed = introspecting("introspection", &introspection);
            let mut claims = harness::claims(&bed.url, "");
            claims["jti"] = json!("phantom");
            claims["sid"] = json!("session");
            let jwt = bed.key.token(&claims);
            let (phantom, jwk) = (jwt.clone(), bed.key.jwk());
            bed.server
                .script(move |request: &Received| match request.target.as_str() {
                    "/jwks" => Reply::json(json!({"keys": [jwk]})),
                    _ => Reply::new(200, &[("content-type", "application/jwt")], &phantom),
                });
            eventually("the keys are fetched", || bed.status("opaque-1") == 200);
            let value = if value == "the JWT" { &jwt } else { value };
            revoke(&bed.gateway, &json!({"issuer": bed.url, name: value}));
            for _ in 0..3 {
                bed.assert_revoked("opaque-1", name);
            }
        }
    }
}
