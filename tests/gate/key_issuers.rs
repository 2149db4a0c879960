//! Keys that name their issuer, as Entra publishes those of all tenants together.

use serde_json::{Value, json};

use harness::{Gateway, Key, Reply, Server, claims, eventually, get};

const ONE: &str = "https://login.test/one/v2.0";
const TWO: &str = "https://login.test/two/v2.0";
const PERSONAL: &str = "https://login.test/9188040d/v2.0";

fn with_issuer(key: &Key, issuer: Value) -> Value {
    let mut jwk = serde_json::to_value(key.jwk()).expect("JSON");
    jwk["issuer"] = issuer;
    jwk
}

/// A gateway for the tenants `one`, `two` and the personal one, with these keys.
fn gateway(keys: Vec<Value>) -> (Server, Server, Gateway) {
    let jwks = json!({ "keys": keys });
    let server = Server::start(move |_| Reply::json(&jwks));
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = Gateway::start(&format!(
        "[issuers.entra]\nissuer = [\"{ONE}\", \"{TWO}\", \"{PERSONAL}\"]\n\
         audience = \"https://api.test\"\njwks_uri = \"http://{}/keys\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/things\"\nupstream = \"up\"\n",
        server.address, upstream.address
    ));
    (server, upstream, gateway)
}

fn token(key: &Key, iss: &str, tid: &Value) -> String {
    let mut claims = claims(iss, "");
    if !tid.is_null() {
        claims["tid"] = tid.clone();
    }
    key.token(&claims)
}

#[test]
fn key_that_names_its_issuer_verifies_tokens_of_that_issuer_only() {
    let [common, personal, free] = ["common", "personal", "free"].map(Key::es256);
    let (_server, upstream, gateway) = gateway(vec![
        with_issuer(&common, json!("https://login.test/{tenantid}/v2.0")),
        with_issuer(&personal, json!(PERSONAL)),
        with_issuer(&free, json!(null)),
    ]);
    let good = token(&common, ONE, &json!("one"));
    eventually("the JWKS is fetched", || {
        get(gateway.address, "/things", Some(&good)).status == 200
    });
    let hits = upstream.hits();
    let cases = [
        (&common, ONE, json!("one"), 200),
        (&common, TWO, json!("two"), 200),
        (&common, TWO, json!("one"), 401),
        (&common, ONE, json!(null), 401),
        (&common, ONE, json!(["one"]), 401),
        (&common, ONE, json!(""), 401),
        (&common, ONE, json!("ONE"), 401),
        (&common, ONE, json!("{tenantid}"), 401),
        (&personal, ONE, json!("one"), 401),
        (&personal, ONE, json!("9188040d"), 401),
        (&personal, PERSONAL, json!("9188040d"), 200),
        (&personal, PERSONAL, json!(null), 200),
        (&free, ONE, json!(null), 200),
        (&free, TWO, json!("one"), 200),
    ];
    for (key, iss, tid, expected) in &cases {
        let token = token(key, iss, tid);
        let response = get(gateway.address, "/things", Some(&token));
        assert_eq!(response.status, *expected, "{iss} {tid}");
        if *expected == 401 {
            let line = gateway.requests.lines().pop().expect("a line");
            assert_eq!(line["reason"], "key_of_other_issuer", "{iss} {tid}");
        }
    }
    let good = cases.iter().filter(|case| case.3 == 200).count();
    assert_eq!(upstream.hits() - hits, good);
}

#[test]
fn key_whose_issuer_is_no_text_is_skipped() {
    let [free, odd] = ["free", "odd"].map(Key::es256);
    let (_server, _upstream, gateway) = gateway(vec![
        with_issuer(&free, json!(null)),
        with_issuer(&odd, json!(["https://login.test/{tenantid}/v2.0"])),
    ]);
    let good = token(&free, ONE, &json!("one"));
    eventually("the JWKS is fetched", || {
        get(gateway.address, "/things", Some(&good)).status == 200
    });
    let token = token(&odd, ONE, &json!("one"));
    assert_eq!(get(gateway.address, "/things", Some(&token)).status, 401);
}

#[test]
fn token_without_kid_is_tried_with_the_keys_of_its_issuer_only() {
    let [personal, free] = ["personal", "free"].map(Key::es256);
    let (_server, _upstream, gateway) = gateway(vec![
        with_issuer(&personal, json!(PERSONAL)),
        with_issuer(&free, json!(null)),
    ]);
    let header = json!({ "alg": "ES256", "typ": "at+jwt" });
    let without = |key: &Key, iss: &str| key.token_with(&header, &claims(iss, ""));
    eventually("the JWKS is fetched", || {
        get(gateway.address, "/things", Some(&without(&free, ONE))).status == 200
    });
    for (key, iss, expected) in [
        (&personal, PERSONAL, 200),
        (&personal, ONE, 401),
        (&free, TWO, 200),
    ] {
        let status = get(gateway.address, "/things", Some(&without(key, iss))).status;
        assert_eq!(status, expected, "{iss}");
    }
}
