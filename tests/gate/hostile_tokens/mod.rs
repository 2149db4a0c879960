//! Tokens that lie, and keys that do (R15-R23, R26).
//!
//! Each lie is a row of a table, and the row's name is what a failure says. A lie is refused in the words that belong
//! to it, and nothing of it reaches the upstream; wherever a lie is about the text and not about the signature, the
//! signature over that text is good, so that nothing but the rule in question can refuse it. A gateway that has heard
//! all of them still takes a good token.

mod claims;
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
/// Lets a lie of any size come to be judged as a token.
const WIDE: &str = "[server]\nmax_header_size = \"1MiB\"\nmax_token_size = \"512KiB\"\n";

/// A status and a challenge.
type Told = (u16, Option<&'static str>);
const INVALID_TOKEN: Told = (401, Some("Bearer error=\"invalid_token\""));
const INVALID_REQUEST: Told = (400, Some("Bearer error=\"invalid_request\""));
const TOO_LARGE: Told = (431, None);

/// Says each lie, and then the truth.
fn assert_told(test_bed: &TestBed, lies: impl IntoIterator<Item = (String, String, Told)>) {
    let truth = test_bed.token("");
    let mut wrong = Vec::new();
    for (name, lie, expected) in lies {
        assert_ne!(lie, truth, "{name}: no lie");
        let hits = test_bed.hits();
        let answer = test_bed.get("/things", Some(&lie));
        let (told, hits) = ((answer.status, answer.challenge()), test_bed.hits() - hits);
        if told != expected || hits != 0 {
            wrong.push(format!(
                "{name}: told {told:?} instead of {expected:?}, {hits} requests upstream"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        (
            test_bed.get("/things", Some(&truth)).status,
            test_bed.hits()
        ),
        (200, 1),
        "the truth"
    );
}

/// Says each lie; all of them are invalid tokens.
fn assert_refused(test_bed: &TestBed, lies: impl IntoIterator<Item = (String, String)>) {
    assert_told(
        test_bed,
        lies.into_iter()
            .map(|(name, lie)| (name, lie, INVALID_TOKEN)),
    );
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// The bytes of a member of a JWK.
fn member(jwk: &Value, name: &str) -> Vec<u8> {
    bytes(jwk[name].as_str().expect("a text"))
}

/// The usual header of a token of `stand.key`, as text that ends before its last brace.
const HEADER: &str = r#"{"alg":"ES256","typ":"at+jwt","kid":"first""#;

/// The usual header with more members.
fn header(more: &str) -> String {
    format!("{HEADER}{more}}}")
}

/// The good claims of `stand`, as text, with more members.
fn claims(test_bed: &TestBed, more: &str) -> String {
    let claims = test_bed.issuer.claims("").to_string();
    format!("{}{more}}}", claims.strip_suffix('}').expect("an object"))
}

/// The good claims of `stand`, with the text `value` for one of them.
fn claims_with(test_bed: &TestBed, name: &str, value: &str) -> String {
    let mut claims = test_bed.issuer.claims("");
    claims.as_object_mut().expect("an object").remove(name);
    let claims = claims.to_string();
    format!(
        "{},\"{name}\":{value}}}",
        claims.strip_suffix('}').expect("an object")
    )
}
