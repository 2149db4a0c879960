//! Decisions without IO: which path, which host, which route, what it requires, and whether a token meets it.

pub mod decision;
pub mod host;
pub mod known_hosts;
mod lookalike;
pub mod methods;
pub mod parameters;
pub mod path;
pub mod pattern;
pub mod requirement;
pub mod route;
pub mod route_table;
mod skeleton;
mod tree;
