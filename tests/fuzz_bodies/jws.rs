//! The input is a token, or three lines: header and payload unencoded, and the encoded signature.
//!
//! A token classified as a JWT is canonical: its parts form the token again, its header is parsed
//! exactly, and no parameter changes the signed bytes. An opaque token does not look like a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::oauth::jose::{CompactJws, TokenShape, classify};
use serde_json::{Map, Value};

use super::members;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    judge(text);
    let lines: Vec<&str> = text.lines().collect();
    if let [header, payload, signature] = lines[..] {
        judge(&format!(
            "{}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        ));
    }
}

fn judge(token: &str) {
    match classify(token) {
        Ok(TokenShape::Jwt(jws)) => assert_canonical(token, &jws),
        Ok(TokenShape::Opaque) => assert!(!looks_like_a_jwt(token), "{token} looks like a JWT"),
        Err(error) => {
            assert!(looks_like_a_jwt(token), "{token}: {error}");
            assert!(
                !error.to_string().contains(['\r', '\n']),
                "{error} forges a line of the log"
            );
        }
    }
}

fn assert_canonical(token: &str, jws: &CompactJws<'_>) {
    assert_eq!(
        format!("{}.{}", jws.signing_input(), jws.signature()),
        token
    );
    let (first, second) = jws
        .signing_input()
        .split_once('.')
        .expect("two parts are signed");
    assert_eq!(
        URL_SAFE_NO_PAD.encode(jws.payload()),
        second,
        "a payload has one encoding"
    );
    let header = header_of(first).expect("a JWT's header is a JSON object");
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    assert_eq!(text("alg"), Some(jws.header().algorithm.name()));
    assert_eq!(text("kid"), jws.header().kid.as_deref());
    assert_eq!(text("typ"), jws.header().token_type.as_deref());
    assert!(
        !header.contains_key("crit") && !header.contains_key("b64"),
        "{token} changes what is signed"
    );
    assert!(
        header.get("zip").is_none_or(|zip| zip == "NONE"),
        "{token} is compressed"
    );
    for accepted in ["at+jwt", "application/at+jwt", "JWT", ""] {
        let is_accepted = match text("typ") {
            None => accepted.is_empty(),
            Some(written) => !accepted.is_empty() && subtype(written) == subtype(accepted),
        };
        assert_eq!(
            jws.check_type(&[accepted.to_owned()]).is_ok(),
            is_accepted,
            "{accepted:?} of {token}"
        );
    }
    // A signature that also occurs in the header is not secret.
    let (debug, header_text) = (
        format!("{jws:?}"),
        Value::Object(header.clone()).to_string(),
    );
    let is_in_header = jws.signature().len() < 16 || header_text.contains(jws.signature());
    assert!(
        is_in_header || !debug.contains(jws.signature()),
        "{debug} shows the signature"
    );
}

fn looks_like_a_jwt(token: &str) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    let [first, _, _] = parts[..] else {
        return false;
    };
    header_of(first).is_some_and(|header| header.contains_key("alg"))
        || URL_SAFE_NO_PAD
            .decode(first)
            .is_ok_and(|text| members::are_repeated(&text))
}

fn header_of(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn subtype(media_type: &str) -> String {
    let media_type = media_type.to_ascii_lowercase();
    media_type
        .strip_prefix("application/")
        .map(str::to_owned)
        .unwrap_or(media_type)
}
