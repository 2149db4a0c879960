//! How the user must have signed in (`step_up`), in the report and in the response that it foretells.

use super::*;

const FILE: &str = "[issuers.corp]
issuer = \"https://id.test\"
audience = \"https://api.test\"
jwks_file = \"keys.json\"
[upstreams.up]
targets = \"http://127.0.0.1:1\"
[[routes]]
path = \"/payments\"
scope = \"pay\"
step_up = { acr = [\"phr\", \"phrh\"], max_age = \"5m\" }
upstream = \"up\"
";

fn prepared() -> (TempDir, Key) {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    (folder, key)
}

/// A token of a user who signed in `age` seconds ago.
fn token(key: &Key, scope: &str, acr: &str, age: i64) -> String {
    key.token(&json!({
        "iss": "https://id.test", "aud": "https://api.test", "sub": "user-1", "exp": now() + 600,
        "scope": scope, "acr": acr, "auth_time": now() - age,
    }))
}

#[test]
fn each_part_of_step_up_is_met_or_not() {
    let (folder, key) = prepared();
    let unmet = Some("insufficient_user_authentication");
    for (scope, acr, age, reason, met) in [
        ("pay", "phr", 10, None, [true, true]),
        ("pay", "pwd", 10, unmet, [false, true]),
        ("pay", "phrh", 1000, unmet, [true, false]),
        // The scope is judged after it.
        ("other", "pwd", 1000, unmet, [false, false]),
        (
            "other",
            "phrh",
            10,
            Some("insufficient_scope"),
            [true, true],
        ),
    ] {
        let token = token(&key, scope, acr, age);
        let arguments = ["POST", "/payments", "--token", &token, "--json"];
        let report = explain_json(&folder, FILE, &arguments);
        let verdict = if reason.is_some() {
            "refused"
        } else {
            "passes"
        };
        assert_eq!(
            (report["verdict"].as_str(), report["reason"].as_str()),
            (Some(verdict), reason),
            "{report}"
        );
        let parts = report["route"]["sign_in"].as_array().expect("a list");
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part["claim"].as_str(), part["met"].as_bool()))
            .collect();
        let expected = [
            (Some("acr"), Some(met[0])),
            (Some("auth_time"), Some(met[1])),
        ];
        assert_eq!(found, expected, "{report}");
        for (part, is_met) in parts.iter().zip(met) {
            assert_eq!(part["unmet"].is_null(), is_met, "{part}");
        }
    }
}

#[test]
fn nothing_is_met_or_not_without_a_token_or_with_an_expired_one() {
    let (folder, key) = prepared();
    let expired = key.token(&json!({
        "iss": "https://id.test", "aud": "https://api.test", "exp": now() - 600, "scope": "pay",
        "acr": "phr", "auth_time": now() - 700,
    }));
    for arguments in [&["--json"][..], &["--token", &expired, "--json"]] {
        let arguments = [&["POST", "/payments"], arguments].concat();
        let report = explain_json(&folder, FILE, &arguments);
        for part in report["route"]["sign_in"].as_array().expect("a list") {
            assert_eq!(
                (&part["met"], &part["unmet"]),
                (&Value::Null, &Value::Null),
                "{report}"
            );
        }
    }
}

#[test]
fn text_names_what_is_needed_and_the_challenge() {
    let (folder, key) = prepared();
    let run = |arguments: &[&str]| {
        let mut command = command();
        command.args(["explain", "POST", "/payments"]);
        command.args(arguments);
        text(&run_in(command, folder.path()).stdout)
    };
    let weak = token(&key, "other", "pwd", 10);
    let report = run(&["--token", &weak]);
    for line in [
        "sign-in  NO  expected \"phr\" or \"phrh\" as acr, but found \"pwd\"\n         ok  auth_time: within 300 s\n",
        "Refused: insufficient_user_authentication\n",
        "HTTP/1.1 401 Unauthorized\n",
        "www-authenticate: Bearer error=\"insufficient_user_authentication\", acr_values=\"phr phrh\", max_age=\"300\", scope=\"pay\"\n",
    ] {
        assert!(report.contains(line), "{line:?} in {report}");
    }
    let report = run(&[]);
    let line =
        "sign-in  --  acr: phr or phrh is needed\n         --  auth_time: within 300 s is needed\n";
    assert!(report.contains(line), "{report}");
}
