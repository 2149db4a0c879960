//! What a route requires of a token.
//!
//! 1. A requirement is a list of scope-tokens, as in OAuth; a token must grant all of them
//!    (RFC 6749 §3.3).
//! 2. `{name}` inserts the value of a path parameter. A value that is not a scope-token, or
//!    contains `*`, is refused: it would require another scope than the operator wrote.
//! 3. The order of checks does not matter: an unusable value is refused even if the token meets, or
//!    lacks, the other scopes.

use std::fmt;

use super::parameters::Parameters;
use super::pattern::RoutePattern;
use crate::oauth::scope::{ScopePattern, ScopeSet, ScopeTokenError, check_scope_token};

/// What a route requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No token. If a request has one, it is neither verified nor trusted.
    Public,
    /// A token that grants one of these sets.
    Token {
        /// Sets of scopes; empty when no particular scope is needed.
        any_of: Vec<ScopeRequirement>,
    },
}

/// Scopes that a token must all grant.
#[derive(Clone, PartialEq, Eq)]
pub struct ScopeRequirement(Vec<RequiredScope>);

/// The check of one scope of a [`ScopeRequirement`], for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeCheck<'g> {
    /// The scope as the operator wrote it.
    pub written: String,
    /// The scope with parameters filled in.
    ///
    /// # Errors
    /// Names a parameter whose value is not allowed in a scope.
    pub filled: Result<String, UnusableParameter>,
    /// The granted scope that meets it.
    pub met_by: Option<&'g str>,
}

#[derive(Clone, PartialEq, Eq)]
enum RequiredScope {
    Fixed(ScopePattern),
    WithParameters(Vec<Piece>),
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Parameter {
        name: Box<str>,
        /// The index of its segment in the path.
        segment: usize,
    },
}

/// Why a text is not a [`ScopeRequirement`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeRequirementError {
    /// The text has no scope.
    #[error("expected at least one scope, but found none")]
    NoScope,
    /// One of its words is not a scope-token.
    #[error("expected a scope-token, but found {found:?} ({cause})")]
    NotAScopeToken {
        /// The word.
        found: String,
        /// The rule that it breaks.
        #[source]
        cause: ScopeTokenError,
    },
    /// Every scope fits. Omitting `scope` requires a valid token with any scopes.
    #[error(
        "expected a scope, but found {0:?}, which every scope fits (omit scope to require any valid token)"
    )]
    LoneWildcard(String),
    /// An unpaired brace.
    #[error("expected {{name}}, but found a single brace in {0:?}")]
    Braces(String),
    /// The path does not have the parameter.
    #[error("expected a parameter of the path {path:?}, but found {{{name}}}")]
    UnknownParameter {
        /// The name of the parameter.
        name: String,
        /// The path of the route.
        path: String,
    },
    /// `{*rest}` spans several segments, of any length.
    #[error(
        "expected a parameter of one segment, but found {{*{0}}}, which takes the rest of the path"
    )]
    Rest(String),
}

/// The value of a path parameter is not allowed in a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a scope-token without * as the value of {{{name}}}, but found other text")]
pub struct UnusableParameter {
    /// The parameter's name.
    pub name: Box<str>,
}

impl Requirement {
    /// Whether no token is required.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }

    /// The same requirement for a rewritten path, which has each parameter at another `segment`.
    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        match self {
            Self::Public => Self::Public,
            Self::Token { any_of } => {
                let moved = any_of.iter().map(|set| set.moved(segment));
                Self::Token {
                    any_of: moved.collect(),
                }
            }
        }
    }
}

impl ScopeRequirement {
    /// Parses scopes separated by spaces; `{name}` is a parameter of `path`.
    ///
    /// # Errors
    /// See [`ScopeRequirementError`].
    pub fn parse(text: &str, path: &RoutePattern) -> Result<Self, ScopeRequirementError> {
        let words = text.split(' ').filter(|word| !word.is_empty());
        let scopes = words
            .map(|word| RequiredScope::parse(word, path))
            .collect::<Result<Vec<_>, _>>()?;
        if scopes.is_empty() {
            Err(ScopeRequirementError::NoScope)
        } else {
            Ok(Self(scopes))
        }
    }

    /// Whether `granted` meets every scope. Allocates only for parameters.
    ///
    /// # Errors
    /// Names a parameter whose value is not allowed in a scope.
    pub fn is_met_by(
        &self,
        granted: &ScopeSet,
        parameters: &Parameters<'_, '_>,
    ) -> Result<bool, UnusableParameter> {
        let mut is_met = true;
        for scope in &self.0 {
            is_met &= scope.met_by(granted, parameters)?.is_some();
        }
        Ok(is_met)
    }

