//! Normalizes path and host, finds the route, and decides whether a token meets its requirement.
//! Pure: no IO, clock or log.

pub mod claim_rules;
pub mod cors;
pub mod decision;
pub mod host;
pub mod known_hosts;
mod lookalike;
pub mod mcp;
pub mod methods;
pub mod parameters;
pub mod path;
pub mod pattern;
pub mod requirement;
pub mod resource;
pub mod resource_routes;
pub mod rewrite;
pub mod route;
pub mod route_table;
mod skeleton;
pub mod step_up;
pub mod token_sources;
mod tree;
