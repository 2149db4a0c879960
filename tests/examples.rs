//! Every configuration that is shipped is a good one.

use std::fs;
use std::path::{Path, PathBuf};

use scopegate::config;

#[test]
fn every_example_and_the_shipped_file_are_read_without_a_fault() {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .expect("examples are shipped")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.push(root().join("gateway.toml"));
    assert!(files.len() > 1, "no examples");
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let name = file.display().to_string();
        // The examples name variables that an operator would set.
        let secret = |_: &str| Some("a secret that is long enough for all that it may be used for: 64".to_owned());
        if let Err(report) = config::parse_with(&name, &text, &secret) {
            panic!("{report}");
        }
    }
}

#[test]
fn the_shipped_file_needs_nothing_from_outside() {
    if let Err(report) = config::load(&root().join("gateway.toml")) {
        panic!("{report}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
