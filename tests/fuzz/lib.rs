//! The functions of `tests/fuzz_bodies`, for the fuzzers of `fuzz_targets`.

#[path = "../fuzz_bodies/mod.rs"]
mod fuzz_bodies;

/// Panics if a property does not hold for the input.
pub fn check(target: &str, input: &[u8]) {
    fuzz_bodies::body(target)(input);
}
