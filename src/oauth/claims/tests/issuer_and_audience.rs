//! `iss` and `aud`.

use serde_json::json;

use super::*;

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

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn other_claims_name_the_audience_only_without_aud() {
    let reference = |text| ClaimReference::parse(text).expect("a reference");
    let expected = |required| Expectation {
        audience: ExpectedAudience::OneOf {
            names: vec!["api".to_owned(), "shop-client".to_owned()],
            required,
        },
        audience_claims: [
            reference("aud"),
            reference("client_id"),
            reference("/act/aud"),
        ]
        .into(),
        ..expectation()
    };
    let claims = |changed: Value| {
        let mut claims = without("aud");
        claims
            .as_object_mut()
            .expect("an object")
            .remove("client_id");
        for (name, value) in changed.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    for (changed, reason) in [
        (json!({ "client_id": "shop-client" }), None),
        (json!({ "client_id": ["other", "shop-client"] }), None),
        (json!({ "act": { "aud": "api" } }), None),
        // The first one that is present counts, and `aud` before all of them.
        (
            json!({ "client_id": "other", "act": { "aud": "api" } }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": "other", "client_id": "shop-client" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": [], "client_id": "shop-client" }),
            Some("wrong_audience"),
        ),
        (
            json!({ "aud": null, "client_id": "shop-client" }),
            Some("wrong_audience"),
        ),
        (json!({ "aud": "api", "client_id": "other" }), None),
        (json!({ "client_id": null }), Some("wrong_audience")),
        (json!({ "client_id": 7 }), Some("wrong_audience")),
        (
            json!({ "client_id": ["shop-client", 7] }),
            Some("wrong_audience"),
        ),
        (json!({ "client_id": "" }), Some("wrong_audience")),
        (json!({ "azp": "shop-client" }), Some("missing_audience")),
    ] {
        assert_eq!(
            reason_by(&claims(changed.clone()), &expected(true)),
            reason,
            "{changed}"
        );
        let lax = reason.filter(|reason| *reason != "missing_audience");
        assert_eq!(
            reason_by(&claims(changed.clone()), &expected(false)),
            lax,
            "{changed}"
        );
    }
    let error =
        check(&claims(json!({ "client_id": "other" })), &expected(true)).expect_err("refused");
    assert!(
        error
            .to_string()
            .contains("as client_id (see audience), but found \"other\""),
        "{error}"
    );
}
