//! The revocation endpoint (RFC 7009), and the end of a session.

use reqwest::StatusCode;
use serde_json::json;

use crate::fixture::{FORMATS, Fixture, read, send};

#[tokio::test]
async fn revoked_token_is_inactive_and_the_others_stay_active() {
    for token_format in FORMATS {
        let fixture = Fixture::with_format(token_format).await;
        let form = |token: &str| {
            [
                ("token", token.to_owned()),
                ("client_id", "test".into()),
                ("client_secret", "test".into()),
            ]
        };
        let grant = || fixture.token("scope=*");
        let [first, second, third, other] =
            [grant().await, grant().await, grant().await, grant().await];
        for (token, revocation) in [
            (
                &first,
                fixture
                    .revocation_request(&first)
                    .basic_auth("test", Some("test")),
            ),
            (
                &second,
                fixture
                    .http
                    .post(format!("{}/revoke", fixture.issuer()))
                    .form(&form(&second)),
            ),
            (&third, fixture.end_session_request().bearer_auth(&third)),
        ] {
            let response = send(revocation).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["cache-control"], "no-store");
            assert_eq!(response.text().await.expect("a body"), "");
            assert_eq!(fixture.introspect(token).await, json!({ "active": false }));
            let response = send(fixture.introspection_request(&other).bearer_auth(token)).await;
            assert_eq!(
                response.headers()["www-authenticate"],
                r#"Bearer error="invalid_token""#
            );
        }
        assert_eq!(fixture.introspect(&other).await["active"], true);
    }
}

#[tokio::test]
async fn revoking_an_inactive_token_succeeds() {
    for token_format in FORMATS {
        let fixture = Fixture::with_format(token_format).await;
        let token = fixture.token("scope=a").await;
        for token in [&*token, &*token, "garbage", "a.b.c"] {
            let response = send(
                fixture
                    .revocation_request(token)
                    .basic_auth("test", Some("test")),
            )
            .await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn token_of_another_client_cannot_be_revoked() {
    for token_format in FORMATS {
        let fixture = Fixture::with_format(token_format).await;
        let token = fixture.token("scope=a").await;
        let request = fixture
            .revocation_request(&token)
            .basic_auth("narrow", Some("narrow"));
        let (status, response) = read(request).await;
        assert_eq!(
            (status, &response["error"]),
            (StatusCode::BAD_REQUEST, &json!("unauthorized_client"))
        );
        assert_eq!(fixture.introspect(&token).await["active"], true);
    }
}

#[tokio::test]
async fn revocation_needs_a_client_and_a_token() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=*").await;
    for (request, status, error) in [
        (fixture.revocation_request(&token), 401, "invalid_client"),
        (
            fixture
                .revocation_request(&token)
                .basic_auth("test", Some("wrong")),
            401,
            "invalid_client",
        ),
        (
            fixture.revocation_request(&token).bearer_auth(&token),
            401,
            "invalid_client",
        ),
        (
            fixture
                .revocation_request("")
                .basic_auth("test", Some("test")),
            400,
            "invalid_request",
        ),
    ] {
        let (found, response) = read(request).await;
        assert_eq!(
            (found.as_u16(), &response["error"]),
            (status, &json!(error))
        );
    }
    assert_eq!(fixture.introspect(&token).await["active"], true);
}

#[tokio::test]
async fn session_ends_only_with_an_active_token() {
    let fixture = Fixture::new().await;
    let token = fixture.token("scope=a").await;
    assert_eq!(
        send(fixture.end_session_request().bearer_auth(&token))
            .await
            .status(),
        StatusCode::OK
    );
    let invalid = r#"Bearer error="invalid_token""#;
    for (request, status, challenge) in [
        (fixture.end_session_request(), 401, "Bearer"),
        (
            fixture
                .end_session_request()
                .basic_auth("test", Some("test")),
            401,
            "Bearer",
        ),
        (
            fixture.end_session_request().bearer_auth("garbage"),
            401,
            invalid,
        ),
        (
            fixture.end_session_request().bearer_auth(&token),
            401,
            invalid,
        ),
        (
            fixture.end_session_request().bearer_auth("two words"),
            400,
            r#"Bearer error="invalid_request""#,
        ),
    ] {
        let response = send(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["www-authenticate"], challenge);
    }
}
