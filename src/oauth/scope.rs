//! Scopes: what a token grants and what a route requires (RFC 6749 §3.3).
//!
//! 1. A scope is a list of case-sensitive scope-tokens, separated by single spaces.
//! 2. `*` in a pattern stands for one or more characters of a scope-token, dots included.
//! 3. Required and granted scopes may contain `*`. If both do, the requirement is met if a scope
//!    fits both patterns.
//! 4. Matching does not backtrack. It takes time linear in both texts, whatever a hostile token
//!    contains.

use std::fmt;

use super::wildcard;

/// Maximum number of scope-tokens that one access token may grant.
pub const MAX_GRANTED_SCOPES: usize = 1024;

/// One scope-token, or a pattern for many (RFC 6749 §3.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScopePattern {
    text: Box<str>,
    has_wildcard: bool,
}

/// Why a text is not a scope-token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeTokenError {
    /// The text is empty.
    #[error("a scope-token cannot be empty")]
    Empty,
    /// A character outside `%x21 / %x23-5B / %x5D-7E`.
    #[error(
        "character {character:?} at byte {offset} is not allowed in a scope-token (RFC 6749 section 3.3)"
    )]
    Forbidden {
        /// The character.
        character: char,
        /// Bytes from the start of the text.
        offset: usize,
    },
}

impl ScopePattern {
    /// Parses a scope-token in which `*` is a wildcard.
    ///
    /// # Errors
    /// Names the first character outside the grammar and its offset.
    pub fn parse(text: &str) -> Result<Self, ScopeTokenError> {
        check_scope_token(text)?;
        Ok(Self {
            text: text.into(),
            has_wildcard: text.contains('*'),
        })
    }

    /// Parses a scope-token in which `*` is an ordinary character.
    ///
    /// # Errors
    /// Names the first character outside the grammar and its offset.
    pub fn literal(text: &str) -> Result<Self, ScopeTokenError> {
        check_scope_token(text)?;
        Ok(Self {
            text: text.into(),
            has_wildcard: false,
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether some `*` in it is a wildcard.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.has_wildcard
    }

    /// Whether the scope-token `scope`, in which `*` is an ordinary character, fits this pattern.
    #[must_use]
    pub fn fits(&self, scope: &str) -> bool {
        if self.has_wildcard {
            wildcard::fits(&self.text, scope)
        } else {
            *self.text == *scope
        }
    }

    /// Whether some scope-token fits both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self.has_wildcard, other.has_wildcard) {
            (_, false) => self.fits(&other.text),
            (false, true) => other.fits(&self.text),
            (true, true) => both_wildcards_overlap(&self.text, &other.text),
        }
    }
}

impl fmt::Debug for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Whether `*` in a granted scope is a wildcard or an ordinary character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantedWildcards {
    /// `*` stands for one or more characters.
    Honoured,
    /// `*` is an ordinary character.
    Literal,
}

/// The scopes that an access token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSet(Box<[ScopePattern]>);

/// Collects the scopes that an access token grants, from one claim or from several.
#[derive(Clone, Debug, Default)]
pub struct GrantedScopes(Vec<ScopePattern>);

/// An access token grants more scopes than [`MAX_GRANTED_SCOPES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_GRANTED_SCOPES} scopes")]
pub struct TooManyScopes;

