//! The output of `explain` that docs/command-line.md quotes.

use std::fs;

use harness::Key;
use serde_json::json;

use super::{now, text};
use crate::process::{command, run_in};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/command-line.md");
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml");

/// The length of an HTTP date.
const DATE_LENGTH: usize = "Sat, 21 Nov 2026 14:35:37 GMT".len();

#[test]
fn quoted_output_of_explain_is_the_real_one() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let (_, quoted) = page
        .split_once("```text\nrequest ")
        .expect("the page quotes the output");
    let (quoted, _) = quoted.split_once("```").expect("a closed block");
    let quoted = format!("request {quoted}");

    let key = Key::es256("2026-11");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        fs::write(folder.path().join(name), content).expect("a file");
    };
    let token = key.token(&json!({
        "iss": "http://127.0.0.1:9080", "aud": "scopegate-development",
        "iat": now() - 7200, "exp": now() - 3660, "scope": "messages.write",
        "sub": "test", "client_id": "test", "jti": "1", "roles": ["admin"],
    }));
    write("token.txt", &token);
    write("keys.json", &json!({ "keys": [key.jwk()] }).to_string());
    fs::copy(CONFIGURATION, folder.path().join("gateway.toml")).expect("the shipped file");
    let mut explain = command();
    explain.args("explain POST /push/apps/com.acme/messages --token @token.txt".split(' '));
    // The reader of the page runs the development server, so the page needs no such options.
    explain.args(["--offline", "--jwks", "keys.json"]);
    let output = run_in(explain, folder.path());
    let printed = text(&output.stdout);
    assert_eq!(
        masked(printed.trim_end()),
        masked(quoted.trim_end()),
        "{PAGE} quotes another output than\n{printed}\n{}",
        text(&output.stderr)
    );
}

/// The text with each date and the request id replaced.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if line.starts_with("x-request-id: ") {
            line = "x-request-id: ID".to_owned();
        }
        while let Some(zone) = line.find(" GMT") {
            let end = zone + " GMT".len();
            line.replace_range(end - DATE_LENGTH..end, "DATE");
        }
        masked.push_str(&line);
        masked.push('\n');
    }
    masked
}
