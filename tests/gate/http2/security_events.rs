//! Security Event Tokens over HTTP/2.

use http::Request;
use serde_json::json;

use super::client;
use harness::{NOW, TestBed};

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

#[test]
fn event_over_http2_revokes_and_a_large_one_does_not() {
    let file = "[revocations]\npush = \"/events\"\n";
    let route = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n";
    let bed = TestBed::toml(file, "", "", route);
    let (token, iss) = (bed.token(""), &bed.issuer.url);
    let get = || client::ask(bed.address, client::get("/a", Some(&token)), b"", None);
    assert_eq!(get().status, 200);
    let claims = json!({
        "iss": iss, "aud": "https://api.test", "iat": NOW, "jti": "event",
        "sub_id": { "format": "iss_sub", "iss": iss, "sub": "client-1" },
        "events": { SESSION_REVOKED: { "event_timestamp": NOW } },
    });
    let header = json!({ "typ": "secevent+jwt", "alg": "ES256", "kid": bed.key.jwk()["kid"] });
    let event = bed.key.token_with(&header, &claims);
    let push = |body: &[u8], media_type: &str| {
        let request = Request::post("http://api.test/events").header("content-type", media_type);
        client::ask(
            bed.address,
            request.body(()).expect("a request"),
            body,
            None,
        )
    };
    let media_type = "application/secevent+jwt";
    let large = [event.as_bytes(), &vec![b'a'; 64 * 1024]].concat();
    assert_eq!(push(&large, media_type).status, 413);
    assert_eq!(push(event.as_bytes(), "text/plain").status, 400);
    assert_eq!(push(b"", media_type).status, 400);
    assert_eq!(get().status, 200, "nothing is revoked yet");
    let accepted = push(event.as_bytes(), media_type);
    assert_eq!(accepted.status, 202);
    assert!(accepted.body.is_empty());
    let refused = get();
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
}
