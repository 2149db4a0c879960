//! What must hold of every input, whoever made it: one function for each thing that reads what a stranger wrote.
//!
//! Each of them takes bytes and panics where a promise is broken. Most ask the product and a naive reading of the same
//! rule, and both must say the same. `tests/fuzz_corpus` replays the inputs of `tests/fuzz/corpus`, and `tests/fuzz`
//! makes new ones.

mod bearer;
mod challenge;
mod claims;
mod config;
mod frames;
mod introspection;
mod jwks;
mod jws;
mod listener;
mod members;
mod metadata;
mod path;
pub(crate) mod response;
mod routes;
mod scopes;

/// Panics where what must hold of every input does not hold of this one.
pub(crate) type Body = fn(&[u8]);

/// Every body, by the name of its corpus.
pub(crate) const TARGETS: [(&str, Body); 16] = [
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
    ("metadata", metadata::check),
    ("path", path::check),
    ("response", response::check),
    ("routes", routes::check),
    ("scopes", scopes::check),
    ("trailers", response::check_trailers),
];

/// The body of that name.
pub(crate) fn body(name: &str) -> Body {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, body)| *body)
        .unwrap_or_else(|| panic!("no target is called {name}"))
}
