//! Security Event Tokens that an authorization server pushes (RFC 8417, RFC 8935).

mod acceptance;
mod hostile;
mod limits;
mod revoked;
mod tenants;

use harness::{Connection, Gateway, Issuer, Key, NOW, Response, TestBed, eventually, get, send};
use serde_json::{Value, json};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const CHANGE: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const PUSH: &str = "[revocations]\npush = \"/events\"\n";
const ROUTE: &str = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n";

/// A gateway that receives events at `/events`.
fn bed() -> TestBed {
    TestBed::toml(PUSH, "", "", ROUTE)
}

/// The claims of a token that says that the sessions of this user ended now.
fn claims(issuer: &str, subject: &str) -> Value {
    json!({
        "iss": issuer, "aud": "https://api.test", "iat": NOW, "jti": format!("event-{subject}"),
        "sub_id": { "format": "iss_sub", "iss": issuer, "sub": subject },
        "events": { SESSION_REVOKED: { "event_timestamp": NOW } },
    })
}

fn header(key: &Key) -> Value {
    let jwk = key.jwk();
    let algorithm = if jwk.is_null() { "HS256" } else { "ES256" };
    let mut header = json!({ "typ": "secevent+jwt", "alg": algorithm });
    if let Some(kid) = jwk.get("kid") {
        header["kid"] = kid.clone();
    }
    header
}

/// A Security Event Token with these claims.
fn event(key: &Key, claims: &Value) -> String {
    key.token_with(&header(key), claims)
}

fn request(body: &str) -> String {
    format!(
        "POST /events HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/secevent+jwt\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn push(gateway: &Gateway, token: &str) -> Response {
    send(gateway.address, request(token))
}

/// The status and `err` of a response.
fn outcome(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (
        response.status,
        body["err"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The first line of the access log with this reason.
fn line_of(gateway: &Gateway, reason: &str) -> Value {
    let mut found = Value::Null;
    eventually("the request is logged", || {
        let lines = gateway.requests.lines();
        let line = lines.into_iter().find(|line| line["reason"] == reason);
        found = line.unwrap_or_default();
        found.is_object()
    });
    found
}

/// An access token of a user that was issued at this time.
fn access_token(key: &Key, issuer: &Issuer, subject: &str, issued: i64) -> String {
    let mut claims = issuer.claims("");
    claims["sub"] = json!(subject);
    claims["iat"] = json!(issued);
    claims["jti"] = json!(format!("{subject}-{issued}"));
    key.token(&claims)
}