    /// Checks each scope by itself, in the written order.
    ///
    /// [`is_met_by`](Self::is_met_by) is true exactly if all of them are met.
    #[must_use]
    pub fn check_each<'g>(
        &self,
        granted: &'g ScopeSet,
        parameters: &Parameters<'_, '_>,
    ) -> Vec<ScopeCheck<'g>> {
        let check = |scope: &RequiredScope| ScopeCheck {
            written: scope.to_string(),
            filled: scope.filled(parameters),
            met_by: scope
                .met_by(granted, parameters)
                .ok()
                .flatten()
                .map(ScopePattern::as_str),
        };
        self.0.iter().map(check).collect()
    }

    /// The scopes without parameters, as they are written.
    pub fn fixed_scopes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|scope| match scope {
            RequiredScope::Fixed(pattern) => Some(pattern.as_str()),
            RequiredScope::WithParameters(_) => None,
        })
    }

    /// The same scopes for a rewritten path: see [`Requirement::moved`].
    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Piece::Text(text.clone()),
            Piece::Parameter { name, .. } => Piece::Parameter {
                name: name.clone(),
                segment: segment(name),
            },
        };
        let scope = |scope: &RequiredScope| match scope {
            RequiredScope::Fixed(pattern) => RequiredScope::Fixed(pattern.clone()),
            RequiredScope::WithParameters(pieces) => {
                RequiredScope::WithParameters(pieces.iter().map(piece).collect())
            }
        };
        Self(self.0.iter().map(scope).collect())
    }

    /// The scopes with parameters filled in, in the written order, separated by spaces.
    ///
    /// # Errors
    /// Names a parameter whose value is not allowed in a scope.
    pub fn filled(&self, parameters: &Parameters<'_, '_>) -> Result<String, UnusableParameter> {
        let mut text = String::new();
        for scope in &self.0 {
            if !text.is_empty() {
                text.push(' ');
            }
            scope.fill_into(parameters, &mut text)?;
        }
        Ok(text)
    }
}

impl RequiredScope {
    fn parse(word: &str, path: &RoutePattern) -> Result<Self, ScopeRequirementError> {
        let not_a_token = |cause| ScopeRequirementError::NotAScopeToken {
            found: word.to_owned(),
            cause,
        };
        let pattern = ScopePattern::parse(word).map_err(not_a_token)?;
        if word.bytes().all(|byte| byte == b'*') {
            return Err(ScopeRequirementError::LoneWildcard(word.to_owned()));
        }
        let mut pieces = Vec::new();
        let mut rest = word;
        while let Some(open) = rest.find(['{', '}']) {
            let braced = rest[open..]
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = braced.filter(|(name, _)| !name.contains('{')) else {
                return Err(ScopeRequirementError::Braces(word.to_owned()));
            };
            pieces.extend([Piece::Text(rest[..open].into()), parameter(name, path)?]);
            rest = after;
        }
        if pieces.is_empty() {
            return Ok(Self::Fixed(pattern));
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self::WithParameters(pieces))
    }

    fn met_by<'g>(
        &self,
        granted: &'g ScopeSet,
        parameters: &Parameters<'_, '_>,
    ) -> Result<Option<&'g ScopePattern>, UnusableParameter> {
        match self {
            Self::Fixed(pattern) => Ok(granted.meeting(pattern)),
            Self::WithParameters(_) => {
                let required = ScopePattern::parse(&self.filled(parameters)?);
                Ok(required
                    .ok()
                    .and_then(|required| granted.meeting(&required)))
            }
        }
    }

    fn filled(&self, parameters: &Parameters<'_, '_>) -> Result<String, UnusableParameter> {
        let mut text = String::new();
        self.fill_into(parameters, &mut text)?;
        Ok(text)
    }

    fn fill_into(
        &self,
        parameters: &Parameters<'_, '_>,
        text: &mut String,
    ) -> Result<(), UnusableParameter> {
        match self {
            Self::Fixed(pattern) => {
                text.push_str(pattern.as_str());
                Ok(())
            }
            Self::WithParameters(pieces) => fill(pieces, parameters, text),
        }
    }
}

impl fmt::Display for RequiredScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(pattern) => f.write_str(pattern.as_str()),
            Self::WithParameters(pieces) => pieces.iter().try_for_each(|piece| match piece {
                Piece::Text(text) => f.write_str(text),
                Piece::Parameter { name, .. } => write!(f, "{{{name}}}"),
            }),
        }
    }
}

impl fmt::Display for ScopeRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            fmt::Display::fmt(scope, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

fn parameter(name: &str, path: &RoutePattern) -> Result<Piece, ScopeRequirementError> {
    let bare = name.strip_prefix('*').unwrap_or(name);
    if path.rest() == Some(bare) {
        return Err(ScopeRequirementError::Rest(bare.to_owned()));
    }
    match path.segment_of(name) {
        Some(segment) => Ok(Piece::Parameter {
            name: name.into(),
            segment,
        }),
        None => Err(ScopeRequirementError::UnknownParameter {
            name: name.to_owned(),
            path: path.to_string(),
        }),
    }
}

fn fill(
    pieces: &[Piece],
    parameters: &Parameters<'_, '_>,
    text: &mut String,
) -> Result<(), UnusableParameter> {
    for piece in pieces {
        match piece {
            Piece::Text(fixed) => text.push_str(fixed),
            Piece::Parameter { name, .. } => match parameters.get(name) {
                Some(value) if check_scope_token(&value).is_ok() && !value.contains('*') => {
                    text.push_str(&value)
                }
                _ => return Err(UnusableParameter { name: name.clone() }),
            },
        }
    }
    Ok(())
}

mod implication;

pub use implication::SharedParameters;

#[cfg(test)]
mod tests;
