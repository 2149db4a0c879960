//! Authorization codes: what they are bound to, and what their tokens say.

use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::code_flow::{REDIRECT_URI, RESOURCE, VERIFIER};
use crate::fixture::{FORMATS, Fixture, read, send};

fn assert_refused(outcome: &(StatusCode, Value), error: &str, what: &str) {
    assert_eq!(
        (outcome.0, &outcome.1["error"]),
        (StatusCode::BAD_REQUEST, &json!(error)),
        "{what}"
    );
    assert_eq!(outcome.1.get("access_token"), None, "{what}");
}

#[tokio::test]
async fn second_use_of_a_code_is_refused_and_ends_the_token_of_the_first() {
    for format in FORMATS {
        let fixture = Fixture::with_format(format).await;
        let client = fixture.public_client().await;
        let code = fixture.code(&client, &[]).await;
        let (_, response) = fixture.redeem(&client, &code, &[]).await;
        let token = response["access_token"].as_str().expect("a token");
        assert_eq!(fixture.introspect(token).await["active"], true);

        let replayed = fixture.redeem(&client, &code, &[]).await;
        assert_refused(&replayed, "invalid_grant", "a replay");
        assert_eq!(fixture.introspect(token).await, json!({ "active": false }));
        let again = fixture.redeem(&client, &code, &[]).await;
        assert_refused(&again, "invalid_grant", "a third attempt");
    }
}

#[tokio::test]
async fn code_is_bound_to_its_verifier_redirect_uri_and_resource() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let other_verifier = "a".repeat(43);
    for (changes, error) in [
        (("code_verifier", other_verifier.as_str()), "invalid_grant"),
        (("code_verifier", ""), "invalid_grant"),
        (("code_verifier", "short"), "invalid_grant"),
        (("redirect_uri", ""), "invalid_grant"),
        // The same resource to a browser, and another text.
        (
            ("redirect_uri", "http://127.0.0.1:33419/callback"),
            "invalid_grant",
        ),
        (
            ("redirect_uri", "http://127.0.0.1:33418/callback?"),
            "invalid_grant",
        ),
        (
            ("resource", "http://127.0.0.1:8080/other"),
            "invalid_target",
        ),
        (("resource", "no URI"), "invalid_target"),
    ] {
        let code = fixture.code(&client, &[]).await;
        let refused = fixture.redeem(&client, &code, &[changes]).await;
        assert_refused(&refused, error, changes.0);
        // An attempt ends the code, so that nobody can try verifiers.
        let second = fixture.redeem(&client, &code, &[]).await;
        assert_refused(&second, "invalid_grant", changes.0);
    }
}

#[tokio::test]
async fn code_is_bound_to_its_client() {
    let fixture = Fixture::new().await;
    let [client, thief] = [fixture.public_client().await, fixture.public_client().await];
    let code = fixture.code(&client, &[]).await;
    let stolen = fixture.redeem(&thief, &code, &[]).await;
    assert_refused(&stolen, "invalid_grant", "another client");

    let code = fixture.code(&client, &[]).await;
    for id in ["nobody", "test"] {
        let (status, response) = fixture.redeem(id, &code, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{id}");
        assert_eq!(response["error"], "invalid_client", "{id}");
    }
    let (status, _) = fixture
        .redeem(&client, &code, &[("client_secret", "guessed")])
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Requests that name no client do not use up its code.
    let (status, _) = fixture.redeem(&client, &code, &[]).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn forged_and_absent_codes_are_refused() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let forged = fixture.redeem(&client, "forged", &[]).await;
    assert_refused(&forged, "invalid_grant", "a forged code");
    let absent = fixture.redeem(&client, "", &[]).await;
    assert_refused(&absent, "invalid_request", "no code");
}

#[tokio::test]
async fn token_by_code_is_for_the_resource_with_the_scope_that_the_page_showed() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let code = fixture.code(&client, &[]).await;
    // The scope of the token request counts for nothing.
    let (status, response) = fixture.redeem(&client, &code, &[("scope", "admin")]).await;
    assert_eq!(status, StatusCode::OK, "{response}");
    assert_eq!(response["scope"], "mcp.use notes.read");
    assert_eq!(response.get("refresh_token"), None);
    let claims = fixture.verify(&response, Algorithm::EdDSA).await;
    assert_eq!(claims["aud"], RESOURCE);
    assert_eq!(claims["scope"], "mcp.use notes.read");
    assert_eq!(
        (&claims["client_id"], &claims["sub"]),
        (&json!(client), &json!("developer"))
    );
}

#[tokio::test]
async fn token_request_may_choose_among_the_resources_of_the_code() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let both: &[_] = &[("resource", "urn:a"), ("resource", "urn:b")];
    for (chosen, audience) in [("", json!(["urn:a", "urn:b"])), ("urn:b", json!("urn:b"))] {
        let code = fixture.code(&client, both).await;
        let (_, response) = fixture
            .redeem(&client, &code, &[("resource", chosen)])
            .await;
        let claims = fixture.verify(&response, Algorithm::EdDSA).await;
        assert_eq!(claims["aud"], audience);
    }
    let code = fixture.code(&client, &[("resource", "")]).await;
    let refused = fixture.redeem(&client, &code, &[]).await;
    assert_refused(
        &refused,
        "invalid_target",
        "a resource that nobody consented to",
    );
}

#[tokio::test]
async fn confidential_client_of_the_file_redeems_a_code_with_its_secret_only() {
    let fixture = Fixture::new().await;
    let redeem = async |secret: &str| {
        let code = fixture.code("narrow", &[("scope", "messages.write")]).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        let request = fixture.http.post(format!("{}/token", fixture.issuer()));
        read(request.basic_auth("narrow", Some(secret)).form(&form)).await
    };
    assert_eq!(redeem("guessed").await.0, StatusCode::UNAUTHORIZED);
    let (status, response) = redeem("narrow").await;
    assert_eq!(status, StatusCode::OK, "{response}");
    assert_eq!(response["scope"], "messages.write");
}

#[tokio::test]
async fn public_client_revokes_its_own_token_only() {
    let fixture = Fixture::new().await;
    let [client, other] = [fixture.public_client().await, fixture.public_client().await];
    let code = fixture.code(&client, &[]).await;
    let (_, response) = fixture.redeem(&client, &code, &[]).await;
    let token = response["access_token"].as_str().expect("a token");
    for (id, status, active) in [
        (&other, StatusCode::BAD_REQUEST, true),
        (&client, StatusCode::OK, false),
    ] {
        let request = fixture.http.post(format!("{}/revoke", fixture.issuer()));
        let request = request.form(&[("token", token), ("client_id", id)]);
        assert_eq!(send(request).await.status(), status);
        assert_eq!(fixture.introspect(token).await["active"], active);
    }
}
