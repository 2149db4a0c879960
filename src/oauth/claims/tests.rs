use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::values::ExpiryUnit;

const NOW: i64 = 1_800_000_000;
const TEN_YEARS: i64 = 3653 * 24 * 60 * 60;

#[test]
fn valid_claims_become_an_active_token() {
    let active = check(&valid(), &expectation()).expect("the claims are valid");
    assert_eq!(active.issuer_name(), "corp");
    assert_eq!(active.issuer(), Some("https://id.example.com"));
    assert_eq!(active.subject(), Some("alice"));
    assert_eq!(active.client_id(), Some("shop"));
    assert_eq!(active.scopes().to_string(), "a b");
    assert_eq!(active.expires_at(), Some(UnixTime::from_seconds(NOW + 60)));
}

// R15
#[test]
fn claims_of_other_kinds_of_token_are_refused() {
    for claim in [
        "nonce",
        "at_hash",
        "c_hash",
        "events",
        "htm",
        "htu",
        "token_introspection",
    ] {
        for value in [json!("x"), json!({}), json!(null), json!(false)] {
            assert_eq!(
                reason(&with(claim, value)),
                Some("other_kind_of_token"),
                "{claim}"
            );
        }
    }
    for claim in ["token_use", "typ", "tokenName", "purpose"] {
        for access in [
            "access_token",
            "access",
            "Bearer",
            "bearer",
            "at+jwt",
            "application/AT+JWT",
            "at",
        ] {
            assert_eq!(
                reason(&with(claim, json!(access))),
                None,
                "{claim} {access}"
            );
        }
        for other in [
            json!("id"),
            json!("id_token"),
            json!("ID"),
            json!("refresh"),
            json!("refresh_token"),
            json!("Offline"),
            json!("Logout"),
            json!("JWT"),
            json!("DPoP"),
            json!("access_token "),
            json!(""),
            json!(null),
            json!(1),
            json!(["access_token"]),
        ] {
            assert_eq!(
                reason(&with(claim, other.clone())),
                Some("other_kind_of_token"),
                "{claim} {other}"
            );
        }
    }
}

// R15
#[test]
fn token_of_another_token_type_is_refused() {
    for used_as_bearer in ["Bearer", "bearer", "access_token"] {
        assert_eq!(
            reason(&with("token_type", json!(used_as_bearer))),
            None,
            "{used_as_bearer}"
        );
    }
    for other in [
        json!("refresh_token"),
        json!("N_A"),
        json!("mac"),
        json!(""),
        json!(null),
        json!(["Bearer"]),
    ] {
        assert_eq!(
            reason(&with("token_type", other.clone())),
            Some("other_kind_of_token"),
            "{other}"
        );
    }
    assert_eq!(
        reason(&with("token_type", json!("DPoP"))),
        Some("sender_constrained")
    );
    let ignoring = Expectation {
        ignore_cnf: true,
        ..expectation()
    };
    assert_eq!(
        reason_by(&with("token_type", json!("DPoP")), &ignoring),
        None
    );
}

