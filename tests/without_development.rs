//! The gateway alone, built without the feature `development`.
#![cfg(not(feature = "development"))]

use std::fs;
use std::process::{Command, Output};

fn check(file: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_scopegate"))
        .args(["check", "--config", file])
        .output()
        .expect("the binary starts")
}

#[test]
fn development_section_is_an_error_that_names_the_feature() {
    let refused = check(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml"));
    let printed = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{printed}");
    let expected = "expected a build with the feature \"development\" for [development], but found one without it";
    assert!(printed.contains(expected), "{printed}");
    assert_eq!(
        printed.matches("development.listen").count(),
        1,
        "{printed}"
    );
}

#[test]
fn file_without_development_servers_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("gateway.toml");
    let text = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\n\
                [upstreams.api]\ntargets = \"http://127.0.0.1:9\"\n\
                [[routes]]\npath = \"/things\"\nscope = \"things.read\"\nupstream = \"api\"\n";
    fs::write(&file, text).expect("a written file");
    let accepted = check(&file.display().to_string());
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
}
