//! Scopes: what a token grants and what a route requires (RFC 6749 §3.3).
//!
//! 1. A scope is a list of case-sensitive scope-tokens, separated by single spaces.
//! 2. `*` in a pattern stands for one or more characters of a scope-token, dots included.
//! 3. It may stand in what is required and in what is granted. Where both sides have one, a requirement is met when
//!    some scope fits both patterns.
//! 4. Matching takes time linear in both texts: nothing backtracks, so no scope of a hostile token is slow to judge.

use std::fmt;

/// The greatest number of scope-tokens that one access token may grant.
pub const MAX_GRANTED_SCOPES: usize = 1024;

/// One scope-token, or a pattern that stands for many (RFC 6749 §3.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ScopePattern {
    text: Box<str>,
    has_wildcard: bool,
}

/// A text that is no scope-token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeTokenError {
    /// A scope-token has at least one character.
    #[error("a scope-token cannot be empty")]
    Empty,
    /// A character outside `%x21 / %x23-5B / %x5D-7E`.
    #[error(
        "character {character:?} at byte {offset} cannot stand in a scope-token (RFC 6749 section 3.3)"
    )]
    Forbidden {
        /// What stands there.
        character: char,
        /// Bytes from the start of the text.
        offset: usize,
    },
}

impl ScopePattern {
    /// Reads a scope-token in which `*` is a wildcard.
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

    /// Reads a scope-token in which `*` stands for itself.
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

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether some `*` in it is a wildcard.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.has_wildcard
    }

    /// Whether this pattern stands for the one scope-token `scope`, in which `*` is itself.
    #[must_use]
    pub fn fits(&self, scope: &str) -> bool {
        if self.has_wildcard {
            wildcard_fits(&self.text, scope)
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
    /// `*` stands for itself.
    Literal,
}

/// The scopes that an access token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeSet(Box<[ScopePattern]>);

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
    /// What is no scope-token grants nothing: it is passed over, so that neither a doubled space nor a foreign character
    /// turns a good token away or widens it.
    ///
    /// # Errors
    /// [`TooManyScopes`] when more than [`MAX_GRANTED_SCOPES`] stand in it.
    pub fn parse(text: &str, wildcards: GrantedWildcards) -> Result<Self, TooManyScopes> {
        Self::from_elements(text.split(' '), wildcards)
    }

    /// Takes scope-tokens that came as a list. An element with a space in it is no scope-token and grants nothing.
    ///
    /// # Errors
    /// [`TooManyScopes`] when there are more than [`MAX_GRANTED_SCOPES`].
    pub fn from_elements<'s>(
        elements: impl IntoIterator<Item = &'s str>,
        wildcards: GrantedWildcards,
    ) -> Result<Self, TooManyScopes> {
        let read = match wildcards {
            GrantedWildcards::Honoured => ScopePattern::parse,
            GrantedWildcards::Literal => ScopePattern::literal,
        };
        let mut granted = Vec::new();
        for element in elements.into_iter().filter(|element| !element.is_empty()) {
            if granted.len() == MAX_GRANTED_SCOPES {
                return Err(TooManyScopes);
            }
            granted.extend(read(element));
        }
        Ok(Self(granted.into_boxed_slice()))
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

    /// Whether some granted scope meets the one scope-token `required`, in which `*` is itself.
    #[must_use]
    pub fn meets_literal(&self, required: &str) -> bool {
        self.0.iter().any(|granted| granted.fits(required))
    }

    /// The granted scope-tokens, in the order of the token.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(ScopePattern::as_str)
    }

    /// Whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// Whether every text that fits the pattern `narrower` fits the pattern `wider`, for certain.
///
/// A `*` of the narrower one stands for one or more characters, which only a `*` of the wider one takes all of.
#[must_use]
pub fn covers(wider: &str, narrower: &str) -> bool {
    wildcard_fits(wider, narrower)
}

fn is_scope_character(character: char) -> bool {
    matches!(character, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')
}

// Each literal piece is taken at its first possible place. A later place could only leave less for the pieces after it,
// so the first choice never has to be undone.
fn wildcard_fits(pattern: &str, scope: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == scope;
    };
    let Some(mut rest) = scope.strip_prefix(head) else {
        return false;
    };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        // The wildcard before this piece takes one character at the least.
        let mut characters = rest.chars();
        if characters.next().is_none() {
            return false;
        }
        rest = characters.as_str();
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(place) => rest = &rest[place + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

// Two patterns with wildcards overlap when their fixed ends agree. The middle never conflicts: write the longer head,
// then the middle pieces of one, then those of the other, then the longer tail. While one pattern's pieces are
// written, a wildcard of the other's takes them, and a filler character gives each wildcard its one.
fn both_wildcards_overlap(one: &str, other: &str) -> bool {
    fn ends(pattern: &str) -> (&str, &str) {
        let first = pattern.find('*').unwrap_or(pattern.len());
        let last = pattern.rfind('*').map_or(0, |star| star + 1);
        (&pattern[..first], &pattern[last..])
    }
    let ((one_head, one_tail), (other_head, other_tail)) = (ends(one), ends(other));
    (one_head.starts_with(other_head) || other_head.starts_with(one_head))
        && (one_tail.ends_with(other_tail) || other_tail.ends_with(one_tail))
}

#[cfg(test)]
mod tests;