#[test]
fn introspection_response_overrides_the_claims_of_the_token() {
    let token = check(&valid(), &expectation()).expect("the claims are valid");
    let optional = Expectation {
        issuer_required: false,
        expiry_required: false,
        ..expectation()
    };
    let combined = |response: &str| {
        let response = Claims::parse(response.as_bytes()).expect("an object");
        response
            .complete_from(&token, &optional.scope_claims)
            .check(&optional, UnixTime::from_seconds(NOW))
    };
    let narrowed = combined(r#"{"scope":"a","exp":1800000600}"#)
        .expect("both are valid")
        .ending_by(token.expires_at());
    assert_eq!(
        (narrowed.scopes().to_string().as_str(), narrowed.subject()),
        ("a", Some("alice"))
    );
    assert_eq!(
        narrowed.expires_at(),
        Some(UnixTime::from_seconds(NOW + 60)),
        "the earlier expiry holds"
    );
    let renamed = combined(r#"{"scp":["a"]}"#).expect("both are valid");
    assert_eq!(
        renamed.scopes().to_string(),
        "a",
        "the scope claim of the token, under another name, does not count"
    );
    assert_eq!(
        combined(r#"{"aud":"other"}"#)
            .err()
            .map(|error| error.reason()),
        Some("wrong_audience")
    );
}

// R16
#[test]
fn issuer_is_compared_byte_for_byte() {
    for issuer in ["https://id.example.com", "https://t:443/am"] {
        assert_eq!(reason(&with("iss", json!(issuer))), None, "{issuer}");
    }
    for issuer in [
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("https://id.example.com:443"),
        json!("https://t/am"),
        json!(""),
        json!(["https://id.example.com"]),
        json!(null),
        json!(1),
    ] {
        assert_eq!(
            reason(&with("iss", issuer.clone())),
            Some("wrong_issuer"),
            "{issuer}"
        );
    }
    assert_eq!(reason(&without("iss")), Some("missing_claim"));

    let optional = Expectation {
        issuer_required: false,
        ..expectation()
    };
    assert_eq!(reason_by(&without("iss"), &optional), None);
    assert_eq!(
        reason_by(&with("iss", json!("other")), &optional),
        Some("wrong_issuer")
    );
}

// R17
#[test]
fn audience_must_name_this_gateway() {
    for (audience, expected) in [
        (json!("api"), None),
        (json!("also-api"), None),
        (json!(["other", "api"]), None),
        (json!("other"), Some("wrong_audience")),
        (json!("API"), Some("wrong_audience")),
        (json!("api other"), Some("wrong_audience")),
        (json!(""), Some("wrong_audience")),
        (json!([]), Some("wrong_audience")),
        (json!(["other"]), Some("wrong_audience")),
        (json!(["api", 1]), Some("wrong_audience")),
        (json!([["api"]]), Some("wrong_audience")),
        (json!({"api": "api"}), Some("wrong_audience")),
        (json!(null), Some("wrong_audience")),
        (json!(0), Some("wrong_audience")),
    ] {
        let claims = with("aud", audience.clone());
        assert_eq!(reason(&claims), expected, "{audience}");
        assert_eq!(
            reason_by(&claims, &audience_optional()),
            expected,
            "{audience}"
        );
        assert_eq!(
            reason_by(
                &claims,
                &Expectation {
                    audience: ExpectedAudience::Any,
                    ..expectation()
                }
            ),
            None
        );
    }
    assert_eq!(reason(&without("aud")), Some("missing_audience"));
    assert_eq!(reason_by(&without("aud"), &audience_optional()), None);
    assert_eq!(
        reason_by(
            &without("aud"),
            &Expectation {
                audience: ExpectedAudience::Any,
                ..expectation()
            }
        ),
        None
    );
}

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

#[test]
fn required_claims_must_be_present_and_not_null() {
    let expected = Expectation {
        required_claims: vec!["jti".to_owned(), "sub".to_owned()],
        ..expectation()
    };
    assert_eq!(reason_by(&valid(), &expected), Some("missing_claim"));
    assert_eq!(
        reason_by(&with("jti", json!(null)), &expected),
        Some("missing_claim")
    );
    assert_eq!(reason_by(&with("jti", json!("1")), &expected), None);
    assert_eq!(reason_by(&with("jti", json!(1)), &expected), None);
}

// R43
#[test]
fn token_bound_to_a_key_is_refused() {
    let ignoring = Expectation {
        ignore_cnf: true,
        ..expectation()
    };
    for cnf in [
        json!({"jkt": "x"}),
        json!({"x5t#S256": "x"}),
        json!({}),
        json!(null),
        json!(""),
        json!([]),
    ] {
        assert_eq!(
            reason(&with("cnf", cnf.clone())),
            Some("sender_constrained"),
            "{cnf}"
        );
        assert_eq!(
            reason_by(&with("cnf", cnf.clone()), &ignoring),
            None,
            "{cnf}"
        );
    }
}

#[test]
fn scopes_come_from_the_first_claim_that_is_present() {
    let too_many: String = (0..1025).map(|scope| format!("s{scope} ")).collect();
    for (scope, scp, expected) in [
        (Some(json!("a b")), Some(json!("c")), Ok("a b")),
        (Some(json!(["a", "b"])), None, Ok("a b")),
        (Some(json!(["a b", "c", 1, null, ["d"], ""])), None, Ok("c")),
        (None, Some(json!(["c"])), Ok("c")),
        (None, Some(json!("c")), Ok("c")),
        (None, None, Ok("")),
        (Some(json!("")), Some(json!("c")), Ok("")),
        (Some(json!(null)), Some(json!("c")), Ok("")),
        (Some(json!(7)), None, Ok("")),
        (Some(json!({"a": "b"})), None, Ok("")),
        (Some(json!(too_many)), None, Err("too_many_scopes")),
        (
            Some(json!(too_many.split(' ').collect::<Vec<_>>())),
            None,
            Err("too_many_scopes"),
        ),
    ] {
        let mut claims = without("scope");
        for (claim, value) in [("scope", scope), ("scp", scp)] {
            if let Some(value) = value {
                claims[claim] = value;
            }
        }
        let found = check(&claims, &expectation()).map(|active| active.scopes().to_string());
        assert_eq!(
            found.map_err(|error| error.reason()),
            expected.map(str::to_owned),
            "{claims}"
        );
    }
}

// R22
#[test]
fn duplicate_claims_are_refused() {
    for text in [
        r#"{"aud":"api","aud":"other"}"#,
        r#"{"aud":"api","a\u0075d":1}"#,
        r#"{"x":[{"y":1,"y":1}]}"#,
    ] {
        let error = Claims::parse(text.as_bytes()).expect_err("ambiguous");
        assert_eq!(error.reason(), "duplicate_member", "{text}");
    }
    for text in ["", "[]", "null", "\"{}\"", "{}{}", "{"] {
        let error = Claims::parse(text.as_bytes()).expect_err("not an object");
        assert_eq!(error.reason(), "malformed_claims", "{text}");
    }
}

#[test]
fn issuer_is_readable_before_the_claims_are_checked() {
    for (claims, issuer) in [
        (json!({"iss": "a"}), Some("a")),
        (json!({"iss": 1}), None),
        (json!({}), None),
    ] {
        let claims = Claims::parse(claims.to_string().as_bytes()).expect("an object");
        assert_eq!(claims.issuer(), issuer);
    }
}

#[test]
fn client_id_falls_back_to_azp() {
    let mut claims = with("azp", json!("other"));
    let client = |claims: &Value| {
        check(claims, &expectation())
            .expect("valid claims")
            .client_id()
            .map(str::to_owned)
    };
    assert_eq!(client(&claims).as_deref(), Some("shop"));
    claims["client_id"] = json!(7);
    assert_eq!(client(&claims).as_deref(), Some("other"));
    assert_eq!(client(&with("client_id", json!(null))), None);
}

#[test]
fn debug_does_not_show_claims() {
    let claims = Claims::parse(valid().to_string().as_bytes()).expect("an object");
    assert_eq!(format!("{claims:?}"), "Claims { .. }");
    let active = check(&valid(), &expectation()).expect("valid claims");
    assert_eq!(
        format!("{active:?}"),
        r#"ActiveToken { issuer_name: "corp", expires_at: Some(UnixTime(1800000060)), .. }"#
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "iss|aud|exp|nbf|iat|sub|client_id|azp|scope|scp|cnf|typ|token_use|purpose|tokenName|nonce|jti",
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (NOW - 100..NOW + 100).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "https://id.example.com|api|access_token".prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(3, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    });
    prop::collection::hash_map(name, inner, 0..8).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn parse_never_panics(payload in any::<Vec<u8>>()) {
        let _ = Claims::parse(&payload);
    }

    #[test]
    fn check_never_panics_and_never_accepts_an_expired_token(
        claims in any_json(), now in prop_oneof![any::<i64>(), Just(NOW)], lax in any::<bool>(), from_valid in any::<bool>()
    ) {
        let mut members = if from_valid { valid() } else { json!({}) };
        for (name, value) in claims.as_object().expect("it is an object") {
            members[name] = value.clone();
        }
        let expected = Expectation {
            accept_unbounded_expiry: lax, expiry_required: !lax, issuer_required: !lax, ignore_cnf: lax, ..audience_optional()
        };
        let claims = Claims::parse(members.to_string().as_bytes()).expect("it is an object");
        let now = UnixTime::from_seconds(now);
        let reported = first_broken(&claims, &expected, now);
        let outcome = claims.check(&expected, now);
        prop_assert_eq!(reported, outcome.as_ref().err().map(|error| error.reason()));
        if let Ok(active) = outcome {
            prop_assert!(active.expires_at().is_none_or(|at| now < at.later_by(expected.leeway)));
            prop_assert!(lax || active.expires_at().is_some());
            for name in members.as_object().expect("it is an object").keys() {
                let _ = (active.claim_as_text(name), active.claim_as_json(name));
            }
        }
    }
}

fn expectation() -> Expectation {
    Expectation {
        issuer_name: "corp".into(),
        issuers: vec![
            "https://id.example.com".to_owned(),
            "https://t:443/am".to_owned(),
        ],
        issuer_required: true,
        audience: ExpectedAudience::OneOf {
            names: vec!["api".to_owned(), "also-api".to_owned()],
            required: true,
        },
        required_claims: Vec::new(),
        scope_claims: vec!["scope".to_owned(), "scp".to_owned()],
        expiry_unit: ExpiryUnit::Seconds,
        expiry_required: true,
        accept_unbounded_expiry: false,
        leeway: Duration::from_secs(30),
        granted_wildcards: GrantedWildcards::Honoured,
        ignore_cnf: false,
    }
}

fn milliseconds() -> Expectation {
    Expectation {
        expiry_unit: ExpiryUnit::Milliseconds,
        ..expectation()
    }
}

fn audience_optional() -> Expectation {
    let names = vec!["api".to_owned(), "also-api".to_owned()];
    Expectation {
        audience: ExpectedAudience::OneOf {
            names,
            required: false,
        },
        ..expectation()
    }
}

fn valid() -> Value {
    json!({
        "iss": "https://id.example.com", "aud": "api", "sub": "alice", "client_id": "shop", "scope": "a b",
        "exp": NOW + 60, "iat": NOW
    })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = valid();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = valid();
    claims
        .as_object_mut()
        .expect("it is an object")
        .remove(claim);
    claims
}

fn check(claims: &Value, expected: &Expectation) -> Result<ActiveToken, ClaimsError> {
    let claims = Claims::parse(claims.to_string().as_bytes())?;
    let now = UnixTime::from_seconds(NOW);
    // In every case of these tests, `checks` must report what `check` returns.
    let reported = first_broken(&claims, expected, now);
    let outcome = claims.check(expected, now);
    assert_eq!(reported, outcome.as_ref().err().map(|error| error.reason()));
    outcome
}

fn first_broken(claims: &Claims, expected: &Expectation, now: UnixTime) -> Option<&'static str> {
    claims
        .checks(expected, now)
        .into_iter()
        .find_map(|check| check.broken)
        .map(|broken| broken.reason())
}

fn reason(claims: &Value) -> Option<&'static str> {
    reason_by(claims, &expectation())
}

fn reason_by(claims: &Value, expected: &Expectation) -> Option<&'static str> {
    check(claims, expected).err().map(|error| error.reason())
}
