//! The bodies of `tests/fuzz_bodies`, for the fuzzers of `fuzz_targets`.

#[path = "../fuzz_bodies/mod.rs"]
mod fuzz_bodies;

/// Panics where what must hold of every input does not hold of this one.
pub fn check(target: &str, input: &[u8]) {
    fuzz_bodies::body(target)(input);
}
