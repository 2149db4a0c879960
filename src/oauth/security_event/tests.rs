use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::values::ExpiryUnit;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.com";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const CHANGE: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

fn expectation() -> Expectation {
    Expectation {
        issuers: vec![ISSUER.to_owned(), "https://old.example.com".to_owned()],
        issuer_required: true,
        audience: ExpectedAudience::OneOf {
            names: vec!["api".to_owned(), "also-api".to_owned()],
            required: false,
        },
        expiry_unit: ExpiryUnit::Milliseconds,
        expiry_required: true,
        leeway: Duration::from_secs(30),
        ..Expectation::of_any_token()
    }
}

fn alice() -> Value {
    json!({ "format": "iss_sub", "iss": ISSUER, "sub": "alice" })
}

fn valid() -> Value {
    json!({
        "iss": ISSUER, "aud": "api", "iat": NOW - 5, "jti": "1", "sub_id": alice(),
        "events": { SESSION_REVOKED: {} },
    })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = valid();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = valid();
    claims.as_object_mut().expect("an object").remove(claim);
    claims
}

/// An event with this subject inside, and no other.
fn with_subject(subject: Value) -> Value {
    let mut claims = without("sub_id");
    claims["events"] = json!({ SESSION_REVOKED: { "subject": subject } });
    claims
}

fn check(claims: &Value) -> Result<Vec<SecurityEvent>, SecurityEventError> {
    let claims = SecurityEventClaims::parse(claims.to_string().as_bytes())?;
    claims.check(&expectation(), UnixTime::from_seconds(NOW))
}

fn subjects(claims: &Value) -> Result<Vec<String>, ErrorCode> {
    let events = check(claims).map_err(|error| error.code())?;
    Ok(events
        .into_iter()
        .flat_map(|event| event.subjects)
        .collect())
}

fn issued_before(claims: &Value) -> Result<i64, ErrorCode> {
    let events = check(claims).map_err(|error| error.code())?;
    Ok(events[0].issued_before.as_seconds())
}

#[test]
fn each_known_event_revokes_the_tokens_of_its_subject() {
    for (uri, event_type) in [
        (SESSION_REVOKED, EventType::SessionRevoked),
        (DISABLED, EventType::AccountDisabled),
        (CHANGE, EventType::AccountCredentialChangeRequired),
    ] {
        let events = check(&with("events", json!({ uri: {} }))).expect("a valid token");
        let expected = SecurityEvent {
            event_type,
            subjects: vec!["alice".to_owned()],
            issued_before: UnixTime::from_seconds(NOW - 5),
        };
        assert_eq!(events, [expected], "{uri}");
    }
}

#[test]
fn required_claims_must_be_present_and_of_their_type() {
    for claim in ["iss", "aud", "iat", "jti", "events"] {
        assert_eq!(
            subjects(&without(claim)),
            Err(ErrorCode::InvalidRequest),
            "{claim}"
        );
        for wrong in [json!(null), json!({}), json!([]), json!(true), json!("")] {
            let refused = subjects(&with(claim, wrong.clone()));
            let expected = if claim == "aud" {
                ErrorCode::InvalidAudience
            } else {
                ErrorCode::InvalidRequest
            };
            assert_eq!(refused, Err(expected), "{claim}: {wrong}");
        }
    }
    for payload in [
        "",
        "[]",
        "x",
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"a":{"b":1,"b":1}}"#,
    ] {
        let error = SecurityEventClaims::parse(payload.as_bytes()).err();
        assert!(
            matches!(error, Some(SecurityEventError::NotClaims(_))),
            "{payload}"
        );
    }
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    for wrong in [
        "https://id.example.com/",
        "https://ID.example.com",
        "https://evil.example",
    ] {
        let refused = subjects(&with("iss", json!(wrong)));
        assert_eq!(refused, Err(ErrorCode::InvalidIssuer), "{wrong}");
    }
    for wrong in [
        json!("API"),
        json!("other"),
        json!(["other"]),
        json!(["api", 1]),
        json!(1),
    ] {
        let refused = subjects(&with("aud", wrong.clone()));
        assert_eq!(refused, Err(ErrorCode::InvalidAudience), "{wrong}");
    }
    for good in [json!("also-api"), json!(["other", "api"])] {
        assert_eq!(subjects(&with("aud", good)), Ok(vec!["alice".to_owned()]));
    }
    let any = Expectation {
        audience: ExpectedAudience::Any,
        ..expectation()
    };
    let claims = SecurityEventClaims::parse(valid().to_string().as_bytes()).expect("an object");
    let refused = claims
        .check(&any, UnixTime::from_seconds(NOW))
        .map_err(|error| error.code());
    assert_eq!(refused, Err(ErrorCode::InvalidAudience));
}

