//! Claims are parsed if they are one JSON object without duplicate members. They are accepted by
//! exactly the rules of the naive implementation here, for a strict and a lenient issuer.

use std::time::Duration;

use scopegate::oauth::UnixTime;
use scopegate::oauth::claims::{
    ActiveToken, AudienceCheck, Claims, ClaimsError, Expectation, ExpectedAudience, ScopeClaims,
};
use scopegate::oauth::scope::{GrantedWildcards, check_scope_token};
use scopegate::values::ExpiryUnit;
use serde_json::{Map, Value};

use super::{members, scopes};

const NOW: i64 = 1_800_000_000;
const LEEWAY: i64 = 30;
const TEN_YEARS: i64 = 3653 * 24 * 60 * 60;

pub(crate) fn check(input: &[u8]) {
    let members = members::of_object(input);
    match (Claims::parse(input), &members) {
        (Ok(claims), Some(members)) => {
            assert_eq!(claims.issuer(), members.get("iss").and_then(Value::as_str))
        }
        (Err(ClaimsError::DuplicateMember), None) => assert!(members::are_repeated(input)),
        (Err(ClaimsError::NotAnObject(_)), None) => assert!(!members::are_repeated(input)),
        (read, _) => panic!("{members:?} was read as {read:?}"),
    }
    let Some(members) = members else { return };
    for expected in [strict(), lenient()] {
        let judged = Claims::parse(input)
            .expect("read before")
            .check(&expected, UnixTime::from_seconds(NOW));
        match judged {
            Ok(token) => {
                assert!(
                    is_valid(&members, &expected),
                    "{members:?} is not valid for {expected:?}"
                );
                assert_token_equals(&token, &members, &expected);
            }
            Err(error) => {
                assert!(
                    !is_valid(&members, &expected),
                    "{members:?} is valid for {expected:?}: {error}"
                );
                assert!(
                    !error.to_string().contains(['\r', '\n']),
                    "{error} forges a line of the log"
                );
            }
        }
    }
}

/// An issuer that requires every claim of RFC 9068.
pub(crate) fn strict() -> Expectation {
    Expectation {
        issuer_name: "corp".into(),
        issuers: vec!["https://id.example.com".to_owned()],
        issuer_required: true,
        audience: ExpectedAudience::OneOf {
            names: vec!["https://api.example.com".to_owned()],
            required: true,
        },
        required_claims: vec!["sub".to_owned()],
        scope_claims: ScopeClaims::first_of(["scope", "scp"]),
        claim_rules: Vec::new(),
        tenant: None,
        audience_claims: Default::default(),
        audience_check: AudienceCheck::WithClaims,
        expiry_unit: ExpiryUnit::Seconds,
        expiry_required: true,
        accept_unbounded_expiry: false,
        revocable: None,
        leeway: Duration::from_secs(30),
        granted_wildcards: GrantedWildcards::Honoured,
        refuse_id_tokens: true,
        ignore_cnf: false,
    }
}

/// An issuer with every requirement turned off.
pub(crate) fn lenient() -> Expectation {
    Expectation {
        issuer_required: false,
        audience: ExpectedAudience::OneOf {
            names: vec!["https://api.example.com".to_owned()],
            required: false,
        },
        required_claims: Vec::new(),
        expiry_unit: ExpiryUnit::Milliseconds,
        expiry_required: false,
        accept_unbounded_expiry: true,
        revocable: None,
        granted_wildcards: GrantedWildcards::Literal,
        ignore_cnf: true,
        ..strict()
    }
}

fn is_valid(members: &Map<String, Value>, expected: &Expectation) -> bool {
    is_an_access_token(members, expected.ignore_cnf)
        && is_of_the_issuer(members, expected)
        && has_our_audience(members, &expected.audience)
        && is_within_its_times(members, expected)
        && expected
            .required_claims
            .iter()
            .all(|name| members.get(name).is_some_and(|value| !value.is_null()))
        && (expected.ignore_cnf || !members.contains_key("cnf"))
        && !scopes::exceed_the_limit(pieces(members, expected).into_iter())
}

