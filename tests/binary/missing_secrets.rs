//! A file that is looked at where its secrets are not: on a laptop, or for a pull request.

use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::process::{command, finished, run};

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

/// The lines of standard error that are of this kind, and tell of something that is missing here.
fn missing(output: &Output, kind: &str) -> Vec<String> {
    let told = text(&output.stderr);
    let of_kind = told.lines().filter_map(|line| line.strip_prefix(kind));
    of_kind
        .filter(|line| line.contains("expected a "))
        .map(str::to_owned)
        .collect()
}

fn explained(arguments: &[&str]) -> (Option<i32>, Value, Output) {
    let output = run(Some(FILE), &[&["explain", "--json"], arguments].concat());
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        output,
    )
}

#[test]
fn missing_secret_is_a_warning_where_a_file_is_looked_at_and_an_error_where_it_runs() {
    let checked = run(Some(FILE), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout)
            .starts_with("gateway.toml: good, with 2 routes, 3 issuers and 1 upstream\n")
    );
    let remedy = "(it is not needed to look at the file, and is to run the gateway)";
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
        // Those of compiling come when those of reading are gone.
        assert_eq!(
            missing(&refused, "gateway.toml:").len(),
            2,
            "{}",
            text(&refused.stderr)
        );
    }
    // A variable that is there and blank, as pipelines have it.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    let mut blank = command();
    blank.arg("check").env("SCOPEGATE_TEST_NONE", "");
    assert_eq!(finished(blank, folder.path()).status.code(), Some(0));
}

#[test]
fn secret_that_is_written_wrongly_is_an_error_wherever_it_is_read() {
    for (secret, found) in [
        ("12345", "an integer"),
        (
            "{ file = \"/dev/zero\" }",
            "a device, which is no regular file",
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
    // What is there, and no key, is told as well.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), FILE).expect("a file");
    std::fs::write(folder.path().join("none.pem"), "no key").expect("a file");
    let mut checking = command();
    checking.arg("check");
    let checked = finished(checking, folder.path());
    assert_eq!(checked.status.code(), Some(2), "{}", text(&checked.stderr));
}

#[test]
fn explain_offline_tells_of_routes_and_nothing_of_tokens_whose_secret_is_missing() {
    let (code, told, output) = explained(&["GET", "/open", "--offline"]);
    assert_eq!(
        (code, told["verdict"].as_str()),
        (Some(0), Some("passes")),
        "{told:#}"
    );
    assert_eq!(missing(&output, "warning: ").len(), 5);
    let (code, told, _) = explained(&["GET", "/things", "--offline"]);
    assert_eq!(
        (code, told["reason"].as_str()),
        (Some(1), Some("no_token")),
        "{told:#}"
    );
    // Signed with nothing, which is what stands for the secret: it must not be taken for good.
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
        let (code, told, _) = explained(&["GET", "/things", "--offline", "--token", &token]);
        assert_eq!(
            (code, told["verdict"].as_str()),
            (Some(1), Some("unknown")),
            "{told:#}"
        );
    }
}

#[test]
fn file_that_comes_through_a_pipe_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("elsewhere"), FILE).expect("a file");
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "cat elsewhere | \"$0\" check --config /dev/stdin",
        env!("CARGO_BIN_EXE_scopegate"),
    ]);
    let checked = finished(shell, folder.path());
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout).starts_with("/dev/stdin: good, with 2 routes"),
        "{}",
        text(&checked.stdout)
    );
}
