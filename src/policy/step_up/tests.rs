//! Sign-ins that suffice, and others.

use serde_json::{Value, json};

use super::*;
use crate::oauth::claims::{Claims, Expectation};

const NOW: i64 = 1_800_000_000;

fn token(claims: &Value) -> ActiveToken {
    let expectation = Expectation {
        leeway: Duration::from_secs(30),
        ..Expectation::of_any_token()
    };
    Claims::parse(claims.to_string().as_bytes())
        .and_then(|claims| claims.check(&expectation, UnixTime::from_seconds(NOW)))
        .expect("valid claims")
}

fn step_up(acr: &[&str], max_age: Option<u64>) -> StepUp {
    let acr = acr.iter().map(|acr| (*acr).into()).collect();
    StepUp::new(acr, max_age.map(Duration::from_secs))
}

#[test]
fn missing_or_malformed_claim_meets_nothing() {
    let is_met = |step_up: StepUp, claims: Value| {
        step_up
            .check(&token(&claims), UnixTime::from_seconds(NOW))
            .is_ok()
    };
    for acr in [
        json!(null),
        json!(1),
        json!(["phr"]),
        json!("PHR"),
        json!("phr "),
        json!(""),
    ] {
        assert!(
            !is_met(step_up(&["phr"], None), json!({ "acr": acr })),
            "{acr}"
        );
    }
    assert!(!is_met(step_up(&["phr"], None), json!({})));
    assert!(is_met(
        step_up(&["phr", "phrh"], None),
        json!({ "acr": "phrh" })
    ));
    for at in [
        json!(null),
        json!("1800000000"),
        json!(-1),
        json!(1e300),
        json!([NOW]),
        json!({ "at": NOW }),
        json!(true),
    ] {
        let claims = json!({ "auth_time": at });
        assert!(!is_met(step_up(&[], Some(300)), claims), "{at}");
    }
    assert!(!is_met(step_up(&[], Some(300)), json!({ "iat": NOW })));
}

#[test]
fn age_of_a_sign_in_has_exact_limits() {
    for (auth_time, expected) in [
        (json!(NOW), true),
        (json!(NOW as f64 - 299.5), true),
        (json!(NOW - 300), true),
        (json!(NOW - 301), false),
        (json!(0), false),
        (json!(NOW + 30), true),
        (json!(NOW + 31), false),
        (json!(NOW * 1000), false),
        (json!(i64::MAX), false),
        (json!(u64::MAX), false),
    ] {
        let token = token(&json!({ "auth_time": auth_time }));
        let checked = step_up(&[], Some(300)).check(&token, UnixTime::from_seconds(NOW));
        assert_eq!(checked.is_ok(), expected, "{auth_time}");
    }
    let max = step_up(&[], Some(u64::MAX));
    assert!(
        max.check(
            &token(&json!({ "auth_time": 0 })),
            UnixTime::from_seconds(NOW)
        )
        .is_ok()
    );
}

#[test]
fn unmet_step_up_says_all_that_a_new_token_needs() {
    let token = token(&json!({ "acr": "pwd", "auth_time": NOW }));
    let unmet = step_up(&["phr", "phrh"], Some(300))
        .check(&token, UnixTime::from_seconds(NOW))
        .expect_err("another acr");
    assert_eq!(unmet.acr_values.as_deref(), Some("phr phrh"));
    assert_eq!(unmet.max_age.as_deref(), Some("300"));
    assert_eq!(
        unmet.to_string(),
        "expected \"phr\" or \"phrh\" as acr, but found \"pwd\" (see step_up of the route)"
    );
}

#[test]
fn stricter_step_up_implies_a_weaker_one_only() {
    for (one, other, expected) in [
        (step_up(&["a"], None), step_up(&["a", "b"], None), true),
        (step_up(&["a", "b"], None), step_up(&["a"], None), false),
        (step_up(&[], Some(5)), step_up(&["a"], Some(5)), false),
        (step_up(&["a"], Some(5)), step_up(&[], Some(5)), true),
        (step_up(&["a"], Some(6)), step_up(&["a"], Some(5)), false),
        (step_up(&["a"], None), step_up(&["a"], Some(5)), false),
        (step_up(&["a"], Some(4)), step_up(&["a"], Some(5)), true),
    ] {
        assert_eq!(one.implies(&other), expected, "{one:?} {other:?}");
    }
}
