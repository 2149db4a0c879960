//! Whether every token that meets one requirement meets another one as well.
//!
//! 1. Everything implies a public route; a public route implies nothing else.
//! 2. A set of scopes implies "any valid token", and not the other way round.
//! 3. Of several sets each one must imply some set of the other requirement.
//! 4. A set implies another where each scope of the other is implied by one of its own. `orders.read` implies `orders.*`:
//!    whatever scope-token fits the one fits the other.
//! 5. A path parameter has a value that is not known here. It implies a `*`, and the parameter that has the same value.
//!
//! The answer is "no" wherever it is not certain: then a path is refused, or a warning given, rather than access.

use super::{Piece, RequiredScope, Requirement, ScopeRequirement};
use crate::oauth::scope::covers;

/// Which path parameters of two routes have the same value in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedParameters {
    /// None that is known of.
    None,
    /// Those at the same segment, once so many first segments of either path are left out.
    AtSameSegment {
        /// Of the path of the requirement that implies.
        stripped: usize,
        /// Of the path of the one that is implied.
        stripped_of_other: usize,
    },
}

impl SharedParameters {
    /// The routes' paths are those of one request, as they are.
    pub const SAME_PATH: Self = Self::AtSameSegment {
        stripped: 0,
        stripped_of_other: 0,
    };
}

// No scope-token has a character of these planes, so a parameter is never taken for text.
const PLANE: u32 = 0xF_0000;
const PLANE_OF_OTHER: u32 = 0x10_0000;
const PLACES: usize = 0xFFFE;

impl Requirement {
    /// Whether every token that meets this requirement meets `other`, for certain.
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
    fn implies(&self, other: &Self, shared: SharedParameters) -> bool {
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
            // Which value the parameter of the other has is not known.
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

// With a character of its own for each parameter; `None` where there are more places than characters.
fn pattern(pieces: &[Piece], stripped: usize, plane: u32) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            Piece::Parameter { segment, .. } => {
                let place = segment
                    .checked_sub(stripped)
                    .filter(|place| *place < PLACES)?;
                text.push(char::from_u32(plane + u32::try_from(place).ok()?)?);
            }
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests;