#[test]
fn subject_of_another_issuer_is_refused() {
    for foreign in [
        json!({ "format": "iss_sub", "iss": "https://evil.example", "sub": "alice" }),
        json!({ "user": { "format": "iss_sub", "iss": "https://evil.example", "sub": "alice" } }),
        json!({ "format": "iss_sub", "iss": "https://id.example.com/", "sub": "alice" }),
    ] {
        let claims = with_subject(foreign.clone());
        assert_eq!(subjects(&claims), Err(ErrorCode::AccessDenied), "{foreign}");
        let claims = with("sub_id", foreign.clone());
        assert_eq!(subjects(&claims), Err(ErrorCode::AccessDenied), "{foreign}");
    }
}

#[test]
fn subject_is_found_where_specifications_and_drafts_put_it() {
    let old = json!({ "subject_type": "iss-sub", "iss": ISSUER, "sub": "alice" });
    let email = json!({ "format": "email", "email": "alice@example.com" });
    let session = json!({ "format": "opaque", "id": "session-1" });
    for subject in [
        alice(),
        old.clone(),
        json!({ "format": "complex", "user": alice(), "session": session.clone() }),
        json!({ "user": old, "session": session.clone(), "tenant": session }),
        json!({ "format": "aliases", "identifiers": [email, alice()] }),
    ] {
        let expected = Ok(vec!["alice".to_owned()]);
        assert_eq!(
            subjects(&with_subject(subject.clone())),
            expected,
            "{subject}"
        );
        assert_eq!(
            subjects(&with("sub_id", subject.clone())),
            expected,
            "{subject}"
        );
    }
    let mut top = without("sub_id");
    top["sub"] = json!("alice");
    assert_eq!(subjects(&top), Ok(vec!["alice".to_owned()]));
    let mut both = with_subject(json!({ "format": "iss_sub", "iss": ISSUER, "sub": "bob" }));
    both["sub_id"] = alice();
    both["sub"] = json!("carol");
    assert_eq!(
        subjects(&both),
        Ok(vec!["alice".to_owned(), "bob".to_owned()])
    );
}

#[test]
fn subject_that_names_no_user_of_the_issuer_is_refused() {
    for subject in [
        json!({ "format": "email", "email": "alice@example.com" }),
        json!({ "format": "opaque", "id": "alice" }),
        json!({ "format": "complex", "session": { "format": "opaque", "id": "1" } }),
        json!({ "format": "complex", "user": { "format": "email", "email": "a@example.com" } }),
        json!({ "format": "complex", "user": "alice" }),
        json!({ "format": "aliases", "identifiers": [] }),
        json!({ "format": "aliases", "identifiers": "alice" }),
        json!({ "format": "aliases", "identifiers": [{ "format": "aliases", "identifiers": [alice()] }] }),
        json!({ "format": "ISS_SUB", "iss": ISSUER, "sub": "alice" }),
        json!({ "format": "iss_sub", "iss": ISSUER }),
        json!({ "format": "iss_sub", "sub": "alice" }),
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": 1 }),
        json!({ "format": "iss_sub", "iss": ISSUER, "sub": "" }),
        json!({ "format": 1, "iss": ISSUER, "sub": "alice" }),
        json!({ "iss": ISSUER, "sub": "alice" }),
        json!("alice"),
        json!(null),
        json!([alice()]),
        json!({}),
    ] {
        let claims = with_subject(subject.clone());
        assert_eq!(
            subjects(&claims),
            Err(ErrorCode::InvalidRequest),
            "{subject}"
        );
    }
    assert_eq!(subjects(&without("sub_id")), Err(ErrorCode::InvalidRequest));
    let number = |count: usize| {
        let one =
            |index: usize| json!({ "format": "iss_sub", "iss": ISSUER, "sub": index.to_string() });
        let identifiers: Vec<_> = (0..count).map(one).collect();
        subjects(&with(
            "sub_id",
            json!({ "format": "aliases", "identifiers": identifiers }),
        ))
    };
    assert_eq!(number(MAX_SUBJECTS).map(|all| all.len()), Ok(MAX_SUBJECTS));
    assert_eq!(number(MAX_SUBJECTS + 1), Err(ErrorCode::InvalidRequest));
}

