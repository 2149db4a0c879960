//! `step_up`: how the user of a token must have signed in (RFC 9470).

use harness::{Connection, Gateway, NOW, Reply, Server, TestBed};
use serde_json::{Value, json};

const ROUTES: &str = "
[[routes]]
path = \"/both\"
scope = \"pay\"
step_up = { acr = [\"phr\", \"phrh\"], max_age = \"5m\" }
claims = [{ claim = \"azp\", is = \"web\" }]
upstream = \"up\"
[[routes]]
path = \"/recent/{id}\"
scope = \"pay.{id}\"
step_up = { max_age = \"5m\" }
upstream = \"up\"
[[routes]]
path = \"/shadow\"
step_up = { acr = \"phr\" }
enforce = false
upstream = \"up\"
[[routes]]
path = \"/plain\"
upstream = \"up\"
";

const ERROR: &str = "Bearer error=\"insufficient_user_authentication\"";

fn token(test_bed: &TestBed, scope: &str, changed: Value) -> String {
    let mut claims = test_bed.issuer.claims(scope);
    claims["azp"] = json!("web");
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    test_bed.key.token(&claims)
}

#[test]
fn missing_malformed_and_weak_sign_ins_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let expected = format!("{ERROR}, acr_values=\"phr phrh\", max_age=\"300\"");
    for changed in [
        json!({}),
        json!({ "acr": "phr" }),
        json!({ "auth_time": NOW }),
        json!({ "acr": "pwd", "auth_time": NOW }),
        json!({ "acr": ["phr"], "auth_time": NOW }),
        json!({ "acr": "phr phrh", "auth_time": NOW }),
        json!({ "acr": null, "auth_time": NOW }),
        json!({ "acr": "phr", "auth_time": null }),
        json!({ "acr": "phr", "auth_time": NOW.to_string() }),
        json!({ "acr": "phr", "auth_time": NOW - 301 }),
        json!({ "acr": "phr", "auth_time": NOW + 31 }),
        json!({ "acr": "phr", "auth_time": NOW * 1000 }),
        json!({ "acr": "phr", "auth_time": -1 }),
    ] {
        let token = token(&test_bed, "pay", changed.clone());
        let response = test_bed.get("/both", Some(&token));
        assert_eq!(
            (response.status, response.challenge()),
            (401, Some(&*expected)),
            "{changed}"
        );
        let problem: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(problem["status"], 401);
    }
    assert_eq!(test_bed.hits(), 0);
    for changed in [
        json!({ "acr": "phr", "auth_time": NOW }),
        json!({ "acr": "phrh", "auth_time": NOW - 300 }),
        json!({ "acr": "phr", "auth_time": NOW + 30 }),
    ] {
        let token = token(&test_bed, "pay", changed.clone());
        assert_eq!(test_bed.get("/both", Some(&token)).status, 200, "{changed}");
    }
    let series = "scopegate_requests_total{route=\"/both\",method=\"GET\",status=\"4xx\",decision=\"refused\",\
                  reason=\"insufficient_user_authentication\"}";
    assert_eq!(test_bed.metric(series), Some(13.0));
}

#[test]
fn sign_in_of_a_cached_token_grows_old() {
    let test_bed = TestBed::routes(ROUTES);
    let token = token(&test_bed, "pay.1", json!({ "auth_time": NOW }));
    let mut connection = Connection::open(test_bed.address);
    let mut status = |path: &str| {
        connection
            .ask(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
            ))
            .status
    };
    for (time, expected) in [(0, 200), (300, 200), (301, 401), (400, 401)] {
        test_bed.set_time(time);
        // The clock of a worker follows within a tick.
        if time == 301 {
            harness::eventually("the sign-in is too old", || status("/recent/1") == 401);
        }
        assert_eq!(status("/recent/1"), expected, "{time}");
        assert_eq!(status("/plain"), 200, "{time}");
    }
}

#[test]
fn one_401_names_the_missing_scope_too() {
    let test_bed = TestBed::routes(ROUTES);
    let old = token(&test_bed, "other", json!({ "auth_time": NOW - 301 }));
    let response = test_bed.get("/recent/7", Some(&old));
    let expected = format!("{ERROR}, max_age=\"300\", scope=\"pay.7\"");
    assert_eq!(
        (response.status, response.challenge()),
        (401, Some(&*expected))
    );
    let recent = token(&test_bed, "other", json!({ "auth_time": NOW }));
    let response = test_bed.get("/recent/7", Some(&recent));
    assert_eq!(response.status, 403);
    // Before the claims, and after the token.
    let wrong = token(&test_bed, "pay", json!({ "azp": "cli" }));
    assert_eq!(test_bed.get("/both", Some(&wrong)).status, 401);
    let expired = token(&test_bed, "pay", json!({ "exp": NOW - 100 }));
    let challenge = test_bed.get("/both", Some(&expired));
    assert_eq!(
        challenge.challenge(),
        Some("Bearer error=\"invalid_token\"")
    );
    assert_eq!(test_bed.get("/both", None).challenge(), Some("Bearer"));
    // A value that is no scope is refused first.
    let response = test_bed.get("/recent/a%20b", Some(&old));
    assert_eq!((response.status, response.challenge()), (400, None));
}

#[test]
fn challenge_has_every_setting_once_on_the_route_of_a_resource() {
    let top = "[challenge]\nrealm = \"pay\"\ndescribe = true\n[[resources]]\nurl = \"https://api.test/both\"\naudiences = [\"https://api.test\"]\n";
    let test_bed = TestBed::toml(top, "", "", ROUTES);
    let weak = token(&test_bed, "pay", json!({ "acr": "pwd" }));
    let response = test_bed.get("/both", Some(&weak));
    assert_eq!(
        response.challenge(),
        Some(
            "Bearer realm=\"pay\", error=\"insufficient_user_authentication\", \
             error_description=\"the user must sign in again, or in another way\", acr_values=\"phr phrh\", \
             max_age=\"300\", scope=\"pay\", \
             resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/both\""
        )
    );
}

#[test]
fn introspection_response_says_how_the_user_signed_in() {
    let test_bed = TestBed::routes("");
    let server = Server::start(|received| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let mut response = json!({ "active": true, "scope": "pay.1", "aud": "https://api.test" });
        if body.contains("token=recent") {
            response["auth_time"] = json!(NOW - 10);
        }
        Reply::json(response)
    });
    let (_, routes) = ROUTES.split_once("upstream = \"up\"\n").expect("routes");
    let gateway = Gateway::start(&format!(
        "[issuers.corp]\nissuer = \"https://issuer.test\"\naudience = \"https://api.test\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{}/ask\"\nauthentication = \"none\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{routes}",
        server.address, test_bed.upstream.address
    ));
    for (token, status) in [("recent", 200), ("unknown", 401), ("recent", 200)] {
        let response = harness::get(gateway.address, "/recent/1", Some(token));
        assert_eq!(response.status, status, "{token}");
    }
}

#[test]
fn shadow_mode_forwards_and_counts() {
    let test_bed = TestBed::routes(ROUTES);
    let weak = token(&test_bed, "", json!({}));
    assert_eq!(test_bed.get("/shadow", Some(&weak)).status, 200);
    let series = "scopegate_requests_total{route=\"/shadow\",method=\"GET\",status=\"2xx\",decision=\"shadowed\",\
                  reason=\"insufficient_user_authentication\"}";
    assert_eq!(test_bed.metric(series), Some(1.0));
}
