//! Hostile tokens and hostile JWKS (R15-R23, R26).
//!
//! Each hostile token is a named row of a table, and failures quote the name. Each is refused with
//! the right challenge, and nothing reaches the upstream. Unless the signature itself is under
//! test, it is valid for the altered text: only the rule under test can refuse the token.
//! Afterwards, the gateway still accepts a valid token.

mod claims;
mod critical_headers;
mod encodings;
mod forms;
mod headers;
mod keys;
mod scopes;
mod signatures;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use harness::{Key, TestBed};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n";
/// Raises the size limits, so that large tokens are verified.
const WIDE: &str = "[server]\nmax_header_size = \"1MiB\"\nmax_token_size = \"512KiB\"\n";

/// The status and challenge of a refusal.
type Refused = (u16, Option<&'static str>);
const INVALID_TOKEN: Refused = (401, Some("Bearer error=\"invalid_token\""));
const INVALID_REQUEST: Refused = (400, Some("Bearer error=\"invalid_request\""));
const TOO_LARGE: Refused = (431, None);

/// Sends each hostile token and compares its refusal; then sends a valid token.
fn assert_refusals(
    test_bed: &TestBed,
    tokens: impl IntoIterator<Item = (String, String, Refused)>,
) {
    let valid = test_bed.token("");
    let mut failures = Vec::new();
    for (name, token, expected) in tokens {
        assert_ne!(token, valid, "{name}: this token is valid");
        let hits = test_bed.hits();
        let response = test_bed.get("/things", Some(&token));
        let refused = (response.status, response.challenge());
        let hits = test_bed.hits() - hits;
        if refused != expected || hits != 0 {
            failures.push(format!(
                "{name}: expected {expected:?}, but found {refused:?} and {hits} requests upstream"
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(
        (
            test_bed.get("/things", Some(&valid)).status,
            test_bed.hits()
        ),
        (200, 1),
        "the valid token"
    );
}

/// Sends each hostile token; all of them are invalid tokens.
fn assert_refused(test_bed: &TestBed, tokens: impl IntoIterator<Item = (String, String)>) {
    assert_refusals(
        test_bed,
        tokens
            .into_iter()
            .map(|(name, token)| (name, token, INVALID_TOKEN)),
    );
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// The decoded value of a member of a JWK.
fn member(jwk: &Value, name: &str) -> Vec<u8> {
    bytes(jwk[name].as_str().expect("a text"))
}

/// The usual header of a token of the test bed's key, without the closing brace.
const HEADER: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"first""#;

/// The usual header with these members appended.
fn header(more: &str) -> String {
    format!("{HEADER}{more}}}")
}

/// Valid claims as text, with these members appended.
fn claims(test_bed: &TestBed, more: &str) -> String {
    let claims = test_bed.issuer.claims("").to_string();
    format!("{}{more}}}", claims.strip_suffix('}').expect("an object"))
}

/// Valid claims as text, with the JSON text `value` for one of them.
fn claims_with(test_bed: &TestBed, name: &str, value: &str) -> String {
    let mut claims = test_bed.issuer.claims("");
    claims.as_object_mut().expect("an object").remove(name);
    let claims = claims.to_string();
    format!(
        "{},\"{name}\":{value}}}",
        claims.strip_suffix('}').expect("an object")
    )
}
