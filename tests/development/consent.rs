//! The authorization endpoint: its page, its redirects, and what it refuses.

use std::fmt::Write;

use reqwest::{Response, StatusCode};
use serde_json::json;

use crate::code_flow::{CHALLENGE, REDIRECT_URI, VERIFIER, hidden_field, parameter, target};
use crate::fixture::{Fixture, send, send_raw};

async fn assert_page_of_a_fault(response: Response, what: &str) -> String {
    assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{what}");
    assert!(!response.headers().contains_key("location"), "{what}");
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    response.text().await.expect("a page")
}

#[tokio::test]
async fn unregistered_redirect_uri_or_client_is_never_redirected_to() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    for uri in [
        "",
        "https://evil.example/callback",
        "http://127.0.0.1:33418/other",
        "http://localhost:33418/callback",
        "http://127.0.0.1:33418@evil.example/callback",
        "http://127.0.0.1:33418/callback#a",
        "http://127.0.0.1:33418/../callback/..",
        "//evil.example",
        "javascript:alert(1)",
        "app://callback",
    ] {
        let response = fixture.open(&client, &[("redirect_uri", uri)]).await;
        let page = assert_page_of_a_fault(response, uri).await;
        assert!(!page.contains("evil"), "{page}");
    }
    // A client of the file may use any loopback URI.
    let response = fixture
        .open("test", &[("redirect_uri", "https://evil.example/")])
        .await;
    assert_page_of_a_fault(response, "a client of the file").await;
    for client in ["", "nobody", "<script>alert(1)</script>"] {
        let page = assert_page_of_a_fault(fixture.open(client, &[]).await, client).await;
        assert!(!page.contains("<script"), "{page}");
    }
    let twice: &[_] = &[
        ("redirect_uri", REDIRECT_URI),
        ("redirect_uri", REDIRECT_URI),
    ];
    assert_page_of_a_fault(fixture.open(&client, twice).await, "a parameter twice").await;
    let long = "a".repeat(8 * 1024);
    assert_page_of_a_fault(
        fixture.open(&client, &[("state", &long)]).await,
        "a long query",
    )
    .await;
}

#[tokio::test]
async fn other_faults_are_redirected_with_state_and_iss() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    for (changes, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("scope", "a  b"), "invalid_scope"),
        (("scope", "\"><script>"), "invalid_scope"),
        (("resource", "/mcp"), "invalid_target"),
    ] {
        let url = target(&fixture.open(&client, &[changes]).await);
        assert_eq!(
            parameter(&url, "error").as_deref(),
            Some(error),
            "{changes:?}"
        );
        assert_eq!(parameter(&url, "state").as_deref(), Some("a b&c"));
        assert_eq!(parameter(&url, "iss"), Some(fixture.issuer()));
        assert_eq!(parameter(&url, "code"), None);
    }
    // With plain, the challenge is the verifier.
    let plain: &[_] = &[
        ("code_challenge_method", "plain"),
        ("code_challenge", VERIFIER),
    ];
    let url = target(&fixture.open(&client, plain).await);
    assert_eq!(parameter(&url, "error").as_deref(), Some("invalid_request"));
    let url = target(&fixture.open("narrow", &[("scope", "admin")]).await);
    assert_eq!(parameter(&url, "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn button_redirects_once_with_code_state_and_iss() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let page = fixture
        .open(&client, &[])
        .await
        .text()
        .await
        .expect("a page");
    let response = fixture.press(&page).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let url = target(&response);
    assert!(
        url.as_str().starts_with(&format!("{REDIRECT_URI}?code=")),
        "{url}"
    );
    assert_eq!(parameter(&url, "state").as_deref(), Some("a b&c"));
    assert_eq!(parameter(&url, "iss"), Some(fixture.issuer()));

    assert_page_of_a_fault(fixture.press(&page).await, "a second press").await;
    let guessed = page.replace(hidden_field(&page), "guessed");
    assert_page_of_a_fault(fixture.press(&guessed).await, "a guessed id").await;
}

#[tokio::test]
async fn state_is_returned_as_it_was_sent_or_not_at_all() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let hostile = "\"'><script>alert(1)</script>\r\nset-cookie: a=b&code=x#\u{e9}";
    let page = fixture.open(&client, &[("state", hostile)]).await;
    let page = page.text().await.expect("a page");
    assert!(!page.contains("alert"), "{page}");
    let response = fixture.press(&page).await;
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(
        parameter(&target(&response), "state").as_deref(),
        Some(hostile)
    );

    let page = fixture.open(&client, &[("state", "")]).await;
    let page = page.text().await.expect("a page");
    assert_eq!(
        parameter(&target(&fixture.press(&page).await), "state"),
        None
    );
}

