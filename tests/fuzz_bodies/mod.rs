//! Properties of every parser of untrusted input: one function for each.
//!
//! A function takes bytes and panics if a property is violated. Most compare the product with a
//! naive implementation of the same rule. `tests/fuzz_corpus` replays the inputs of
//! `tests/fuzz/corpus`; the fuzzers of `tests/fuzz` generate new ones.

mod bearer;
mod challenge;
mod claims;
mod config;
mod frames;
mod introspection;
mod jwks;
mod jws;
mod listener;
mod mcp;
mod members;
mod metadata;
mod path;
pub(crate) mod response;
mod routes;
mod scopes;

/// Panics if a property does not hold for the input.
pub(crate) type Body = fn(&[u8]);

/// Every function, by the name of its corpus.
pub(crate) const TARGETS: [(&str, Body); 17] = [
    ("bearer", bearer::check),
    ("challenge", challenge::check),
    ("chunks", response::check_chunks),
    ("claims", claims::check),
    ("config", config::check),
    ("frames", frames::check),
    ("introspection", introspection::check),
    ("jwks", jwks::check),
    ("jws", jws::check),
    ("listener", listener::check),
    ("mcp", mcp::check),
    ("metadata", metadata::check),
    ("path", path::check),
    ("response", response::check),
    ("routes", routes::check),
    ("scopes", scopes::check),
    ("trailers", response::check_trailers),
];

/// The function of this target.
pub(crate) fn body(name: &str) -> Body {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, body)| *body)
        .unwrap_or_else(|| panic!("there is no target {name}"))
}
