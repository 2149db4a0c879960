//! `exp`, `nbf` and `iat`.

use serde_json::json;

use super::*;

const TEN_YEARS: i64 = 3653 * 24 * 60 * 60;

// R19
#[test]
fn times_are_checked_with_leeway_to_the_second() {
    for (claim, value, expected) in [
        ("exp", json!(NOW + 1), None),
        ("exp", json!(NOW), None),
        ("exp", json!(NOW - 29), None),
        ("exp", json!(NOW - 30), Some("expired")),
        ("exp", json!(NOW as f64 - 29.0), None),
        ("exp", json!(NOW as f64 - 29.5), Some("expired")),
        ("exp", json!(0), Some("expired")),
        ("exp", json!(NOW + TEN_YEARS), None),
        ("exp", json!(NOW + TEN_YEARS + 1), Some("unbounded_expiry")),
        ("exp", json!(NOW * 1000), Some("unbounded_expiry")),
        ("exp", json!(i64::MAX), Some("unbounded_expiry")),
        ("nbf", json!(NOW + 30), None),
        ("nbf", json!(NOW + 31), Some("not_yet_valid")),
        ("nbf", json!(i64::MAX), Some("not_yet_valid")),
        ("nbf", json!(0), None),
        ("iat", json!(NOW + 30), None),
        ("iat", json!(NOW + 31), Some("issued_in_future")),
        ("iat", json!(i64::MAX), Some("issued_in_future")),
        ("iat", json!(0), None),
    ] {
        assert_eq!(
            reason(&with(claim, value.clone())),
            expected,
            "{claim} {value}"
        );
    }
}

// R19
#[test]
fn value_that_is_not_a_time_is_refused_without_overflow() {
    for value in [
        "-1",
        "-0.5",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "-1e300",
        "\"1800000060\"",
        "\"\"",
        "null",
        "true",
        "[1800000060]",
        "{}",
    ] {
        for claim in ["exp", "nbf", "iat"] {
            let value: Value = serde_json::from_str(value).expect("the value is JSON");
            let claims = with(claim, value.clone());
            assert_eq!(
                reason(&claims),
                Some("not_a_numeric_date"),
                "{claim} {value}"
            );
            let lax = Expectation {
                accept_unbounded_expiry: true,
                expiry_required: false,
                ..expectation()
            };
            assert_eq!(
                reason_by(&claims, &lax),
                Some("not_a_numeric_date"),
                "{claim} {value}"
            );
        }
    }
    for text in [r#"{"exp":1e400}"#, r#"{"exp":NaN}"#, r#"{"exp":Infinity}"#] {
        let error = Claims::parse(text.as_bytes()).expect_err("not a JSON number");
        assert_eq!(error.reason(), "malformed_claims", "{text}");
    }
}

#[test]
fn expiry_unit_applies_to_exp_nbf_and_iat() {
    let claims = |exp: i64, nbf: i64, iat: i64| {
        let mut claims = valid();
        claims["exp"] = json!(exp);
        claims["nbf"] = json!(nbf);
        claims["iat"] = json!(iat);
        claims
    };
    let later = |milliseconds: i64| NOW * 1000 + milliseconds;
    for (claims, expected) in [
        (claims(later(60_000), later(0), later(0)), None),
        (claims(later(-29_000), later(0), later(0)), None),
        (claims(later(-29_001), later(0), later(0)), Some("expired")),
        (claims(later(60_000), later(30_999), later(30_999)), None),
        (
            claims(later(60_000), later(31_000), later(0)),
            Some("not_yet_valid"),
        ),
        (
            claims(later(60_000), later(0), later(31_000)),
            Some("issued_in_future"),
        ),
        (claims(NOW + 60, 0, 0), Some("expired")),
        (claims(i64::MAX, 0, 0), Some("unbounded_expiry")),
    ] {
        assert_eq!(reason_by(&claims, &milliseconds()), expected, "{claims}");
    }
    let active = check(&claims(later(60_999), later(0), later(0)), &milliseconds())
        .expect("the claims are valid");
    assert_eq!(active.expires_at(), Some(UnixTime::from_seconds(NOW + 60)));
}

#[test]
fn accepted_unbounded_expiry_means_never() {
    let accepting = Expectation {
        accept_unbounded_expiry: true,
        ..expectation()
    };
    for exp in [i64::MAX, NOW + TEN_YEARS + 1] {
        let active =
            check(&with("exp", json!(exp)), &accepting).expect("an unbounded expiry is accepted");
        assert_eq!(active.expires_at(), None);
    }
    assert_eq!(
        reason_by(&with("exp", json!(NOW - 30)), &accepting),
        Some("expired")
    );
}

#[test]
fn required_exp_must_be_present() {
    assert_eq!(reason(&without("exp")), Some("missing_claim"));
    let optional = Expectation {
        expiry_required: false,
        ..expectation()
    };
    let active = check(&without("exp"), &optional).expect("exp is optional");
    assert_eq!(active.expires_at(), None);
    assert_eq!(
        reason_by(&with("exp", json!(NOW - 30)), &optional),
        Some("expired")
    );
    assert_eq!(
        reason_by(&with("exp", json!(null)), &optional),
        Some("not_a_numeric_date")
    );
}

#[test]
fn extreme_times_do_not_overflow() {
    for now in [i64::MIN, -1, 0, i64::MAX] {
        for exp in [0, 1, i64::MAX] {
            for leeway in [Duration::ZERO, Duration::MAX] {
                let expected = Expectation {
                    leeway,
                    ..expectation()
                };
                let claims =
                    Claims::parse(with("exp", json!(exp)).to_string().as_bytes()).expect("claims");
                let _ = claims.check(&expected, UnixTime::from_seconds(now));
            }
        }
    }
}

fn milliseconds() -> Expectation {
    Expectation {
        expiry_unit: ExpiryUnit::Milliseconds,
        ..expectation()
    }
}