#[tokio::test]
async fn redirect_uri_of_another_port_is_accepted_and_keeps_its_query() {
    let fixture = Fixture::new().await;
    let (_, registered) = fixture
        .register(&json!({ "redirect_uris": ["http://[::1]/callback?a=b"] }))
        .await;
    let client = registered["client_id"].as_str().expect("an id");
    let page = fixture
        .open(
            client,
            &[("redirect_uri", "http://[::1]:5000/callback?a=b")],
        )
        .await;
    let policy = page.headers()["content-security-policy"].clone();
    assert!(
        policy
            .to_str()
            .expect("ASCII")
            .contains("form-action 'self' http:;")
    );
    let page = page.text().await.expect("a page");
    let url = target(&fixture.press(&page).await);
    assert!(
        url.as_str()
            .starts_with("http://[::1]:5000/callback?a=b&code="),
        "{url}"
    );
}

#[tokio::test]
async fn page_escapes_what_clients_say() {
    let fixture = Fixture::new().await;
    let hostile = "<img src=x onerror=alert(1)>\"'&amp;\u{202e}";
    let (_, client) = fixture
        .register(&json!({
            "redirect_uris": [REDIRECT_URI], "client_name": hostile,
            "token_endpoint_auth_method": "none",
        }))
        .await;
    let client = client["client_id"].as_str().expect("an id");
    let page = fixture
        .open(client, &[("scope", "<b>&'x'"), ("resource", "urn:<i>'&")])
        .await;
    let page = page.text().await.expect("a page");
    let mut name = String::new();
    for character in hostile.chars() {
        match character {
            '<' | '>' | '"' | '\'' | '&' => {
                write!(name, "&#{};", u32::from(character)).expect("written");
            }
            other => name.push(other),
        }
    }
    assert!(page.contains(&format!("<bdi>{name}</bdi>")), "{page}");
    for forbidden in ["<img", "<b>", "<i>", "onerror=alert(1)>"] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
}

#[tokio::test]
async fn page_loads_nothing_and_cannot_be_framed_or_stored() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let page = fixture.open(&client, &[]).await;
    let headers = page.headers().clone();
    let policy = headers["content-security-policy"].to_str().expect("ASCII");
    for directive in [
        "default-src 'none'; style-src 'sha256-",
        "form-action 'self' http://127.0.0.1:33418;",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(!headers.contains_key("access-control-allow-origin"));
    let page = page.text().await.expect("a page");
    for forbidden in [
        "<script",
        "<img",
        "<link",
        "src=",
        "http-equiv",
        "onclick",
        "style=",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}: {page}");
    }
    assert_eq!(page.matches("<button type=\"submit\">").count(), 1);
    assert!(
        page.starts_with("<!doctype html>\n<html lang=\"en\">"),
        "{page}"
    );
    for shown in [
        "<title>",
        "<h1>",
        "<main>",
        "mcp.use",
        "notes.read",
        "127.0.0.1:8080/mcp",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

// A page of another origin cannot read the id of a consent page. This is the second line.
#[tokio::test]
async fn button_works_only_on_the_page_itself() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let address = fixture.servers.issuer_address;
    for (header, status) in [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Origin: http://localhost:3000", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Sec-Fetch-Site: same-origin", 303),
    ] {
        let page = fixture
            .open(&client, &[])
            .await
            .text()
            .await
            .expect("a page");
        let body = format!("request={}", hidden_field(&page));
        let request = format!(
            "POST /authorize HTTP/1.1\r\nHost: {address}\r\n{header}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = send_raw(address, &request).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{header}: {response}"
        );
    }
}

#[tokio::test]
async fn page_is_shown_to_navigations_only() {
    let fixture = Fixture::new().await;
    let client = fixture.public_client().await;
    let url = format!(
        "{}/authorize?response_type=code&client_id={client}&redirect_uri={REDIRECT_URI}\
         &code_challenge={CHALLENGE}&code_challenge_method=S256",
        fixture.issuer()
    );
    for (headers, status) in [
        (
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-dest", "document"),
            ][..],
            200,
        ),
        (
            &[("sec-fetch-site", "none"), ("sec-fetch-dest", "document")][..],
            200,
        ),
        (&[("sec-fetch-dest", "iframe")][..], 403),
        (&[("sec-fetch-dest", "image")][..], 403),
        (&[("sec-fetch-dest", "empty")][..], 403),
        (&[("origin", "http://localhost:3000")][..], 403),
    ] {
        let request = headers
            .iter()
            .fold(fixture.http.get(&url), |request, (name, value)| {
                request.header(*name, *value)
            });
        assert_eq!(send(request).await.status().as_u16(), status, "{headers:?}");
    }
    let head = send(fixture.http.head(&url)).await;
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers()["allow"], "GET, POST");
}
