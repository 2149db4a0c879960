use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::values::ExpiryUnit;

impl Expectation {
    /// What any claims meet, whether they have times or not.
    pub(crate) fn of_any_token() -> Self {
        Self {
            issuer_name: "corp".into(),
            issuers: Vec::new(),
            issuer_required: false,
            audience: ExpectedAudience::Any,
            audience_claims: Default::default(),
            audience_check: AudienceCheck::WithClaims,
            required_claims: Vec::new(),
            scope_claims: ScopeClaims::first_of(["scope"]),
            claim_rules: Vec::new(),
            tenant: None,
            expiry_unit: ExpiryUnit::Seconds,
            expiry_required: false,
            accept_unbounded_expiry: false,
            revocable: None,
            leeway: Duration::ZERO,
            granted_wildcards: GrantedWildcards::Honoured,
            refuse_id_tokens: true,
            ignore_cnf: false,
        }
    }
}

mod issuer_and_audience;
mod times;
mod token_kinds;
mod unread_claims;

const NOW: i64 = 1_800_000_000;

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
                let name = ClaimReference::name(name);
                let _ = (active.claim_as_text(&name), active.claim_as_json(&name));
            }
        }
    }
}

fn expectation() -> Expectation {
    Expectation {
        issuers: vec![
            "https://id.example.com".to_owned(),
            "https://t:443/am".to_owned(),
        ],
        issuer_required: true,
        audience: ExpectedAudience::OneOf {
            names: vec!["api".to_owned(), "also-api".to_owned()],
            required: true,
        },
        scope_claims: ScopeClaims::first_of(["scope", "scp"]),
        expiry_required: true,
        leeway: Duration::from_secs(30),
        ..Expectation::of_any_token()
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