#[test]
fn unknown_event_is_ignored_whatever_its_subject() {
    for (subject, payload) in [
        (
            json!({ "format": "opaque", "id": "stream" }),
            json!({ "state": "x" }),
        ),
        (
            json!(7),
            json!({ "subject": 7, "event_timestamp": "never" }),
        ),
        (alice(), json!(null)),
    ] {
        let mut claims = with("sub_id", subject);
        claims["events"] = json!({ VERIFICATION: payload });
        let events = check(&claims).expect("a valid token");
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event_type, EventType::Other);
        assert!(events[0].subjects.is_empty());
    }
}

#[test]
fn all_events_of_a_token_count() {
    let bob = json!({ "subject": { "format": "iss_sub", "iss": ISSUER, "sub": "bob" } });
    let claims = with(
        "events",
        json!({ DISABLED: bob, VERIFICATION: {}, SESSION_REVOKED: {} }),
    );
    let mut found = subjects(&claims).expect("a valid token");
    found.sort();
    assert_eq!(found, ["alice", "alice", "bob"]);
    // One that cannot be used refuses the token, so that its transmitter learns of it.
    let claims = with(
        "events",
        json!({ DISABLED: { "subject": 1 }, SESSION_REVOKED: {} }),
    );
    assert_eq!(subjects(&claims), Err(ErrorCode::InvalidRequest));
    let claims = with("events", json!({ DISABLED: 1, SESSION_REVOKED: {} }));
    assert_eq!(subjects(&claims), Err(ErrorCode::InvalidRequest));
}

#[test]
fn time_of_the_event_comes_before_toe_and_iat() {
    let at = |seconds: Value| json!({ SESSION_REVOKED: { "event_timestamp": seconds } });
    assert_eq!(issued_before(&valid()), Ok(NOW - 5));
    assert_eq!(issued_before(&with("toe", json!(NOW - 50))), Ok(NOW - 50));
    let mut all = with("events", at(json!(NOW - 500)));
    all["toe"] = json!(NOW - 50);
    assert_eq!(issued_before(&all), Ok(NOW - 500));
    assert_eq!(
        issued_before(&with("events", at(json!(NOW as f64 - 0.5)))),
        Ok(NOW - 1)
    );
    // A transmitter's clock may be ahead as far as the issuer's.
    assert_eq!(
        issued_before(&with("events", at(json!(NOW + 30)))),
        Ok(NOW + 30)
    );
    for wrong in [
        json!(NOW + 31),
        json!(NOW * 1000),
        json!(-1),
        json!("1800000000"),
        json!(1e300),
        json!(null),
        json!([NOW]),
    ] {
        let refused = Err(ErrorCode::InvalidRequest);
        assert_eq!(
            issued_before(&with("events", at(wrong.clone()))),
            refused,
            "{wrong}"
        );
        assert_eq!(
            issued_before(&with("toe", wrong.clone())),
            refused,
            "{wrong}"
        );
        assert_eq!(
            issued_before(&with("iat", wrong.clone())),
            refused,
            "{wrong}"
        );
    }
}

#[test]
fn expiry_of_an_event_is_ignored() {
    for exp in [json!(NOW - 1000), json!(0), json!("x")] {
        assert_eq!(subjects(&with("exp", exp)), Ok(vec!["alice".to_owned()]));
    }
}

#[test]
fn errors_and_debug_do_not_show_the_subject() {
    let foreign = json!({ "format": "iss_sub", "iss": "https://evil.example", "sub": "alice" });
    for claims in [with("sub_id", foreign), with("sub_id", json!("alice"))] {
        let error = check(&claims).expect_err("it is refused");
        assert!(!format!("{error} {error:?}").contains("alice"));
    }
    assert!(!format!("{:?}", check(&valid())).contains("alice"));
}