fn is_an_access_token(members: &Map<String, Value>, ignore_cnf: bool) -> bool {
    let claims_of_other_tokens = [
        "nonce",
        "at_hash",
        "c_hash",
        "events",
        "htm",
        "htu",
        "token_introspection",
    ];
    let names = [
        "access_token",
        "access",
        "bearer",
        "at+jwt",
        "application/at+jwt",
        "at",
    ];
    let is_access_token_kind = |kind: &Value| {
        kind.as_str()
            .is_some_and(|kind| names.contains(&&*kind.to_ascii_lowercase()))
    };
    let is_dpop = |kind: &Value| {
        kind.as_str()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("dpop"))
    };
    !claims_of_other_tokens
        .iter()
        .any(|claim| members.contains_key(*claim))
        && ["token_use", "typ", "tokenName", "purpose"]
            .iter()
            .filter_map(|claim| members.get(*claim))
            .all(is_access_token_kind)
        && members
            .get("token_type")
            .is_none_or(|kind| is_access_token_kind(kind) || ignore_cnf && is_dpop(kind))
}

fn is_of_the_issuer(members: &Map<String, Value>, expected: &Expectation) -> bool {
    match members.get("iss") {
        None => !expected.issuer_required,
        Some(issuer) => expected.issuers.iter().any(|name| issuer == name),
    }
}

fn has_our_audience(members: &Map<String, Value>, audience: &ExpectedAudience) -> bool {
    let ExpectedAudience::OneOf { names, required } = audience else {
        return true;
    };
    let is_ours = |audience: &Value| names.iter().any(|name| audience == name);
    match members.get("aud") {
        None => !required,
        Some(Value::Array(all)) => all.iter().all(Value::is_string) && all.iter().any(is_ours),
        Some(one) => is_ours(one),
    }
}

// Computed in 128 bits, which cannot saturate.
fn is_within_its_times(members: &Map<String, Value>, expected: &Expectation) -> bool {
    let times = ["exp", "nbf", "iat"].map(|claim| {
        members
            .get(claim)
            .map(|value| seconds(value, expected.expiry_unit))
    });
    let [expiry, not_before, issued] = match times {
        [Some(None), ..] | [_, Some(None), _] | [.., Some(None)] => return false,
        times => times.map(Option::flatten),
    };
    let (now, leeway) = (i128::from(NOW), i128::from(LEEWAY));
    let is_unbounded = |at: i128| at > now + i128::from(TEN_YEARS);
    let has_time_left = match expiry {
        None => !expected.expiry_required,
        Some(at) if is_unbounded(at) => expected.accept_unbounded_expiry,
        Some(at) => now < at + leeway,
    };
    has_time_left
        && not_before.is_none_or(|from| from - leeway <= now)
        && issued.is_none_or(|at| at <= now + leeway)
}

fn seconds(value: &Value, unit: ExpiryUnit) -> Option<i128> {
    let number = value.as_number()?;
    let whole = match number.as_i128() {
        Some(whole) => whole,
        None => number.as_f64()?.trunc() as i128,
    };
    let is_in_range = (0..=i128::from(i64::MAX)).contains(&whole) && number.as_f64()? >= 0.0;
    is_in_range.then_some(match unit {
        ExpiryUnit::Seconds => whole,
        ExpiryUnit::Milliseconds => whole / 1000,
    })
}

fn pieces<'m>(members: &'m Map<String, Value>, expected: &Expectation) -> Vec<&'m str> {
    match expected
        .scope_claims
        .names
        .iter()
        .find_map(|claim| members.get(claim))
    {
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(elements)) => elements.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn assert_token_equals(token: &ActiveToken, members: &Map<String, Value>, expected: &Expectation) {
    let written = pieces(members, expected)
        .into_iter()
        .filter(|piece| check_scope_token(piece).is_ok());
    assert_eq!(
        token.scopes().iter().collect::<Vec<_>>(),
        written.collect::<Vec<_>>(),
        "only scope-tokens grant scopes"
    );
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    assert_eq!(token.subject(), text("sub"));
    let mut names = ["client_id", "azp", "cid", "appid"].into_iter();
    assert_eq!(token.client_id(), names.find_map(text));
    let expiry = members
        .get("exp")
        .and_then(|value| seconds(value, expected.expiry_unit));
    let bounded = expiry.filter(|at| *at <= i128::from(NOW + TEN_YEARS));
    assert_eq!(
        token.expires_at().map(|at| i128::from(at.as_seconds())),
        bounded
    );
    let debug = format!("{token:?}");
    for name in ["sub", "client_id", "scope"] {
        let is_shown = text(name).is_some_and(|text| text.len() >= 12 && debug.contains(text));
        assert!(!is_shown, "{debug} contains {name}");
    }
}
