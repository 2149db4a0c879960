//! How much memory claims take: what a cache of them is bounded by.
//!
//! It is computed and not measured, by the layout of the types and of glibc's allocator: there is no way to ask the
//! allocator without `unsafe`. `tests/cache_memory.rs` holds it against the memory of a process.

use std::mem::size_of;

use serde_json::{Map, Value};

use super::ActiveToken;
use crate::oauth::scope::ScopePattern;

/// Members that one node of a `BTreeMap` holds at most.
const NODE_MEMBERS: usize = 11;
/// Beyond one node, each is split when it is full and holds about so many.
const USUAL_NODE_MEMBERS: usize = 7;
const NODE_BYTES: usize = NODE_MEMBERS * (size_of::<String>() + size_of::<Value>()) + 16;
const INNER_NODE_BYTES: usize = NODE_BYTES + (NODE_MEMBERS + 1) * size_of::<usize>();

/// What an allocation of so many bytes takes: eight more, in steps of sixteen, and 32 at the least.
pub(crate) const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// What a value behind an `Arc` takes; the two counters are eight bytes each.
pub(crate) const fn allocated_arc<T>() -> usize {
    allocated(size_of::<T>() + 2 * size_of::<usize>())
}

impl ActiveToken {
    /// Bytes of memory that it takes behind an `Arc`, with all that it owns.
    #[must_use]
    pub fn memory(&self) -> usize {
        let scopes = self
            .scopes
            .iter()
            .map(|scope| allocated(scope.len()))
            .sum::<usize>();
        let scopes = scopes + allocated(self.scopes.iter().len() * size_of::<ScopePattern>());
        allocated_arc::<Self>() + members(&self.claims) + scopes
    }
}

fn members(members: &Map<String, Value>) -> usize {
    let nodes = match members.len() {
        0 => 0,
        1..=NODE_MEMBERS => allocated(NODE_BYTES),
        more => {
            let leaves = more.div_ceil(USUAL_NODE_MEMBERS);
            leaves * allocated(NODE_BYTES)
                + leaves.div_ceil(USUAL_NODE_MEMBERS) * allocated(INNER_NODE_BYTES)
        }
    };
    nodes
        + members
            .iter()
            .map(|(name, value)| allocated(name.capacity()) + beyond_itself(value))
            .sum::<usize>()
}

// As deep as a value may be that was read: 128 levels.
fn beyond_itself(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocated(text.capacity()),
        Value::Array(items) => {
            allocated(items.capacity() * size_of::<Value>())
                + items.iter().map(beyond_itself).sum::<usize>()
        }
        Value::Object(inner) => members(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_come_in_steps_of_sixteen() {
        let told = [
            (0, 0),
            (1, 32),
            (24, 32),
            (25, 48),
            (40, 48),
            (41, 64),
            (632, 640),
        ];
        assert_eq!(told.map(|(bytes, _)| (bytes, allocated(bytes))), told);
    }
}
