//! Configurations checked without their secrets, on a laptop or for a pull request.

use std::fs;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::process::{command, run, run_in};

const FILE: &str = "
[[listeners]]
address = \"127.0.0.1:0\"
tls = { certificates = [{ certificate = \"none.crt\", key = \"none.key\" }] }

[issuers.shared]
issuer = \"https://shared.test\"
audience = \"api\"
shared_secret = { env = \"SCOPEGATE_TEST_NONE\" }

[issuers.asked]
issuer = \"https://asked.test\"
audience = \"api\"
validation = \"introspection\"
[issuers.asked.introspection]
client_id = \"gateway\"
client_secret = { file = \"none.secret\" }

[issuers.asked_with_a_key]
issuer = \"https://key.test\"
audience = \"api\"
validation = \"introspection\"
token_prefix = \"k_\"
[issuers.asked_with_a_key.introspection]
authentication = \"private_key_jwt\"
client_id = \"gateway\"
client_key = \"none.pem\"

[upstreams.up]
targets = \"https://127.0.0.1:1\"
tls_client = { certificate = \"none.crt\", key = \"/none/client.key\" }

[[routes]]
path = \"/open\"
methods = \"GET\"
public = true
upstream = \"up\"

[[routes]]
path = \"/things\"
scope = \"read\"
issuers = [\"shared\", \"asked\"]
upstream = \"up\"
";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines of standard error with this prefix that report a missing file or variable.
fn missing(output: &Output, kind: &str) -> Vec<String> {
    let stderr = text(&output.stderr);
    let of_kind = stderr.lines().filter_map(|line| line.strip_prefix(kind));
    of_kind
        .filter(|line| line.contains("expected a "))
        .map(str::to_owned)
        .collect()
}

fn explain(arguments: &[&str]) -> (Option<i32>, Value, Output) {
    let output = run(Some(FILE), &[&["explain", "--json"], arguments].concat());
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        output,
    )
}

#[test]
fn missing_secret_is_a_warning_for_check_and_an_error_for_run() {
    let checked = run(Some(FILE), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout)
            .starts_with("gateway.toml: valid, with 2 routes, 3 issuers and 1 upstream\n")
    );
    let remedy = "(only `scopegate run` needs it)";
    let found = missing(&checked, "warning: ");
    for (line, place) in found.iter().zip([
        "gateway.toml:4: listeners[0].tls.certificates[0].key: expected a private key in none.key",
        "gateway.toml:9: issuers.shared.shared_secret: expected a secret in the environment variable",
        "gateway.toml:17: issuers.asked.introspection.client_secret: expected a secret in the file \"none.secret\"",
        "gateway.toml:27: issuers.asked_with_a_key.introspection.client_key: expected a private key in none.pem",
        "gateway.toml:31: upstreams.up.tls_client.key: expected a private key in /none/client.key",
    ]) {
        assert!(line.starts_with(place) && line.ends_with(remedy), "{line}\n{place}");
    }
    assert_eq!(found.len(), 5, "{found:#?}");
    for arguments in [&["run"][..], &["explain", "GET", "/open"]] {
        let refused = run(Some(FILE), arguments);
        assert_eq!(refused.status.code(), Some(2));
        // Faults of compiling are reported only if reading found none.
        assert_eq!(
            missing(&refused, "gateway.toml:").len(),
            2,
            "{}",
            text(&refused.stderr)
        );
    }
    // An empty variable, as CI pipelines set it, counts as missing.
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    let mut blank = command();
    blank.arg("check").env("SCOPEGATE_TEST_NONE", "");
    assert_eq!(run_in(blank, folder.path()).status.code(), Some(0));
}

#[test]
fn malformed_secret_is_an_error_for_every_command() {
    for (secret, found) in [
        ("12345", "an integer"),
        (
            "{ file = \"/dev/zero\" }",
            "a device, which is not a regular file",
        ),
        ("{ enw = \"A\" }", "another table"),
        ("\"${SECRET}\"", "a placeholder"),
    ] {
        let toml = FILE.replace("{ env = \"SCOPEGATE_TEST_NONE\" }", secret);
        let checked = run(Some(&toml), &["check"]);
        assert_eq!(checked.status.code(), Some(2), "{secret}");
        assert!(
            text(&checked.stderr).contains(&format!("but found {found}")),
            "{}",
            text(&checked.stderr)
        );
    }
    // A file that exists but holds no key is an error.
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    fs::write(folder.path().join("none.pem"), "no key").expect("a file");
    let mut checking = command();
    checking.arg("check");
    let checked = run_in(checking, folder.path());
    assert_eq!(checked.status.code(), Some(2), "{}", text(&checked.stderr));
}

#[test]
fn explain_offline_judges_routes_but_no_token_whose_secret_is_missing() {
    let (code, report, output) = explain(&["GET", "/open", "--offline"]);
    assert_eq!(
        (code, report["verdict"].as_str()),
        (Some(0), Some("passes")),
        "{report:#}"
    );
    assert_eq!(missing(&output, "warning: ").len(), 5);
    let (code, report, _) = explain(&["GET", "/things", "--offline"]);
    assert_eq!(
        (code, report["reason"].as_str()),
        (Some(1), Some("no_token")),
        "{report:#}"
    );
    // Signed with an empty key. An empty secret in place of the missing one would accept it.
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": "https://shared.test", "aud": "api", "exp": 4_000_000_000_u64, "scope": "read" });
    let signed = format!(
        "{}.{}",
        encoded(json!({ "alg": "HS256", "typ": "JWT" })),
        encoded(claims)
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"");
    let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()));
    for token in [format!("{signed}.{signature}"), "opaque".to_owned()] {
        let (code, report, _) = explain(&["GET", "/things", "--offline", "--token", &token]);
        assert_eq!(
            (code, report["verdict"].as_str()),
            (Some(1), Some("unknown")),
            "{report:#}"
        );
    }
}

#[test]
fn file_from_a_pipe_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("elsewhere"), FILE).expect("a file");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "cat elsewhere | \"$0\" check --config /dev/stdin",
        env!("CARGO_BIN_EXE_scopegate"),
    ]);
    let checked = run_in(shell, folder.path());
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout).starts_with("/dev/stdin: valid, with 2 routes"),
        "{}",
        text(&checked.stdout)
    );
}