impl ScopeSet {
    /// The set that grants nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self(Box::default())
    }

    /// Splits a `scope` value at its spaces (RFC 6749 §3.3).
    ///
    /// Malformed scope-tokens are skipped: a doubled space or a foreign character neither
    /// invalidates a token nor widens it.
    ///
    /// # Errors
    /// [`TooManyScopes`] if there are more than [`MAX_GRANTED_SCOPES`].
    pub fn parse(text: &str, wildcards: GrantedWildcards) -> Result<Self, TooManyScopes> {
        Self::from_elements(text.split(' '), wildcards)
    }

    /// The set of listed scope-tokens. An element with a space is not a scope-token and grants
    /// nothing.
    ///
    /// # Errors
    /// [`TooManyScopes`] if there are more than [`MAX_GRANTED_SCOPES`].
    pub fn from_elements<'s>(
        elements: impl IntoIterator<Item = &'s str>,
        wildcards: GrantedWildcards,
    ) -> Result<Self, TooManyScopes> {
        let mut granted = GrantedScopes::default();
        granted.add(elements, "", wildcards)?;
        Ok(granted.into())
    }

    /// Whether some granted scope meets `required`.
    #[must_use]
    pub fn meets(&self, required: &ScopePattern) -> bool {
        self.meeting(required).is_some()
    }

    /// The first granted scope that meets `required`.
    #[must_use]
    pub fn meeting(&self, required: &ScopePattern) -> Option<&ScopePattern> {
        self.0.iter().find(|granted| granted.overlaps(required))
    }

    /// Whether some granted scope meets the scope-token `required`, in which `*` is an ordinary
    /// character.
    #[must_use]
    pub fn meets_literal(&self, required: &str) -> bool {
        self.0.iter().any(|granted| granted.fits(required))
    }

    /// The granted scope-tokens in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(ScopePattern::as_str)
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl GrantedScopes {
    /// Adds listed scope-tokens, each after `prefix`. An element with a space is not a scope-token
    /// and grants nothing, nor does an empty one.
    ///
    /// # Errors
    /// [`TooManyScopes`] if there are more than [`MAX_GRANTED_SCOPES`], with the earlier ones.
    pub fn add<'s>(
        &mut self,
        elements: impl IntoIterator<Item = &'s str>,
        prefix: &str,
        wildcards: GrantedWildcards,
    ) -> Result<(), TooManyScopes> {
        let parse = match wildcards {
            GrantedWildcards::Honoured => ScopePattern::parse,
            GrantedWildcards::Literal => ScopePattern::literal,
        };
        for element in elements.into_iter().filter(|element| !element.is_empty()) {
            if self.0.len() == MAX_GRANTED_SCOPES {
                return Err(TooManyScopes);
            }
            self.0.extend(if prefix.is_empty() {
                parse(element)
            } else {
                parse(&format!("{prefix}{element}"))
            });
        }
        Ok(())
    }
}

impl From<GrantedScopes> for ScopeSet {
    fn from(granted: GrantedScopes) -> Self {
        Self(granted.0.into_boxed_slice())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

/// Checks that `text` is one scope-token: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3).
///
/// # Errors
/// Names the first character outside the grammar and its offset.
pub fn check_scope_token(text: &str) -> Result<(), ScopeTokenError> {
    if text.is_empty() {
        return Err(ScopeTokenError::Empty);
    }
    match text
        .char_indices()
        .find(|&(_, character)| !is_scope_character(character))
    {
        Some((offset, character)) => Err(ScopeTokenError::Forbidden { character, offset }),
        None => Ok(()),
    }
}

/// Whether every text that fits the pattern `narrower` certainly fits the pattern `wider`.
///
/// A `*` in `narrower` is matched as an ordinary character, which only a `*` in `wider` can match.
#[must_use]
pub fn covers(wider: &str, narrower: &str) -> bool {
    wildcard::fits(wider, narrower)
}

fn is_scope_character(character: char) -> bool {
    matches!(character, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')
}

// Two patterns with wildcards overlap if their literal heads and tails agree. A scope that fits
// both: the longer head, the middle pieces of one pattern, those of the other, and the longer tail,
// with a filler character for each wildcard. A wildcard of one pattern takes the pieces of the
// other.
fn both_wildcards_overlap(one: &str, other: &str) -> bool {
    fn head_and_tail(pattern: &str) -> (&str, &str) {
        let first = pattern.find('*').unwrap_or(pattern.len());
        let last = pattern.rfind('*').map_or(0, |star| star + 1);
        (&pattern[..first], &pattern[last..])
    }
    let (one_head, one_tail) = head_and_tail(one);
    let (other_head, other_tail) = head_and_tail(other);
    (one_head.starts_with(other_head) || other_head.starts_with(one_head))
        && (one_tail.ends_with(other_tail) || other_tail.ends_with(one_tail))
}

#[cfg(test)]
mod tests;
