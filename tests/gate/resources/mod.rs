//! `[[resources]]`: metadata, audiences and challenges of protected resources (RFC 9728).

mod audiences;
mod challenges;
mod metadata;

use harness::{Response, TestBed, send};
use serde_json::json;

/// Two resources of one host, and a route of neither.
pub(crate) const TWO: &str = "
[[resources]]
url = \"https://api.test/one\"
name = \"One\"
[[resources]]
url = \"https://api.test/two\"
audiences = [\"urn:two\"]
[[routes]]
path = [\"/one\", \"/one/more\"]
scope = \"one.read\"
upstream = \"up\"
[[routes]]
path = \"/two/{*rest}\"
scope = \"two.read\"
upstream = \"up\"
[[routes]]
path = \"/neither\"
scope = \"one.read\"
upstream = \"up\"
";

pub(crate) const METADATA: &str = "/.well-known/oauth-protected-resource";

/// A valid token with this audience and every scope.
pub(crate) fn token_for(test_bed: &TestBed, audience: serde_json::Value) -> String {
    let mut claims = test_bed.issuer.claims("one.read two.read");
    if audience.is_null() {
        claims.as_object_mut().expect("an object").remove("aud");
    } else {
        claims["aud"] = audience;
    }
    test_bed.key.token(&claims)
}

fn request(test_bed: &TestBed, method: &str, path: &str, lines: &str) -> Response {
    send(
        test_bed.address,
        format!("{method} {path} HTTP/1.1\r\n{lines}\r\n"),
    )
}

fn document(test_bed: &TestBed, path: &str) -> serde_json::Value {
    let response = request(test_bed, "GET", path, "Host: api.test\r\n");
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn file_without_resources_publishes_nothing() {
    let test_bed =
        TestBed::routes("[[routes]]\npath = \"/one\"\nscope = \"one.read\"\nupstream = \"up\"\n");
    let response = request(&test_bed, "GET", METADATA, "Host: api.test\r\n");
    assert_eq!((response.status, response.challenge()), (404, None));
    assert_eq!(test_bed.get("/one", None).challenge(), Some("Bearer"));
    let token = token_for(&test_bed, json!("https://api.test/one"));
    assert_eq!(test_bed.get("/one", Some(&token)).status, 401);
}
