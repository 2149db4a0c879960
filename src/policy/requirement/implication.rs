//! Implication: whether every token that meets one requirement also meets another one.
//!
//! 1. Every requirement implies that of a public route, which implies no other.
//! 2. A set of scopes implies "any valid token", but not the reverse.
//! 3. Each of several sets must imply some set of the other requirement.
//! 4. A set implies another if each scope of the other is implied by one of its own. `orders.read`
//!    implies `orders.*`: every scope-token that fits the first fits the second.
//! 5. The value of a path parameter is unknown. It implies a `*`, and a parameter with the same
//!    value.
//!
//! If an implication is uncertain, the result is "no": it leads to a refused path or a warning,
//! never to access.

use super::{Piece, RequiredScope, Requirement, ScopeRequirement};
use crate::oauth::scope::covers;

/// Which path parameters of two routes have the same value in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedParameters {
    /// None is known.
    None,
    /// Those at the same segment, after the first segments of each path are stripped.
    AtSameSegment {
        /// Segments stripped from the path of the implying requirement.
        stripped: usize,
        /// Segments stripped from the path of the implied one.
        stripped_of_other: usize,
    },
}

impl SharedParameters {
    /// Both paths match one unchanged request.
    pub const SAME_PATH: Self = Self::AtSameSegment {
        stripped: 0,
        stripped_of_other: 0,
    };
}

// A private-use character represents each parameter. Scope-tokens are ASCII, so it never equals
// text.
const PLANE: u32 = 0xF_0000;
const PLANE_OF_OTHER: u32 = 0x10_0000;
const MAX_SEGMENTS: usize = 0xFFFE;

impl Requirement {
    /// Whether every token that meets this requirement certainly meets `other`.
    #[must_use]
    pub fn implies(&self, other: &Self, shared: SharedParameters) -> bool {
        match (self, other) {
            (_, Self::Public) => true,
            (Self::Public, Self::Token { .. }) => false,
            (Self::Token { any_of }, Self::Token { any_of: of_other }) => {
                let some_of_other = |set: &ScopeRequirement| {
                    of_other.iter().any(|other| set.implies(other, shared))
                };
                of_other.is_empty() || !any_of.is_empty() && any_of.iter().all(some_of_other)
            }
        }
    }
}

impl ScopeRequirement {
    /// Whether every token that grants these scopes certainly grants `other`.
    pub(in crate::policy) fn implies(&self, other: &Self, shared: SharedParameters) -> bool {
        other
            .0
            .iter()
            .all(|needed| self.0.iter().any(|scope| scope.implies(needed, shared)))
    }
}

impl RequiredScope {
    fn implies(&self, other: &Self, shared: SharedParameters) -> bool {
        match (self, other) {
            (Self::Fixed(scope), Self::Fixed(needed)) => covers(needed.as_str(), scope.as_str()),
            // The value of the parameter is unknown.
            (Self::Fixed(_), Self::WithParameters(_)) => false,
            (Self::WithParameters(pieces), Self::Fixed(needed)) => {
                needed.has_wildcard()
                    && pattern(pieces, 0, PLANE)
                        .is_some_and(|scope| covers(needed.as_str(), &scope))
            }
            (Self::WithParameters(pieces), Self::WithParameters(needed)) => {
                let (stripped, stripped_of_other, plane) = match shared {
                    SharedParameters::None => (0, 0, PLANE_OF_OTHER),
                    SharedParameters::AtSameSegment {
                        stripped,
                        stripped_of_other,
                    } => (stripped, stripped_of_other, PLANE),
                };
                let patterns =
                    pattern(pieces, stripped, PLANE).zip(pattern(needed, stripped_of_other, plane));
                patterns.is_some_and(|(scope, needed)| covers(&needed, &scope))
            }
        }
    }
}

// The scope with one character for each parameter; `None` if a segment index is out of range.
fn pattern(pieces: &[Piece], stripped: usize, plane: u32) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            Piece::Parameter { segment, .. } => {
                let index = segment
                    .checked_sub(stripped)
                    .filter(|index| *index < MAX_SEGMENTS)?;
                text.push(char::from_u32(plane + u32::try_from(index).ok()?)?);
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
