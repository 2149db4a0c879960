use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

#[test]
fn jwt_is_parsed_into_its_parts() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","kid":"Fo+/=","alg":"RS256"}"#);
    let token = format!("{header}.eyJhIjoxfQ.c2ln");
    let jws = jwt(&token).expect("the token is well-formed");
    assert_eq!(jws.header().algorithm, Algorithm::RS256);
    assert_eq!(jws.header().kid.as_deref(), Some("Fo+/="));
    assert_eq!(jws.header().token_type.as_deref(), Some("at+jwt"));
    assert_eq!(jws.payload(), br#"{"a":1}"#);
    assert_eq!(jws.signing_input(), format!("{header}.eyJhIjoxfQ"));
    assert_eq!(jws.signature(), "c2ln");
}

#[test]
fn token_without_three_parts_and_a_header_is_opaque() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
    let padded = URL_SAFE.encode(r#"{"alg":"RS256" }"#);
    assert!(padded.ends_with('='));
    for token in [
        "0470b16b-7bf8-4fa3-9ae1-6a10e0f0b699",
        "ZjQyNGFhY2EtNTY2MS00NjVjLWEzYmEtMjIwYjFkNDI5Yjhi",
        "",
        ".",
        "..",
        "a.b.c",
        "e30.e30.",
        "W10.e30.",
        &header,
        &format!("{header}.e30"),
        &format!("{header}.e30.a.b"),
        &format!("{header}.e30.a.b.c"),
        &format!("{padded}.e30.a"),
        &format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT"}"#)),
        &format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"} x"#)),
    ] {
        assert!(matches!(classify(token), Ok(TokenShape::Opaque)), "{token}");
    }
}

