//! Refusals: the report and the running gateway give the same reason and the same response.

use std::fs;

use harness::Key;
use serde_json::{Value, json};

use super::{TestBed, now, text, without_unique_values};
use crate::process::wait_for;

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}")]
}

/// A request that is refused, and the reason. `None` for one refused before `judge`.
struct RefusedRequest {
    reason: Option<&'static str>,
    method: &'static str,
    target: String,
    headers: Vec<String>,
}

fn refused(reason: &'static str, target: &str, headers: Vec<String>) -> RefusedRequest {
    RefusedRequest {
        reason: Some(reason),
        method: "GET",
        target: target.to_owned(),
        headers,
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refused_requests(test_bed: &TestBed) -> Vec<RefusedRequest> {
    let with = |change: fn(&mut Value)| bearer(&test_bed.token(change));
    let at = |claim: &'static str, seconds: i64| {
        bearer(&test_bed.token(|claims| claims[claim] = json!(now() + seconds)))
    };
    let without = |claim: &'static str| {
        bearer(&test_bed.token(|claims| _ = claims.as_object_mut().expect("claims").remove(claim)))
    };
    let of = |key: &Key, header: Value| bearer(&test_bed.token_with_header(key, header));
    let valid = || with(|_| ());
    let unreachable = bearer(
        &test_bed.token(|claims| claims["iss"] = json!(format!("http://{}:9", test_bed.address))),
    );
    let foreign_key = Key::es256("first");
    let header = |alg: &str, typ: &str, kid: &str| json!({ "alg": alg, "typ": typ, "kid": kid });
    let host = |host: &str| format!("Host: {host}");
    vec![
        refused("no_token", "/things", Vec::new()),
        refused("no_token", "/things?access_token=x", Vec::new()),
        refused(
            "no_token",
            "/things",
            vec!["Authorization: Basic dGVzdDp0ZXN0".to_owned()],
        ),
        refused("bad_authorization", "/things", [valid(), valid()].concat()),
        refused(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer a b".to_owned()],
        ),
        refused(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer".to_owned()],
        ),
        refused("opaque", "/things", bearer("garbage")),
        refused(
            "unsigned",
            "/things",
            of(&test_bed.key, header("none", "at+jwt", "first")),
        ),
        refused("too_long", "/things", bearer(&"x".repeat(17 * 1024))),
        refused("expired", "/things", at("exp", -3600)),
        refused("not_yet_valid", "/things", at("nbf", 3600)),
        refused("issued_in_future", "/things", at("iat", 3600)),
        refused(
            "not_a_numeric_date",
            "/things",
            with(|claims| claims["exp"] = json!("soon")),
        ),
        refused(
            "unbounded_expiry",
            "/things",
            with(|claims| claims["exp"] = json!(i64::MAX)),
        ),
        refused("missing_claim", "/things", without("exp")),
        refused(
            "unknown_issuer",
            "/things",
            with(|claims| claims["iss"] = json!("https://other.test")),
        ),
        refused("unknown_issuer", "/things", unreachable.clone()),
        refused(
            "wrong_audience",
            "/things",
            with(|claims| claims["aud"] = json!(["https://other.test", "b"])),
        ),
        refused("missing_audience", "/things", without("aud")),
        refused(
            "unknown_key",
            "/things",
            of(&test_bed.key, header("ES256", "at+jwt", "second")),
        ),
        refused(
            "bad_signature",
            "/things",
            of(&foreign_key, header("ES256", "at+jwt", "first")),
        ),
        refused(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("RS256", "at+jwt", "first")),
        ),
        refused(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("HS256", "at+jwt", "first")),
        ),
        refused(
            "wrong_type",
            "/things",
            of(&test_bed.key, header("ES256", "dpop+jwt", "first")),
        ),
        refused(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["nonce"] = json!("n")),
        ),
        refused(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["token_use"] = json!("id")),
        ),
        refused(
            "sender_constrained",
            "/things",
            with(|claims| claims["cnf"] = json!({ "jkt": "x" })),
        ),
        refused(
            "insufficient_scope",
            "/things",
            with(|claims| claims["scope"] = json!("things.write")),
        ),
        refused("insufficient_scope", "/things/7", valid()),
        refused(
            "insufficient_scope",
            "/either",
            with(|claims| claims["scope"] = json!("a c.")),
        ),
        refused("unusable_parameter", "/things/a*b", valid()),
        refused("issuer_unavailable", "/gone", unreachable),
        refused("no_route", "/nowhere", valid()),
        RefusedRequest {
            method: "POST",
            ..refused("method_not_allowed", "/things", valid())
        },
        RefusedRequest {
            method: "TRACE",
            ..refused("method_not_allowed", "/things", valid())
        },
        refused("ambiguous_path", "/things/../open", valid()),
        refused("ambiguous_path", "/things%2Fa", valid()),
        refused("lookalike_path", "/Admin", vec![host("look.test")]),
        refused("inadmissible", "/open", vec![host("a"), host("b")]),
        refused("inadmissible", "/open", vec![host("user@b")]),
        refused(
            "connection_nominates",
            "/open",
            vec!["Connection: Authorization".to_owned()],
        ),
        // Refused while the head is read.
        RefusedRequest {
            reason: None,
            ..refused(
                "",
                "/open",
                vec![format!("X-Long: {}", "x".repeat(40 * 1024))],
            )
        },
    ]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn explain_gives_the_response_and_reason_of_the_running_gateway() {
    let test_bed = TestBed::start();
    let mut judged = 0;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-line.md");
    let reference = fs::read_to_string(path).expect("the reference of the command line");
    for RefusedRequest {
        reason,
        method,
        target,
        headers,
    } in refused_requests(&test_bed)
    {
        let what = format!("{method} {target}: {reason:?}");
        let before = reason.map(|reason| test_bed.refused(reason));
        let served = test_bed.head(method, &target, &headers);
        let mut arguments = vec![method, &target];
        headers
            .iter()
            .for_each(|header| arguments.extend(["--header", header.as_str()]));
        let plain = test_bed.explain(&arguments);
        arguments.push("--json");
        let document = test_bed.explain(&arguments);
        assert_eq!(
            (plain.status.code(), document.status.code()),
            (Some(1), Some(1)),
            "{what}"
        );

        let report: Value = serde_json::from_slice(&document.stdout).expect("one JSON object");
        assert_eq!(
            without_unique_values(report["answer"]["head"].as_str().expect("a head")),
            served,
            "{what}"
        );
        assert_eq!(
            (report["verdict"].as_str(), report["reason"].as_str()),
            (Some("refused"), reason),
            "{what}"
        );
        for name in report.as_object().expect("an object").keys() {
            assert!(
                reference.contains(&format!("`{name}`")),
                "docs/command-line.md does not list {name}"
            );
        }
        let status: u16 = served
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        assert_eq!(report["answer"]["status"], status, "{what}");
        assert!(report["upstream_request"].is_null(), "{what}");

        let plain = without_unique_values(&text(&plain.stdout));
        assert!(plain.ends_with(&served), "{what}: {plain}");
        assert!(
            plain.contains(&format!("\nRefused: {}\n", reason.unwrap_or("not read"))),
            "{what}: {plain}"
        );
        if let Some(reason) = reason {
            judged += 1;
            wait_for("the request is logged", || {
                test_bed.reasons().len() == judged
            });
            assert_eq!(
                test_bed.reasons().last(),
                Some(&Some(reason.to_owned())),
                "{what}"
            );
            assert_eq!(Some(test_bed.refused(reason) - 1), before, "{what}");
        }
        // The first fault of the report is the reason of the refusal.
        if report["issuer"].is_object() {
            assert_eq!(first_fault(&report), reason, "{what}: {report:#}");
        }
        for token in headers
            .iter()
            .filter_map(|header| header.strip_prefix("Authorization: Bearer "))
        {
            for piece in token.split('.').filter(|piece| piece.len() > 20) {
                assert!(
                    !plain.contains(&piece[..20]) && !text(&document.stdout).contains(&piece[..20]),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(test_bed.upstream.received().len(), 0);
}

/// The reason of the first failed check in a report.
fn first_fault(report: &Value) -> Option<&str> {
    let (token, key) = (&report["token"], &report["key"]);
    if let Some(reason) = token["reason"].as_str() {
        return Some(reason);
    }
    if report["issuer"]["name"].is_null() {
        return Some(if token["kind"] == "jwt" {
            "unknown_issuer"
        } else {
            "opaque"
        });
    }
    if token["typ_ok"] == false {
        return Some("wrong_type");
    }
    match key["signature"].as_str() {
        Some("no_keys") => return Some("issuer_unavailable"),
        Some("bad") => return key["reason"].as_str(),
        _ => {}
    }
    let list = |value: &'_ Value| value.as_array().expect("a list").clone();
    let reasons = report["claims"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|check| check["reason"].as_str());
    if let Some(reason) = reasons.flatten().next() {
        return Some(reason);
    }
    let sets = list(&report["required_scopes"]);
    if sets
        .iter()
        .flat_map(list)
        .any(|scope| !scope["unusable"].is_null())
    {
        return Some("unusable_parameter");
    }
    let is_met = |set: &Value| list(set).iter().all(|scope| !scope["met_by"].is_null());
    (!sets.is_empty() && !sets.iter().any(is_met)).then_some("insufficient_scope")
}
