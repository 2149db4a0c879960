//! The shell lines of README.md and docs/getting-started.md, run as a reader would paste them.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Process, command, own_address, run_in, shipped_configuration, wait_for};

const PAGES: [&str; 2] = ["README.md", "docs/getting-started.md"];

/// Lines that are not run: they build, they run until a signal, or they ask a server on the
/// internet.
const NOT_RUN: [&str; 6] = [
    "cargo run",
    "cargo test",
    "cargo install --path .",
    "scopegate run --config gateway.toml",
    "scopegate explain GET http://127.0.0.1:8080/orders/1 --token @token.txt",
    "scopegate explain POST http://127.0.0.1:8080/push/apps/com.acme/messages --token @token.txt",
];

const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

struct Block {
    info: String,
    code: String,
}

/// The fenced blocks of a page, without the indentation of a list.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for line in page.lines() {
        let content = line.trim_start();
        match open.take() {
            Some((_, block)) if content == "```" => blocks.push(block),
            Some((indentation, mut block)) => {
                block
                    .code
                    .push_str(line.get(indentation..).unwrap_or_default());
                block.code.push('\n');
                open = Some((indentation, block));
            }
            None => {
                open = content.strip_prefix("```").map(|info| {
                    let block = Block {
                        info: info.to_owned(),
                        code: String::new(),
                    };
                    (line.len() - content.len(), block)
                });
            }
        }
    }
    blocks
}

/// A script that runs the shell blocks in order, and the lines that each of them must print.
fn script(page: &str) -> (String, Vec<String>) {
    let mut script = "exec 2>&1\ncurl() { command curl -s \"$@\"; }\n".to_owned();
    let mut expected = Vec::new();
    for block in blocks(page) {
        match block.info.as_str() {
            "sh" => {
                expected.push(String::new());
                let _ = writeln!(script, "echo '=== block'");
                for line in block.code.lines().filter(|line| !NOT_RUN.contains(line)) {
                    let _ = writeln!(script, "{}", line.replace("cargo run -- ", "scopegate "));
                }
            }
            "toml" => {
                let _ = write!(script, "cat > gateway.toml <<'TOML'\n{}TOML\n", block.code);
            }
            _ => {
                if let Some(expected) = expected.last_mut() {
                    expected.push_str(&block.code);
                }
            }
        }
    }
    (script, expected)
}

/// Whether a printed line is the expected one, in which `…` stands for any text.
fn is_line(printed: &str, expected: &str) -> bool {
    match expected.split_once('…') {
        Some((start, end)) => printed.starts_with(start) && printed.ends_with(end),
        None => printed == expected,
    }
}

#[test]
fn shell_lines_of_readme_and_getting_started_print_what_the_pages_say() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is missing");
        return;
    }
    let binaries = Path::new(env!("CARGO_BIN_EXE_scopegate"))
        .parent()
        .expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    for name in PAGES {
        let address = own_address();
        let process = Process::start(address, &shipped_configuration(address));
        wait_for("the keys are fetched", || {
            process.printed().1.contains("JWKS fetched")
        });
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let page = fs::read_to_string(page).expect("a page");
        let own = |text: &str| text.replace("127.0.0.1", &address.to_string());
        let (script, expected) = script(&page);
        let folder = tempfile::tempdir().expect("a folder");
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &own(&script)])
            .env("PATH", format!("{}:{path}", binaries.display()));
        let output = run_in(bash, folder.path());
        let printed = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        assert!(output.status.success(), "{name}: {printed}");
        let printed: Vec<_> = printed.split("=== block\n").skip(1).collect();
        assert_eq!(printed.len(), expected.len(), "{name}");
        let mut compared = 0;
        for (printed, expected) in printed.iter().zip(expected) {
            for line in own(&expected).lines() {
                compared += 1;
                assert!(
                    printed.lines().any(|printed| is_line(printed, line)),
                    "{name}: expected the line {line:?}, but found\n{printed}"
                );
            }
        }
        assert!(compared >= 5, "{name}: only {compared} lines are compared");
    }
}

/// What `check` says of a page's file, and the page explains.
const EXPLAINED: [(&str, &str); 2] = [
    ("aidbox.md", "public: no token is required here"),
    ("aidbox.md", "POST \"/fhir/metadata\" is a 405"),
];

#[test]
fn files_of_the_authorization_servers_pages_pass_check_without_a_warning() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/issuers");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("keys.json"), JWKS).expect("a file");
    let mut checked = 0;
    for page in fs::read_dir(pages).expect("the pages") {
        let page = page.expect("a page").path();
        let name = page
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&page).expect("a readable page");
        for block in blocks(&text).iter().filter(|block| block.info == "toml") {
            checked += 1;
            fs::write(folder.path().join("gateway.toml"), &block.code).expect("a file");
            let mut command = command();
            command.arg("check").env("GATEWAY_SECRET", "secret");
            let output = run_in(command, folder.path());
            let printed = String::from_utf8_lossy(&output.stderr);
            let is_explained = |line: &str| {
                let mut explained = EXPLAINED.iter();
                explained.any(|(page, warning)| name == *page && line.contains(warning))
            };
            let surprises: Vec<_> = printed.lines().filter(|line| !is_explained(line)).collect();
            assert!(
                output.status.success() && surprises.is_empty(),
                "{name}: {printed}"
            );
        }
    }
    assert!(checked > 20, "only {checked} files were checked");
}
