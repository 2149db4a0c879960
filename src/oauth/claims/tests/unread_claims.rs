//! Claims that no rule reads.

use serde_json::json;

use super::*;

fn unread(claims: &Value, expected: Option<&Expectation>) -> UnreadClaims {
    let claims = Claims::parse(claims.to_string().as_bytes()).expect("it is an object");
    claims.unread(expected)
}

#[test]
fn claims_that_no_rule_reads_are_listed_by_name() {
    let mut claims = with("roles", json!(["admin"]));
    claims["scp"] = json!("c");
    claims["tid"] = json!("t");
    claims["token_use"] = json!("access");
    let found = unread(&claims, Some(&expectation()));
    assert_eq!(found.others, ["client_id", "sub", "tid"]);
    assert_eq!(
        found.scopes,
        [
            UnreadScopeClaim::NotListed {
                claim: "roles".to_owned()
            },
            UnreadScopeClaim::Later {
                claim: "scp".to_owned(),
                read: "scope".to_owned()
            },
        ]
    );
    let required = Expectation {
        required_claims: vec!["tid".to_owned(), "roles".to_owned()],
        scope_claims: ScopeClaims::first_of(["scp"]),
        ..expectation()
    };
    let found = unread(&claims, Some(&required));
    assert_eq!(found.others, ["client_id", "sub"]);
    assert_eq!(
        found.scopes,
        [UnreadScopeClaim::NotListed {
            claim: "scope".to_owned()
        }]
    );
}

#[test]
fn pointer_reads_its_claim_only_if_it_finds_something() {
    let claims = json!({ "realm_access": { "roles": ["a"] }, "resource_access": { "app": {} } });
    let additional = |pointer: &str| AdditionalScopes {
        claim: ClaimReference::parse(pointer).expect("a pointer"),
        prefix: String::new(),
        wildcards: GrantedWildcards::Literal,
    };
    let expected = Expectation {
        scope_claims: ScopeClaims {
            names: Vec::new(),
            additional: vec![
                additional("/realm_access/roles"),
                additional("/resource_access/app/roles"),
            ],
            separator: crate::values::ScopeSeparator::Space,
        },
        ..expectation()
    };
    let found = unread(&claims, Some(&expected));
    assert_eq!(
        found.scopes,
        [UnreadScopeClaim::NothingAt {
            claim: "resource_access".to_owned(),
            pointer: "/resource_access/app/roles".to_owned()
        }]
    );
    assert_eq!(found.others, [""; 0]);
}

#[test]
fn without_an_issuer_no_claim_is_read() {
    let found = unread(&with("roles", json!("admin")), None);
    assert_eq!(
        found.others,
        [
            "aud",
            "client_id",
            "exp",
            "iat",
            "iss",
            "roles",
            "scope",
            "sub"
        ]
    );
    assert_eq!(found.scopes, []);
}

#[test]
fn use_of_the_leeway_is_what_the_rules_decide() {
    let leeway = |claim: &str, seconds: i64| {
        let claims = with(claim, json!(NOW + seconds));
        let claims = Claims::parse(claims.to_string().as_bytes()).expect("it is an object");
        let checks = claims.checks(&expectation(), UnixTime::from_seconds(NOW));
        let check = checks.into_iter().find(|check| check.claim == claim);
        let check = check.expect("the rule has a check");
        let FoundValue::Time { leeway, .. } = check.found else {
            panic!("{claim} is a time")
        };
        assert_eq!(
            matches!(leeway, LeewayUse::Exceeded { .. }),
            check.broken.is_some(),
            "{claim} {seconds}"
        );
        leeway
    };
    let within = LeewayUse::Within(Duration::from_secs(30));
    let exceeded = |by| LeewayUse::Exceeded {
        by: Duration::from_secs(by),
    };
    for (claim, seconds, expected) in [
        ("exp", 1, LeewayUse::NotNeeded),
        ("exp", 0, within),
        ("exp", -29, within),
        ("exp", -30, exceeded(0)),
        ("exp", -90, exceeded(60)),
        ("nbf", 0, LeewayUse::NotNeeded),
        ("nbf", 1, within),
        ("nbf", 30, within),
        ("nbf", 31, exceeded(1)),
        ("iat", -5, LeewayUse::NotNeeded),
        ("iat", 30, within),
        ("iat", 90, exceeded(60)),
    ] {
        assert_eq!(leeway(claim, seconds), expected, "{claim} {seconds}");
    }
}
