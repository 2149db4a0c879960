//! The resource of a route in the report, and requests for its metadata.

use super::*;

const FILE: &str = "[issuers.corp]
issuer = \"https://id.test\"
jwks_file = \"keys.json\"
[upstreams.up]
targets = \"http://127.0.0.1:1\"
[[resources]]
url = \"https://api.test/mcp\"
audiences = [\"urn:tools\"]
[[routes]]
path = \"/mcp\"
scope = \"mcp.use\"
upstream = \"up\"
";

const METADATA_URL: &str = "https://api.test/.well-known/oauth-protected-resource/mcp";

fn token(key: &Key, audience: &str) -> String {
    key.token(&json!({
        "iss": "https://id.test", "aud": audience, "sub": "client-1", "exp": now() + 600, "scope": "mcp.use",
    }))
}

fn prepared() -> (TempDir, Key) {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("first"));
    let keys = json!({ "keys": [key.jwk()] }).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    (folder, key)
}

#[test]
fn audience_is_checked_against_the_resource_of_the_route() {
    let (folder, key) = prepared();
    for (audience, reason) in [
        ("https://api.test/mcp", None),
        ("urn:tools", None),
        ("https://other.test", Some("wrong_audience")),
    ] {
        let token = token(&key, audience);
        let arguments = ["GET", "https://api.test/mcp", "--token", &token, "--json"];
        let report = explain_json(&folder, FILE, &arguments);
        assert_eq!(report["reason"].as_str(), reason, "{report}");
        assert_eq!(
            report["route"]["resource"],
            json!({
                "url": "https://api.test/mcp", "metadata_url": METADATA_URL,
                "audiences": ["https://api.test/mcp", "urn:tools"],
            })
        );
        let checks = report["claims"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["claim"] == "aud");
        let check = check.expect("a check of aud");
        assert_eq!(check["ok"], json!(reason.is_none()), "{check}");
        assert!(
            check["expected"].to_string().contains("urn:tools"),
            "{check}"
        );
        if reason.is_some() {
            let head = report["answer"]["head"].as_str().expect("a head");
            assert!(
                head.contains(&format!("resource_metadata=\"{METADATA_URL}\"")),
                "{head}"
            );
        }
    }
}

#[test]
fn text_names_the_resource_its_metadata_and_its_audiences() {
    let (folder, _) = prepared();
    let run = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments);
        text(&run_in(command, folder.path()).stdout)
    };
    let report = run(&["explain", "GET", "https://api.test/mcp"]);
    let expected = format!(
        "resource https://api.test/mcp\n         metadata at {METADATA_URL}\n         \
         tokens for https://api.test/mcp or urn:tools\n"
    );
    assert!(report.contains(&expected), "{report}");
    let report = run(&["explain", "GET", METADATA_URL]);
    for line in [
        "route    none is needed: the gateway answers with the metadata of https://api.test/mcp\n",
        "Answered by the gateway\n",
        "access-control-allow-origin: *\n",
    ] {
        assert!(report.contains(line), "{line:?} in {report}");
    }
}
