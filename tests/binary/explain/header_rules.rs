//! What `explain` and `check` print of `request_headers` and `response_headers`.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{explain_json, text};
use crate::process::{command, run_in};

const SECRET: &str = "s3cret-value";

const FILE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n\
     response_headers = { set = { \"Strict-Transport-Security\" = \"max-age=60\" }, remove = [\"Server\"] }\n\
     [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
     [[routes]]\npath = \"/keyed\"\npublic = true\nmethods = \"GET\"\nupstream = \"up\"\n\
     request_headers = { set = { \"X-Api-Key\" = { env = \"API_KEY\" }, \"X-File\" = { file = \"key\" }, \
     \"X-Tenant\" = \"acme\" }, remove = [\"Cookie\"] }\n\
     response_headers = { set = { \"Server\" = \"gate\" }, remove = [\"X-Powered-By\"] }\n\
     [[routes]]\npath = \"/plain\"\npublic = true\nmethods = \"GET\"\nupstream = \"up\"\n";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a writable folder");
    fs::write(folder.path().join("key"), SECRET).expect("a writable folder");
    folder
}

fn explain(folder: &TempDir, arguments: &[&str]) -> String {
    let mut command = command();
    command
        .args(["explain", "GET"])
        .args(arguments)
        .env("API_KEY", SECRET);
    let output = run_in(command, folder.path());
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn explain_shows_the_source_of_a_secret_header_and_never_its_value() {
    let folder = folder();
    let client_value = format!("X-Api-Key: {SECRET}");
    for arguments in [
        &["/keyed", "-H", "Cookie: a=b"][..],
        // The client guesses the value: the report must not confirm it.
        &["/keyed", "-H", "Cookie: a=b", "-H", &client_value],
    ] {
        let plain = explain(&folder, arguments);
        for line in [
            "  x-api-key: (the environment variable \"API_KEY\")\n",
            "  x-tenant: acme\n",
            "  without cookie",
        ] {
            assert!(plain.contains(line), "{line:?} in {plain}");
        }
        assert!(plain.contains("  x-file: (the file \""), "{plain}");
        assert!(!plain.contains(SECRET), "{plain}");
    }
    let plain = explain(&folder, &["/plain", "-H", &client_value]);
    assert!(plain.contains("  without x-api-key\n"), "{plain}");
    assert!(!plain.contains(SECRET), "{plain}");
}

#[test]
fn explain_works_offline_without_the_secret() {
    let folder = folder();
    fs::remove_file(folder.path().join("key")).expect("a file");
    let mut command = command();
    command
        .args([
            "explain",
            "GET",
            "/keyed",
            "--offline",
            "-H",
            "X-Api-Key: mine",
        ])
        .env_remove("API_KEY");
    let output = run_in(command, folder.path());
    let plain = text(&output.stdout);
    assert!(output.status.success(), "{plain}{}", text(&output.stderr));
    assert!(
        plain.contains("  x-api-key: (the environment variable \"API_KEY\")\n"),
        "{plain}"
    );
    assert!(!plain.contains("mine"), "{plain}");
}

#[test]
fn explain_shows_the_rules_for_the_response() {
    let folder = folder();
    let plain = explain(&folder, &["/keyed"]);
    let rules = "Its response would pass to the client\n  with strict-transport-security: max-age=60\n  \
                 with server: gate\n  without x-powered-by\n";
    assert!(plain.contains(rules), "{plain}");
    let toml = FILE.replace("{ env = \"API_KEY\" }", "\"k\"");
    for (method, path, set, remove) in [
        (
            "GET",
            "/keyed",
            json!([
                ["strict-transport-security", "max-age=60"],
                ["server", "gate"]
            ]),
            json!(["x-powered-by"]),
        ),
        // A method that no route takes is refused for a route of the path.
        (
            "POST",
            "/keyed",
            json!([
                ["strict-transport-security", "max-age=60"],
                ["server", "gate"]
            ]),
            json!(["x-powered-by"]),
        ),
        (
            "GET",
            "/nowhere",
            json!([["strict-transport-security", "max-age=60"]]),
            json!(["server"]),
        ),
    ] {
        let report = explain_json(&folder, &toml, &[method, path, "--json"]);
        assert_eq!(
            report["response_headers"],
            json!({ "set": set, "remove": remove }),
            "{path}"
        );
    }
}

#[test]
fn check_warns_of_a_credential_that_is_written_in_the_file() {
    let folder = folder();
    let check = |toml: &str| {
        fs::write(folder.path().join("gateway.toml"), toml).expect("a writable folder");
        let mut command = command();
        command.arg("check").env("API_KEY", SECRET);
        let output = run_in(command, folder.path());
        text(&output.stdout) + &text(&output.stderr)
    };
    let warning = "request_headers.set.X-Api-Key: the value is written in this file";
    let printed = check(FILE);
    assert!(!printed.contains(warning), "{printed}");
    assert!(!printed.contains(SECRET), "{printed}");
    let printed = check(&FILE.replace("{ env = \"API_KEY\" }", &format!("{SECRET:?}")));
    assert!(printed.contains(warning), "{printed}");
    assert!(!printed.contains(SECRET), "{printed}");
}
