//! `examples/prometheus/alerts.yml` asks for what the gateway tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::{Gateway, TestBed};

const ROUTE: &str = "[[routes]]\npath = \"/things/{id}\"\nscope = \"read\"\nupstream = \"up\"\n";

const ASKS: &str = "[issuers.asks]\nissuer = \"asks\"\naudience = \"api\"\nvalidation = \"introspection\"\n\
                    [issuers.asks.introspection]\nendpoint = \"http://127.0.0.1:9\"\nauthentication = \"none\"\n\
                    [upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n[[routes]]\npath = \"/x\"\nupstream = \"up\"\n";

fn shipped(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a shipped file")
}

/// The name of every series that `/metrics` may have, from its `# TYPE` lines.
fn told() -> BTreeSet<String> {
    // One has an issuer with keys, the other one that is asked.
    let (test_bed, asking) = (TestBed::routes(ROUTE), Gateway::start(ASKS));
    let page = test_bed.gateway.get_admin("/metrics").text() + &asking.get_admin("/metrics").text();
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
    let (alerts, told) = (shipped("examples/prometheus/alerts.yml"), told());
    let words =
        alerts.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let asked: BTreeSet<_> = words
        .filter(|word| word.starts_with("scopegate_") || word.starts_with("http_server_"))
        .collect();
    assert!(asked.len() > 12, "{asked:?}");
    for name in asked {
        assert!(
            told.contains(name),
            "alerts.yml asks for {name}, which /metrics does not tell: {told:?}"
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
    let reasons = refusals
        .split("pub fn reason(&self)")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next());
    let reasons: Vec<_> = reasons
        .expect("the names of refusals")
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    assert!(reasons.len() > 15, "{reasons:?}");
    // A token that is too large is a bad token, whatever its status.
    for reason in reasons.iter().filter(|reason| **reason != "too_long") {
        let is_left_out = excluded.iter().any(|name| match name.strip_suffix(".*") {
            Some(start) => reason.starts_with(start),
            None => name == reason,
        });
        assert!(
            is_left_out,
            "ScopegateInvalidTokens takes {reason} for a bad token: add it to reason!~ in alerts.yml"
        );
    }
    for name in excluded.iter().filter(|name| !name.ends_with(".*")) {
        assert!(
            reasons.contains(name),
            "alerts.yml leaves out {name}, which is no reason of src/gateway/refusal.rs"
        );
    }
}
