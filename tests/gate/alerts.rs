//! `examples/prometheus/alerts.yml` matches the metrics and reasons of the gateway.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::{Gateway, TestBed};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nscope = \"read\"\nupstream = \"up\"\n";

const INTROSPECTION: &str = "[revocations]\n[fleet]\nredis = \"redis://127.0.0.1:9\"\nkey = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n\
                    [issuers.opaque]\nissuer = \"opaque\"\naudience = \"api\"\nvalidation = \"introspection\"\n\
                    [issuers.opaque.introspection]\nendpoint = \"http://127.0.0.1:9\"\nauthentication = \"none\"\n\
                    [upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n";

fn shipped(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a shipped file")
}

/// The names of all series of `/metrics`, derived from its `# TYPE` lines.
fn exported_series() -> BTreeSet<String> {
    // One gateway verifies JWTs, the other one uses introspection.
    let test_bed = TestBed::routes(ROUTE);
    let introspecting = Gateway::start(INTROSPECTION);
    let page =
        test_bed.gateway.get_admin("/metrics").text() + &introspecting.get_admin("/metrics").text();
    let mut names = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let suffixes: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["", "_bucket", "_count", "_sum"],
            _ => &[""],
        };
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    assert!(names.len() > 30, "{names:?}");
    names
}

#[test]
fn alerts_use_only_metrics_that_the_gateway_exports() {
    let alerts = shipped("examples/prometheus/alerts.yml");
    let exported = exported_series();
    let words =
        alerts.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let used: BTreeSet<_> = words
        .filter(|word| word.starts_with("scopegate_") || word.starts_with("http_server_"))
        .collect();
    assert!(used.len() > 12, "{used:?}");
    for name in used {
        assert!(
            exported.contains(name),
            "alerts.yml uses {name}, which /metrics does not export: {exported:?}"
        );
    }
}

#[test]
fn alert_on_invalid_tokens_excludes_every_other_reason() {
    let alerts = shipped("examples/prometheus/alerts.yml");
    let excluded = alerts
        .split("reason!~\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a matcher");
    let excluded: Vec<_> = excluded.split('|').collect();
    let refusals = shipped("src/gateway/refusal.rs");
    // Those of security events have a function of their own.
    let functions = refusals.split("fn reason(&self)").skip(1);
    let functions = functions.filter_map(|rest| rest.split("\n    }\n").next());
    let reasons: Vec<_> = functions
        .flat_map(|function| function.split('"').skip(1).step_by(2))
        .collect();
    assert!(reasons.len() > 15, "{reasons:?}");
    // A token that is too large counts as invalid, whatever its status.
    for reason in reasons.iter().filter(|reason| **reason != "too_long") {
        let is_excluded = excluded.iter().any(|name| match name.strip_suffix(".*") {
            Some(start) => reason.starts_with(start),
            None => name == reason,
        });
        assert!(
            is_excluded,
            "ScopegateInvalidTokens counts {reason} as an invalid token: add it to reason!~ in alerts.yml"
        );
    }
    for name in excluded.iter().filter(|name| !name.ends_with(".*")) {
        assert!(
            reasons.contains(name),
            "alerts.yml excludes {name}, which is no reason of src/gateway/refusal.rs"
        );
    }
}
