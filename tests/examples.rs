//! Every configuration that is shipped is a good one.

use std::fs;
use std::path::{Path, PathBuf};

use scopegate::{config, gateway};

#[test]
fn every_example_and_the_shipped_file_compile_without_a_fault() {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .expect("examples are shipped")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    assert!(files.len() > 1, "no examples");
    files.push(root().join("gateway.toml"));
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let name = file.display().to_string();
        // The examples name variables that an operator would set.
        let secret = |_: &str| Some("a secret that is long enough for all that it may be used for: 64".to_owned());
        let (config, source) = config::parse_with(&name, &text, &secret).unwrap_or_else(|report| panic!("{report}"));
        if let Err(faults) = gateway::compile(&config) {
            panic!("{}", source.report(faults));
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
