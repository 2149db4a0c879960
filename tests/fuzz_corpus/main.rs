//! Inputs that were made by hand or found by the fuzzer, replayed: what `tests/fuzz_bodies` says of every input holds
//! of each of them.

mod differential;
#[path = "../fuzz_bodies/mod.rs"]
mod fuzz_bodies;
mod generated;
mod replay;
mod upstream_client;
