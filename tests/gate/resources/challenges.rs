//! Every `Bearer` challenge of a resource's route names its metadata (RFC 9728 §5.1).

use harness::{TestBed, send};
use serde_json::json;

use super::{TWO, token_for};

const NAMED: &str =
    "resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/one\"";

#[test]
fn challenges_name_the_metadata_and_a_401_the_scope() {
    let test_bed = TestBed::routes(TWO);
    let wrong = token_for(&test_bed, json!("https://other.test"));
    let mut claims = test_bed.issuer.claims("other");
    claims["aud"] = json!("https://api.test/one");
    let insufficient = test_bed.key.token(&claims);
    for (lines, status, expected) in [
        (
            String::new(),
            401,
            format!("Bearer scope=\"one.read\", {NAMED}"),
        ),
        (
            "Authorization: Basic dGVzdDp0ZXN0\r\n".to_owned(),
            401,
            format!("Bearer scope=\"one.read\", {NAMED}"),
        ),
        (
            "Authorization: Bearer\r\n".to_owned(),
            400,
            format!("Bearer error=\"invalid_request\", {NAMED}"),
        ),
        (
            "Authorization: Bearer garbage\r\n".to_owned(),
            401,
            format!("Bearer error=\"invalid_token\", scope=\"one.read\", {NAMED}"),
        ),
        (
            format!("Authorization: Bearer {wrong}\r\n"),
            401,
            format!("Bearer error=\"invalid_token\", scope=\"one.read\", {NAMED}"),
        ),
        (
            format!("Authorization: Bearer {insufficient}\r\n"),
            403,
            format!("Bearer error=\"insufficient_scope\", scope=\"one.read\", {NAMED}"),
        ),
    ] {
        for host in ["api.test", "evil.test"] {
            let response = send(
                test_bed.address,
                format!("GET /one HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"),
            );
            assert_eq!(response.status, status, "{lines}");
            assert_eq!(response.challenge(), Some(&*expected), "{lines}");
        }
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn each_parameter_stands_once_with_every_setting() {
    let challenge =
        "[challenge]\nrealm = \"tools\"\ndescribe = true\nscope_when_unauthenticated = true\n";
    let test_bed = TestBed::toml(challenge, "", "", TWO);
    let wrong = token_for(
        &test_bed,
        json!("x\", resource_metadata=\"https://evil.test"),
    );
    for (token, expected) in [
        (
            None,
            format!("Bearer realm=\"tools\", scope=\"one.read\", {NAMED}"),
        ),
        (
            Some(wrong),
            format!(
                "Bearer realm=\"tools\", error=\"invalid_token\", error_description=\"wrong_audience\", \
                 scope=\"one.read\", {NAMED}"
            ),
        ),
    ] {
        let response = test_bed.get("/one", token.as_deref());
        assert_eq!(response.challenge(), Some(&*expected));
    }
}

#[test]
fn responses_without_a_challenge_get_none() {
    let routes = format!(
        "{TWO}[[routes]]\npath = \"/one/near\"\nallow_from = \"10.0.0.0/8\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/one/ruled\"\nclaims = [{{ claim = \"azp\", is = \"web\" }}]\nupstream = \"up\"\n\
         [[routes]]\npath = \"/one/public\"\npublic = true\nupstream = \"up\"\n"
    );
    let test_bed = TestBed::routes(&routes);
    let token = token_for(&test_bed, json!("https://api.test/one"));
    for (path, status) in [
        ("/one/near", 403),
        ("/one/ruled", 403),
        ("/one/public", 200),
        ("/one/nowhere", 404),
        ("/one//", 400),
    ] {
        let response = test_bed.get(path, Some(&token));
        assert_eq!(
            (response.status, response.challenge()),
            (status, None),
            "{path}"
        );
    }
}

#[test]
fn scope_of_a_401_has_the_parameters_of_the_path() {
    let routes = "[[resources]]\nurl = \"https://api.test/apps\"\n[[routes]]\npath = \"/apps/{app}\"\n\
                  any_scope = [\"read apps.{app}\", \"admin\"]\nupstream = \"up\"\n\
                  [[routes]]\npath = \"/apps\"\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(routes);
    let named = "resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/apps\"";
    for (path, expected) in [
        (
            "/apps/shop",
            format!("Bearer scope=\"read apps.shop\", {named}"),
        ),
        // A value that is no scope is named in none.
        ("/apps/a%20b", format!("Bearer {named}")),
        ("/apps", format!("Bearer {named}")),
    ] {
        let response = test_bed.get(path, None);
        assert_eq!(
            (response.status, response.challenge()),
            (401, Some(&*expected))
        );
    }
}

#[test]
fn shadow_mode_forwards_a_token_for_another_audience() {
    let routes = "[[resources]]\nurl = \"https://api.test/one\"\n\
                  [[routes]]\npath = \"/one\"\nenforce = false\nupstream = \"up\"\n";
    let test_bed = TestBed::routes(routes);
    let wrong = token_for(&test_bed, json!("https://other.test"));
    assert_eq!(test_bed.get("/one", Some(&wrong)).status, 200);
    let series = "scopegate_requests_total{route=\"/one\",method=\"GET\",status=\"2xx\",decision=\"shadowed\",\
                  reason=\"wrong_audience\"}";
    assert_eq!(test_bed.metric(series), Some(1.0));
}
