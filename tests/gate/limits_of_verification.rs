//! Tokens, keys and introspection responses at the edge of what the gateway accepts.

use serde_json::{Value, json};

use harness::{Gateway, Key, NOW, Reply, Server, claims, eventually, get};

const ISSUER: &str = "https://id.test";

#[test]
fn token_without_kid_is_verified_by_any_of_sixteen_keys() {
    let keys: Vec<_> = (0..17).map(|_| Key::es256("")).collect();
    for published in [12, 16, 17] {
        let (gateway, _servers) = with_keys(&keys[..published], "");
        let token = |key: &Key| {
            let header = json!({ "alg": "ES256", "typ": "at+jwt" });
            key.token_with(&header, &claims(ISSUER, ""))
        };
        eventually("the JWKS is fetched", || {
            get(gateway.address, "/", Some(&token(&keys[0]))).status == 200
        });
        for key in &keys[..published.min(16)] {
            assert_eq!(get(gateway.address, "/", Some(&token(key))).status, 200);
        }
        let unknown = get(gateway.address, "/", Some(&token(&keys[16])));
        assert_eq!(unknown.status, 401);
        let line = gateway.requests.lines().pop().expect("a line");
        assert_eq!(line["reason"], "unknown_key");
        let says_so = line["cause"].as_str().is_some_and(|cause| {
            cause.contains("16 keys of the issuer were tried, and 1 more were not")
        });
        assert_eq!(says_so, published == 17, "{line}");
    }
}

#[test]
fn empty_audience_names_nobody() {
    let key = Key::es256("k");
    let mut with_empty_audience = claims(ISSUER, "");
    with_empty_audience["aud"] = json!([]);
    let token = key.token(&with_empty_audience);
    for (issuer_keys, is_accepted) in [
        ("audience = \"https://api.test\"", false),
        (
            "audience = \"https://api.test\"\naudience_required = false",
            false,
        ),
        (
            "audience = \"client-1\"\naudience_claims = \"client_id\"",
            false,
        ),
        // Whatever the audience.
        ("audience = \"any\"", true),
    ] {
        let (gateway, _servers) = with_keys(std::slice::from_ref(&key), issuer_keys);
        eventually("the JWKS is fetched", || {
            get(gateway.address, "/", Some(&token)).status != 503
        });
        let response = get(gateway.address, "/", Some(&token));
        assert_eq!(response.status, if is_accepted { 200 } else { 401 });
        let line = gateway.requests.lines().pop().expect("a line");
        if !is_accepted {
            assert_eq!(line["reason"], "wrong_audience");
            let cause = line["cause"].as_str().expect("a cause");
            assert!(cause.contains("but found []"), "{cause}");
        }
    }
}

#[test]
fn introspection_response_of_more_than_128_kib_is_a_503_for_its_token_alone() {
    let max = 128 * 1024;
    let server = Server::start(move |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let size = match body.split(['=', '&']).nth(1) {
            Some("large") => max + 1,
            Some("largest") => max,
            _ => 0,
        };
        Reply::json(padded(size))
    });
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"{ISSUER}\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{}/introspect\"\nclient_id = \"a\"\nclient_secret = \"b\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n",
        server.address, upstream.address
    ));
    assert_eq!(get(gateway.address, "/", Some("largest")).status, 200);
    // More often than the circuit breaker would allow for an outage.
    for _ in 0..20 {
        let response = get(gateway.address, "/", Some("large"));
        assert_eq!(response.status, 503);
        assert_eq!(response.header("www-authenticate"), None);
    }
    let line = gateway.requests.lines().pop().expect("a line");
    let cause = line["cause"].as_str().expect("a cause");
    assert!(cause.contains("expected at most 131072 bytes"), "{cause}");
    assert_eq!(get(gateway.address, "/", Some("small")).status, 200);
    assert_eq!(upstream.hits(), 2);
}

/// An active response of `size` bytes, or as few as it takes.
fn padded(size: usize) -> String {
    let response = |padding: &str| -> Value {
        json!({
            "active": true, "iss": ISSUER, "aud": "https://api.test", "exp": NOW + 600, "padding": padding,
        })
    };
    let padding = size.saturating_sub(response("").to_string().len());
    response(&"x".repeat(padding)).to_string()
}

/// A gateway whose issuer publishes these keys without `kid`, and the servers behind it.
fn with_keys(keys: &[Key], issuer_keys: &str) -> (Gateway, [Server; 2]) {
    let without_kid = |key: &Key| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().expect("an object").remove("kid");
        jwk
    };
    let jwks = json!({ "keys": keys.iter().map(without_kid).collect::<Vec<_>>() });
    let issuer = Server::start(move |_| Reply::json(&jwks));
    let upstream = Server::start(|_| Reply::text("hello"));
    let audience = if issuer_keys.is_empty() {
        "audience = \"https://api.test\""
    } else {
        issuer_keys
    };
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"{ISSUER}\"\n{audience}\njwks_uri = \"http://{}/jwks\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n",
        issuer.address, upstream.address
    ));
    (gateway, [issuer, upstream])
}
