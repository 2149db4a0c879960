//! Replays inputs that were written by hand or found by the fuzzers, against `tests/fuzz_bodies`.

mod differential;
#[path = "../fuzz_bodies/mod.rs"]
mod fuzz_bodies;
mod generated;
mod mutated_messages;
mod replay;
mod upstream_client;
