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

/// Memory that an allocation of `bytes` takes: 8 bytes, a multiple of 16 up to 64, and then one of four
/// sizes up to each power of two.
pub(crate) const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=64 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// Memory of a boxed slice that was a vector and grew item by item. The allocator keeps a block that is
/// at least half used.
pub(crate) const fn allocated_slice<T>(length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    let capacity = if length < 4 {
        4
    } else {
        length.next_power_of_two()
    };
    let (used, block) = (
        length * size_of::<T>(),
        allocated(capacity * size_of::<T>()),
    );
    if used >= block / 2 {
        block
    } else {
        allocated(used)
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
        let scopes = scopes + allocated_slice::<ScopePattern>(self.scopes.iter().len());
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
            (1, 8),
            (9, 16),
            (16, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (632, 640),
            (641, 768),
            (100_000, 114_688),
        ];
        assert_eq!(cases.map(|(bytes, _)| (bytes, allocated(bytes))), cases);
    }

    #[test]
    fn slice_has_the_block_of_the_vector_that_it_was() {
        let cases = [(0, 0), (1, 8), (4, 32), (5, 64), (33, 512), (64, 512)];
        assert_eq!(
            cases.map(|(length, _)| (length, allocated_slice::<u64>(length))),
            cases
        );
    }
}