#[test]
fn headers_are_checked_strictly() {
    let unsupported = |parameter| Some(JwsError::UnsupportedParameter { parameter });
    let not_a_string = |parameter| Some(JwsError::NotAString { parameter });
    let unknown = |found: &str| {
        Some(JwsError::UnknownAlgorithm {
            found: found.to_owned(),
        })
    };
    for (header, expected) in [
        (r#"{"alg":"RS256"}"#, None),
        (r#" {"alg":"RS256","kid":"","typ":"","x":[{}]} "#, None),
        (r#"{"alg":"none"}"#, Some(JwsError::Unsigned)),
        (r#"{"alg":"None"}"#, Some(JwsError::Unsigned)),
        (r#"{"alg":"nOnE"}"#, Some(JwsError::Unsigned)),
        (r#"{"alg":"\u006eone"}"#, Some(JwsError::Unsigned)),
        (r#"{"alg":"none "}"#, unknown("none ")),
        (r#"{"alg":""}"#, unknown("")),
        (r#"{"alg":"rs256"}"#, unknown("rs256")),
        (r#"{"alg":"Ed448"}"#, unknown("Ed448")),
        (r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#, unknown("RSA-OAEP")),
        (r#"{"alg":null}"#, not_a_string("alg")),
        (r#"{"alg":["RS256"]}"#, not_a_string("alg")),
        (
            r#"{"alg":"RS256","alg":"RS256"}"#,
            Some(JwsError::DuplicateMember),
        ),
        (
            r#"{"alg":"RS256","\u0061lg":"none"}"#,
            Some(JwsError::DuplicateMember),
        ),
        (
            r#"{"alg":"RS256","jwk":{"n":"","n":""}}"#,
            Some(JwsError::DuplicateMember),
        ),
        (r#"{"alg":"RS256","crit":["exp"]}"#, unsupported("crit")),
        (r#"{"alg":"RS256","crit":[]}"#, unsupported("crit")),
        (r#"{"alg":"RS256","crit":null}"#, unsupported("crit")),
        (
            r#"{"alg":"RS256","b64":false,"crit":["b64"]}"#,
            unsupported("crit"),
        ),
        (r#"{"alg":"RS256","b64":false}"#, unsupported("b64")),
        (r#"{"alg":"RS256","b64":true}"#, unsupported("b64")),
        (r#"{"alg":"RS256","zip":"NONE"}"#, None),
        (r#"{"alg":"RS256","zip":"DEF"}"#, unsupported("zip")),
        (r#"{"alg":"RS256","zip":"none"}"#, unsupported("zip")),
        (r#"{"alg":"RS256","zip":null}"#, unsupported("zip")),
        (r#"{"alg":"RS256","kid":1}"#, not_a_string("kid")),
        (r#"{"alg":"RS256","kid":null}"#, not_a_string("kid")),
        (r#"{"alg":"RS256","typ":["at+jwt"]}"#, not_a_string("typ")),
        (
            r#"{"alg":"RS256","jwk":{"kty":"oct","k":"AA"},"jku":1,"x5u":"http://evil","x5c":[]}"#,
            None,
        ),
    ] {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(jwt(&token).err(), expected, "{header}");
    }
}

#[test]
fn payload_and_signature_must_be_strict_base64url() {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
    let plus = STANDARD.encode(b"\xfb\xff\xfe");
    assert_eq!(plus, "+//+");
    for bad in ["A", "AQ==", "AR", "AQB", &plus, "AQ~", "A Q", "AQ\n"] {
        for token in [format!("{header}.{bad}.AA"), format!("{header}.e30.{bad}")] {
            assert_eq!(jwt(&token).err(), Some(JwsError::NotBase64Url), "{token}");
        }
    }
}

#[test]
fn typ_comparison_ignores_case_and_the_prefix_application() {
    for (typ, accepted, fits) in [
        (Some("at+jwt"), &["at+jwt"][..], true),
        (Some("AT+JWT"), &["at+jwt"], true),
        (Some("application/at+jwt"), &["at+jwt"], true),
        (Some("Application/At+Jwt"), &["at+jwt"], true),
        (Some("at+jwt"), &["application/at+jwt"], true),
        (Some("text/at+jwt"), &["at+jwt"], false),
        (Some("application/application/at+jwt"), &["at+jwt"], false),
        (Some("JWT"), &["at+jwt"], false),
        (Some("JWT"), &["at+jwt", "JWT", ""], true),
        (Some("rt+jwt"), &["at+jwt", "JWT", ""], false),
        (Some("logout+jwt"), &["at+jwt", "JWT", ""], false),
        (Some("dpop+jwt"), &["at+jwt", "JWT", ""], false),
        (
            Some("token-introspection+jwt"),
            &["at+jwt", "JWT", ""],
            false,
        ),
        (Some("secevent+jwt"), &["at+jwt", "JWT", ""], false),
        (Some(""), &["at+jwt", "JWT", ""], false),
        (Some("application/"), &["at+jwt", "JWT", ""], false),
        (Some(" JWT"), &["JWT"], false),
        (None, &["at+jwt", "JWT", ""], true),
        (None, &["at+jwt"], false),
        (None, &[], false),
    ] {
        let header = match typ {
            Some(typ) => serde_json::json!({"alg": "RS256", "typ": typ}),
            None => serde_json::json!({"alg": "RS256"}),
        };
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header.to_string()));
        let accepted: Vec<_> = accepted.iter().map(|typ| (*typ).to_owned()).collect();
        let result = jwt(&token)
            .expect("the token is well-formed")
            .check_type(&accepted);
        let found = match result {
            Ok(()) => None,
            Err(JwsError::WrongType { found, .. }) => Some(found),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(
            found,
            (!fits).then(|| typ.map(str::to_owned)),
            "{typ:?} {accepted:?}"
        );
    }
}

#[test]
fn messages_escape_untrusted_text_and_omit_the_token() {
    let error = JwsError::UnknownAlgorithm {
        found: "x\n\u{1b}[31m\u{202e}".to_owned(),
    };
    assert!(
        error
            .to_string()
            .ends_with(r#"but found "x\n\u{1b}[31m\u{202e}""#),
        "{error}"
    );
    let long = format!(
        "{}.c2VjcmV0.c2ln",
        URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{}"}}"#, "é".repeat(9000)))
    );
    let error = classify(&long)
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        error.len() < 300 && error.contains('…'),
        "{} bytes",
        error.len()
    );
    let token = format!(
        "{}.c2VjcmV0.c2ln",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"a\nb"}"#)
    );
    let debug = format!("{:?}", classify(&token));
    assert!(debug.contains(r"a\nb"), "{debug}");
    assert!(
        !debug.contains("c2VjcmV0") && !debug.contains("c2ln"),
        "{debug}"
    );
}

proptest! {
    #[test]
    fn classify_never_panics(token in any::<String>()) {
        let _ = classify(&token);
    }

    #[test]
    fn classify_never_panics_on_three_parts(
        header in prop_oneof![r#"\{"alg":"(RS256|none|x)"(,"(kid|typ|zip|crit)":("a"|1|null|\[\]|\{\}))?\}"#, any::<String>()],
        payload in any::<Vec<u8>>(),
        signature in "[A-Za-z0-9_=+/-]{0,8}",
    ) {
        let token = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&payload));
        if let Ok(TokenShape::Jwt(jws)) = classify(&token) {
            prop_assert_eq!(jws.payload(), payload);
            prop_assert_eq!(format!("{}.{}", jws.signing_input(), jws.signature()), token);
        }
    }
}

fn jwt(token: &str) -> Result<CompactJws<'_>, JwsError> {
    match classify(token)? {
        TokenShape::Jwt(jws) => Ok(jws),
        TokenShape::Opaque => panic!("not a JWT: {token}"),
    }
}
