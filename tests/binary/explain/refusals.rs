//! Refusals: the report and the running gateway give the same reason and the same response.

use std::fs;

use harness::Key;
use serde_json::{Value, json};

use super::{TestBed, now, text, undated};
use crate::process::wait;

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Authorization: Bearer {token}")]
}

/// What a request is refused for.
struct Denial {
    reason: Option<&'static str>,
    method: &'static str,
    target: String,
    headers: Vec<String>,
}

fn denial(reason: &'static str, target: &str, headers: Vec<String>) -> Denial {
    Denial {
        reason: Some(reason),
        method: "GET",
        target: target.to_owned(),
        headers,
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn denials(test_bed: &TestBed) -> Vec<Denial> {
    let with = |change: fn(&mut Value)| bearer(&test_bed.token(change));
    let at = |claim: &'static str, seconds: i64| {
        bearer(&test_bed.token(|claims| claims[claim] = json!(now() + seconds)))
    };
    let without = |claim: &'static str| {
        bearer(&test_bed.token(|claims| _ = claims.as_object_mut().expect("claims").remove(claim)))
    };
    let of = |key: &Key, header: Value| bearer(&test_bed.token_of(key, header));
    let good = || with(|_| ());
    let gone = bearer(
        &test_bed.token(|claims| claims["iss"] = json!(format!("http://{}:9", test_bed.address))),
    );
    let stranger = Key::es256("first");
    let header = |alg: &str, typ: &str, kid: &str| json!({ "alg": alg, "typ": typ, "kid": kid });
    let host = |host: &str| format!("Host: {host}");
    vec![
        denial("no_token", "/things", Vec::new()),
        denial("no_token", "/things?access_token=x", Vec::new()),
        denial(
            "no_token",
            "/things",
            vec!["Authorization: Basic dGVzdDp0ZXN0".to_owned()],
        ),
        denial("bad_authorization", "/things", [good(), good()].concat()),
        denial(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer a b".to_owned()],
        ),
        denial(
            "bad_authorization",
            "/things",
            vec!["Authorization: Bearer".to_owned()],
        ),
        denial("opaque", "/things", bearer("garbage")),
        denial(
            "unsigned",
            "/things",
            of(&test_bed.key, header("none", "at+jwt", "first")),
        ),
        denial("too_long", "/things", bearer(&"x".repeat(17 * 1024))),
        denial("expired", "/things", at("exp", -3600)),
        denial("not_yet_valid", "/things", at("nbf", 3600)),
        denial("issued_in_future", "/things", at("iat", 3600)),
        denial(
            "not_a_numeric_date",
            "/things",
            with(|claims| claims["exp"] = json!("soon")),
        ),
        denial(
            "unbounded_expiry",
            "/things",
            with(|claims| claims["exp"] = json!(i64::MAX)),
        ),
        denial("missing_claim", "/things", without("exp")),
        denial(
            "unknown_issuer",
            "/things",
            with(|claims| claims["iss"] = json!("https://other.test")),
        ),
        denial("unknown_issuer", "/things", gone.clone()),
        denial(
            "wrong_audience",
            "/things",
            with(|claims| claims["aud"] = json!(["https://other.test", "b"])),
        ),
        denial("missing_audience", "/things", without("aud")),
        denial(
            "unknown_key",
            "/things",
            of(&test_bed.key, header("ES256", "at+jwt", "second")),
        ),
        denial(
            "bad_signature",
            "/things",
            of(&stranger, header("ES256", "at+jwt", "first")),
        ),
        denial(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("RS256", "at+jwt", "first")),
        ),
        denial(
            "algorithm_not_allowed",
            "/things",
            of(&test_bed.key, header("HS256", "at+jwt", "first")),
        ),
        denial(
            "wrong_type",
            "/things",
            of(&test_bed.key, header("ES256", "dpop+jwt", "first")),
        ),
        denial(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["nonce"] = json!("n")),
        ),
        denial(
            "other_kind_of_token",
            "/things",
            with(|claims| claims["token_use"] = json!("id")),
        ),
        denial(
            "sender_constrained",
            "/things",
            with(|claims| claims["cnf"] = json!({ "jkt": "x" })),
        ),
        denial(
            "insufficient_scope",
            "/things",
            with(|claims| claims["scope"] = json!("things.write")),
        ),
        denial("insufficient_scope", "/things/7", good()),
        denial(
            "insufficient_scope",
            "/either",
            with(|claims| claims["scope"] = json!("a c.")),
        ),
        denial("unusable_parameter", "/things/a*b", good()),
        denial("issuer_unavailable", "/gone", gone),
        denial("no_route", "/nowhere", good()),
        Denial {
            method: "POST",
            ..denial("method_not_allowed", "/things", good())
        },
        Denial {
            method: "TRACE",
            ..denial("method_not_allowed", "/things", good())
        },
        denial("ambiguous_path", "/things/../open", good()),
        denial("ambiguous_path", "/things%2Fa", good()),
        denial("lookalike_path", "/Admin", vec![host("look.test")]),
        denial("inadmissible", "/open", vec![host("a"), host("b")]),
        denial("inadmissible", "/open", vec![host("user@b")]),
        denial(
            "connection_nominates",
            "/open",
            vec!["Connection: Authorization".to_owned()],
        ),
        // Before it is judged at all.
        Denial {
            reason: None,
            ..denial(
                "",
                "/open",
                vec![format!("X-Long: {}", "x".repeat(40 * 1024))],
            )
        },
    ]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn refusals_are_explained_as_the_running_gateway_refuses() {
    let test_bed = TestBed::start();
    let mut judged = 0;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-line.md");
    let reference = fs::read_to_string(page).expect("the page of the command line");
    for Denial {
        reason,
        method,
        target,
        headers,
    } in denials(&test_bed)
    {
        let what = format!("{method} {target}: {reason:?}");
        let before = reason.map(|reason| test_bed.refused(reason));
        let answered = test_bed.head(method, &target, &headers);
        let mut arguments = vec![method, &target];
        headers
            .iter()
            .for_each(|header| arguments.extend(["--header", header.as_str()]));
        let story = test_bed.explain(&arguments);
        arguments.push("--json");
        let document = test_bed.explain(&arguments);
        assert_eq!(
            (story.status.code(), document.status.code()),
            (Some(1), Some(1)),
            "{what}"
        );

        let told: Value = serde_json::from_slice(&document.stdout).expect("one JSON object");
        assert_eq!(
            undated(told["answer"]["head"].as_str().expect("a head")),
            answered,
            "{what}"
        );
        assert_eq!(
            (told["verdict"].as_str(), told["reason"].as_str()),
            (Some("refused"), reason),
            "{what}"
        );
        for name in told.as_object().expect("an object").keys() {
            assert!(
                reference.contains(&format!("`{name}`")),
                "docs/command-line.md does not list {name}"
            );
        }
        let status: u16 = answered
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        assert_eq!(told["answer"]["status"], status, "{what}");
        assert!(told["upstream_request"].is_null(), "{what}");

        let story = undated(&text(&story.stdout));
        assert!(story.ends_with(&answered), "{what}: {story}");
        assert!(
            story.contains(&format!("\nRefused: {}\n", reason.unwrap_or("not read"))),
            "{what}: {story}"
        );
        if let Some(reason) = reason {
            judged += 1;
            wait("the request is logged", || {
                test_bed.reasons().len() == judged
            });
            assert_eq!(
                test_bed.reasons().last(),
                Some(&Some(reason.to_owned())),
                "{what}"
            );
            assert_eq!(Some(test_bed.refused(reason) - 1), before, "{what}");
        }
        // The first thing that the story tells to be wrong is what the gateway refuses for.
        if told["issuer"].is_object() {
            assert_eq!(first_trouble(&told), reason, "{what}: {told:#}");
        }
        for token in headers
            .iter()
            .filter_map(|header| header.strip_prefix("Authorization: Bearer "))
        {
            for piece in token.split('.').filter(|piece| piece.len() > 20) {
                assert!(
                    !story.contains(&piece[..20]) && !text(&document.stdout).contains(&piece[..20]),
                    "{what}"
                );
            }
        }
    }
    assert_eq!(test_bed.upstream.received().len(), 0);
}

/// The first step of a story about a token that does not hold.
fn first_trouble(told: &Value) -> Option<&str> {
    let (token, key) = (&told["token"], &told["key"]);
    if let Some(reason) = token["reason"].as_str() {
        return Some(reason);
    }
    if told["issuer"]["name"].is_null() {
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
    let reasons = told["claims"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|check| check["reason"].as_str());
    if let Some(reason) = reasons.flatten().next() {
        return Some(reason);
    }
    let sets = list(&told["required_scopes"]);
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
