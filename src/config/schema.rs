//! What may stand in gateway.toml, for editors and other programs.
//!
//! Reading is written by hand, and so is this. That neither has a key, a default or a word that the other lacks is held
//! by `tests/schema.rs`: who adds a key to one of them is told there what the other needs.

/// The JSON Schema (draft 2020-12) of gateway.toml.
///
/// It takes every file that reading takes. What it cannot know, it leaves to reading: bounds of durations and sizes,
/// names that have to be declared, secrets that have to be there.
pub const SCHEMA: &str = include_str!("schema.json");
