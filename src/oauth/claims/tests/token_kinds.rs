//! Claims that show another kind of token, or one bound to a key.

use serde_json::json;

use super::*;

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
