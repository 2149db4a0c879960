//! Tokens that are revoked before they expire (`[revocations]`).
//!
//! - `requests`: which requests to the admin listener are refused
//! - `selectors`: which tokens a revocation is about
//! - `cached`: cached tokens of every tier, under load, and streams
//! - `introspected`: tokens that the authorization server calls active
//! - `lifetimes`: how long tokens and revocations last

mod cached;
mod introspected;
mod lifetimes;
mod requests;
mod selectors;

use serde_json::{Value, json};

use harness::{Gateway, NOW, Response, TestBed, send};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"let me\"\n";
const ROUTE: &str = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n";

/// The usual test bed, whose tokens can be revoked.
fn test_bed(issuer_keys: &str) -> TestBed {
    TestBed::toml(&format!("{ADMIN}[revocations]\n"), issuer_keys, "", ROUTE)
}

/// Sends a body to `POST /revocations` with these header lines.
fn post(gateway: &Gateway, lines: &str, body: &str) -> Response {
    send(
        gateway.admin,
        format!(
            "POST /revocations HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

const GOOD: &str = "Authorization: Bearer let me\r\nContent-Type: application/json\r\n";

#[track_caller]
fn revoke(gateway: &Gateway, body: &Value) {
    let response = post(gateway, GOOD, &body.to_string());
    assert_eq!(
        (response.status, response.text().as_str()),
        (204, ""),
        "{body}"
    );
}

/// The reason of the last request.
fn reason(gateway: &Gateway) -> String {
    let line = gateway.requests.lines().pop().expect("a line");
    line["reason"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_revoked(bed: &TestBed, token: &str, what: &str) {
    let hits = bed.hits();
    let response = bed.get("/a", Some(token));
    assert_eq!(
        (response.status, response.challenge(), bed.hits()),
        (401, Some("Bearer error=\"invalid_token\""), hits),
        "{what}"
    );
    assert_eq!(reason(&bed.gateway), "token_revoked", "{what}");
}
