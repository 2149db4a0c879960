//! The rooms of `src/lib.rs` import what its table says, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom; a room that is not named may import everything.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("oauth", &[]),
    ("files", &[]),
    ("config", &["files"]),
    ("clock", &["oauth"]),
    ("net", &["clock", "files"]),
    ("policy", &["oauth"]),
    ("telemetry", &["oauth", "policy"]),
    ("verify", &["oauth", "telemetry"]),
    (
        "upstream",
        &["oauth", "policy", "telemetry", "clock", "net"],
    ),
    (
        "gateway",
        &[
            "oauth",
            "files",
            "config",
            "clock",
            "net",
            "policy",
            "telemetry",
            "verify",
            "upstream",
        ],
    ),
    (
        "server",
        &["gateway", "config", "clock", "net", "telemetry"],
    ),
    (
        "reload",
        &["gateway", "config", "server", "net", "telemetry"],
    ),
    (
        "admin",
        &[
            "gateway",
            "clock",
            "telemetry",
            "verify",
            "upstream",
            "server",
            "reload",
        ],
    ),
    ("dev", &["oauth", "verify"]),
];

/// What a pure room does not know of.
const IMPURE: [&str; 6] = [
    "tokio",
    "reqwest",
    "tracing",
    "SystemTime",
    "Instant",
    "std::net",
];

#[test]
fn every_room_imports_only_those_below_it() {
    let mut faults = Vec::new();
    for (room, allowed) in MAY_IMPORT {
        for (file, text) in files_of(room) {
            for imported in imports(&text) {
                if imported != room && !allowed.contains(&&*imported) {
                    faults.push(format!("{}: {room} imports {imported}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_rooms_touch_no_clock_no_socket_and_no_log() {
    for room in ["oauth", "policy"] {
        for (file, text) in files_of(room) {
            // `policy` parses addresses, which is no network.
            for word in IMPURE
                .into_iter()
                .filter(|word| !(room == "policy" && *word == "std::net"))
            {
                let found = code(&text).filter(|line| line.contains(word)).count();
                assert_eq!(found, 0, "{} mentions {word}", file.display());
            }
        }
    }
}

#[test]
fn every_room_stands_in_the_table_of_the_tour() {
    let tour = fs::read_to_string(source().join("lib.rs")).expect("the tour");
    for (room, allowed) in MAY_IMPORT {
        let row = tour
            .lines()
            .find(|line| line.starts_with(&format!("//! | [`{room}`] |")));
        let row = row.unwrap_or_else(|| panic!("{room} is not in the table of src/lib.rs"));
        let told = row.rsplit('|').nth(1).unwrap_or_default();
        for name in allowed.iter().filter(|_| !told.contains("all above")) {
            assert!(
                told.contains(&format!("`{name}`")),
                "src/lib.rs does not say that {room} may import {name}"
            );
        }
    }
}

// Documentation may point anywhere.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| {
        rest.chars()
            .take_while(|&c| c.is_ascii_alphanumeric() || c == '_')
            .collect::<String>()
    };
    code(text)
        .flat_map(|line| line.split("crate::").skip(1))
        .map(word)
        .filter(|word| !word.is_empty())
        .collect()
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn files_of(room: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    // A small room is one file.
    let alone = source().join(room).with_extension("rs");
    if alone.exists() {
        let text = fs::read_to_string(&alone).expect("a readable file");
        return vec![(alone, text)];
    }
    let mut folders = vec![source().join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a room is a folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a readable file");
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{room} is empty");
    files
}

fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = fs::read_to_string(root.join("SECURITY.md")).expect("the threat model");
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read_all(&root.join(folder), &mut sources);
    }
    let is_name =
        |text: &&str| text.matches('_').count() > 2 && !text.contains([' ', '=', '.', ':']);
    let named: BTreeSet<&str> = model
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_name)
        .collect();
    assert!(named.len() > 40, "{} tests are named", named.len());
    for name in named {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "SECURITY.md names {name}, which is no test"
        );
    }
    for threat in 1..=18 {
        assert!(model.contains(&format!("**T{threat}. ")), "T{threat}");
    }
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}
