//! Replays the corpus of every target, and names the inputs that fail.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use super::fuzz_bodies::{Body, TARGETS};

const MAX_INPUT_BYTES: usize = 4096;

#[test]
fn every_corpus_input_passes() {
    let failed: Vec<PathBuf> = thread::scope(|scope| {
        let replays = TARGETS.map(|(name, body)| scope.spawn(move || failing(name, body)));
        replays
            .into_iter()
            .flat_map(|replay| replay.join().expect("failures are caught"))
            .collect()
    });
    assert!(
        failed.is_empty(),
        "a property does not hold for {failed:#?}"
    );
}

#[test]
fn every_target_has_a_corpus_of_small_inputs_and_a_fuzzer() {
    let names = |folder: &str| -> BTreeSet<String> {
        inputs(&fuzz().join(folder))
            .iter()
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    for target in targets {
        let inputs = inputs(&fuzz().join("corpus").join(&target));
        assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
        for input in inputs {
            let length = fs::metadata(&input).expect("a readable file").len();
            assert!(
                length <= MAX_INPUT_BYTES as u64,
                "{} has {length} bytes",
                input.display()
            );
        }
    }
}

fn failing(name: &str, body: Body) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let input = fs::read(path).expect("a readable file");
        catch_unwind(|| body(&input)).is_ok()
    };
    inputs(&fuzz().join("corpus").join(name))
        .into_iter()
        .filter(|path| !holds(path))
        .collect()
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}
