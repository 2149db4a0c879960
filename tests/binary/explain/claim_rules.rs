//! Rules over claims in the report, by name and without values.

use super::*;

const FILE: &str = "[issuers.corp]
issuer = \"https://id.test\"
audience = \"https://api.test\"
jwks_file = \"keys.json\"
scope_claims = [\"scope\", \"/realm_access/roles\"]
claims = [{ claim = \"level\", is = \"access\" }]
[upstreams.up]
targets = \"http://127.0.0.1:1\"
[[routes]]
path = \"/t/{tenant}\"
scope = \"editor\"
claims = [{ claim = \"tenant\", is = \"{tenant}\" }, { claim = \"/act/sub\", one_of = [\"hidden-rule-value\"] }]
upstream = \"up\"
";

fn claims(changed: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "client-1", "exp": now() + 600,
        "level": "access", "tenant": "acme", "act": { "sub": "hidden-claim-value" },
        "realm_access": { "roles": ["editor"] },
    });
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_rule_is_met_or_not_by_name() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    for (changed, verdict, reason, met) in [
        (
            json!({ "act": { "sub": "hidden-rule-value" } }),
            "passes",
            None,
            [true, true],
        ),
        (json!({}), "refused", Some("claim_not_met"), [true, false]),
        (
            json!({ "tenant": "other", "act": 7 }),
            "refused",
            Some("claim_not_met"),
            [false, false],
        ),
        (
            json!({ "realm_access": {} }),
            "refused",
            Some("insufficient_scope"),
            [true, false],
        ),
        (
            json!({ "level": "hidden-use" }),
            "refused",
            Some("issuer_claim_not_met"),
            [true, false],
        ),
    ] {
        let token = key.token(&claims(&changed));
        let arguments = ["GET", "/t/acme", "--token", &token, "--json"];
        let report = explain_json(&folder, FILE, &arguments);
        assert_eq!(
            (report["verdict"].as_str(), report["reason"].as_str()),
            (Some(verdict), reason),
            "{report}"
        );
        let rules = report["required_claims"].as_array().expect("a list");
        let found: Vec<_> = rules.iter().map(|rule| rule["met"].as_bool()).collect();
        assert_eq!(found, met.map(Some), "{changed}");
        assert_eq!(
            (&rules[0]["claim"], &rules[0]["operator"]),
            (&json!("tenant"), &json!("is"))
        );
        let checks = report["claims"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["claim"] == "level is");
        let is_met = reason != Some("issuer_claim_not_met");
        let check = check.expect("the rule of the issuer");
        assert_eq!(
            (&check["ok"], &check["found"]),
            (&json!(is_met), &json!("a string"))
        );
        let pointer = checks
            .iter()
            .find(|check| check["claim"] == "/realm_access/roles");
        assert_eq!(
            pointer.is_some(),
            changed.get("realm_access").is_none(),
            "{report}"
        );
        assert!(!report.to_string().contains("hidden-"), "{report}");
    }
}

#[test]
fn text_and_route_table_name_the_rules() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    let run = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments);
        text(&run_in(command, folder.path()).stdout)
    };
    let token = key.token(&claims(&json!({})));
    let report = run(&["explain", "GET", "/t/acme", "--token", &token]);
    for line in [
        "requires editor, with tenant is, /act/sub one_of\n",
        "ok  level is: a string\n",
        "rules    ok  tenant is: met\n         NO  /act/sub one_of: not met, found a string\n",
        "Refused: claim_not_met\n  expected claim \"/act/sub\" to meet claims[1] (one_of), but found a string (see claims of the route)\n",
        "HTTP/1.1 403 Forbidden\n",
    ] {
        assert!(report.contains(line), "{line:?} in {report}");
    }
    assert!(!report.contains("hidden-"), "{report}");
    let report = run(&["explain", "GET", "/t/acme"]);
    assert!(
        report.contains("rules    --  tenant is: needed\n"),
        "{report}"
    );
    let table = run(&["check"]);
    assert!(
        table.contains("editor, with tenant is, /act/sub one_of"),
        "{table}"
    );
}
