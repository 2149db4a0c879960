//! Estimates the memory that claims take, to bound the token cache.
//!
//! Computed from the layout of the types and the block sizes of mimalloc, the allocator of the binary:
//! asking it would need `unsafe`. `tests/cache_memory.rs` compares the estimate with the memory of a
//! process.

use std::mem::size_of;

use serde_json::{Map, Value};

use super::ActiveToken;
use crate::oauth::scope::ScopePattern;

/// Maximum number of members in one node of a `BTreeMap`.
const NODE_MEMBERS: usize = 11;
/// Typical number of members per node in a larger map: full nodes are split.
const USUAL_NODE_MEMBERS: usize = 7;
const NODE_BYTES: usize = NODE_MEMBERS * (size_of::<String>() + size_of::<Value>()) + 16;
const INNER_NODE_BYTES: usize = NODE_BYTES + (NODE_MEMBERS + 1) * size_of::<usize>();

/// Memory that an allocation of `bytes` takes: a multiple of 16 up to 64, and then one of four sizes
/// between each power of two and the next.
pub(crate) const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=64 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// Memory that a value behind an `Arc` takes, with the two reference counts.
pub(crate) const fn allocated_arc<T>() -> usize {
    allocated(size_of::<T>() + 2 * size_of::<usize>())
}

impl ActiveToken {
    /// Memory in bytes that the token takes behind an `Arc`, with everything it owns.
    #[must_use]
    pub fn memory(&self) -> usize {
        let scopes = self
            .scopes
            .iter()
            .map(|scope| allocated(scope.len()))
            .sum::<usize>();
        let scopes = scopes + allocated(self.scopes.iter().len() * size_of::<ScopePattern>());
        let audience = self.audience.also().map_or(0, |audience| {
            allocated(size_of::<Value>()) + owned_by(audience)
        });
        allocated_arc::<Self>() + members(&self.claims) + scopes + audience
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
            .map(|(name, value)| allocated(name.capacity()) + owned_by(value))
            .sum::<usize>()
}

// The recursion is bounded: the JSON parser accepts 128 levels.
fn owned_by(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocated(text.capacity()),
        Value::Array(items) => {
            allocated(items.capacity() * size_of::<Value>())
                + items.iter().map(owned_by).sum::<usize>()
        }
        Value::Object(inner) => members(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_is_one_of_the_sizes_of_the_allocator() {
        let cases = [
            (0, 0),
            (1, 16),
            (16, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (632, 640),
            (641, 768),
        ];
        assert_eq!(cases.map(|(bytes, _)| (bytes, allocated(bytes))), cases);
    }
}
