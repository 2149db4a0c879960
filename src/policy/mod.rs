//! Decisions without IO: which path, which host, which route, what it requires, and whether a token meets it.

pub mod host;
pub mod methods;
pub mod path;
pub mod pattern;
