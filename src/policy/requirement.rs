//! What a route asks of a token.
//!
//! 1. A requirement is written as OAuth writes scopes: every scope-token of one text is needed (RFC 6749 §3.3).
//! 2. `{name}` takes the path parameter's value, literally. A value that is no scope-token, or that holds `*`, is
//!    refused: it would ask for another scope than the operator wrote.
//! 3. The answer does not depend on the order in which scopes are tried: an unusable value is refused even where the
//!    token would have met the others.

use std::fmt;

use super::parameters::Parameters;
use super::pattern::RoutePattern;
use crate::oauth::scope::{ScopePattern, ScopeSet, ScopeTokenError, check_scope_token};

/// What a route asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: no token is asked for, and an offered one is neither judged nor trusted.
    Public,
    /// A token that meets one of these.
    Token {
        /// Sets of scopes; empty when no particular scope is needed.
        any_of: Vec<ScopeRequirement>,
    },
}

/// Scopes that a token must grant, all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct ScopeRequirement(Vec<RequiredScope>);

/// One scope of a [`ScopeRequirement`], for whoever asks what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeCheck<'g> {
    /// As the operator wrote it.
    pub written: String,
    /// With parameters filled in.
    ///
    /// # Errors
    /// Names a parameter whose value cannot stand in a scope.
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
        /// Its place in the path.
        segment: usize,
    },
}

/// Why a text is no [`ScopeRequirement`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeRequirementError {
    /// No scope stands in it.
    #[error("expected at least one scope, but found none")]
    NoScope,
    /// One of its words is no scope-token.
    #[error("expected a scope-token, but found {found:?} ({cause})")]
    NotAScopeToken {
        /// The word.
        found: String,
        /// What is wrong with it.
        #[source]
        cause: ScopeTokenError,
    },
    /// Every scope would do: a token without any particular scope is asked for by leaving `scope` out.
    #[error(
        "expected a scope, but found {0:?}, which every scope fits (leave scope out to ask for any valid token)"
    )]
    LoneWildcard(String),
    /// A brace that does not belong to a `{name}`.
    #[error("expected {{name}}, but found a single brace in {0:?}")]
    Braces(String),
    /// The path has no such parameter.
    #[error("expected a parameter of the path {path:?}, but found {{{name}}}")]
    UnknownParameter {
        /// The name.
        name: String,
        /// The route's path.
        path: String,
    },
    /// `{*rest}` holds slashes, and as much as a client likes.
    #[error(
        "expected a parameter of one segment, but found {{*{0}}}, which takes the rest of the path"
    )]
    Rest(String),
}

/// A path parameter's value cannot stand in a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a scope-token without * as the value of {{{name}}}, but found something else")]
pub struct UnusableParameter {
    /// The parameter's name.
    pub name: Box<str>,
}

impl Requirement {
    /// Whether no token is asked for.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Public)
    }
}

impl ScopeRequirement {
    /// Reads scopes separated by spaces, in which `{name}` is a parameter of `path`.
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

    /// Whether `granted` holds every scope. Allocates only where parameters are to be filled in.
    ///
    /// # Errors
    /// Names a parameter whose value cannot stand in a scope.
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

    /// Each scope by itself, in the order written: how it is asked for, and by which granted scope it is met.
    ///
    /// [`is_met_by`](Self::is_met_by) is the same for all of them.
    #[must_use]
    pub fn each<'g>(
        &self,
        granted: &'g ScopeSet,
        parameters: &Parameters<'_, '_>,
    ) -> Vec<ScopeCheck<'g>> {
        let each = |scope: &RequiredScope| ScopeCheck {
            written: scope.to_string(),
            filled: scope.filled(parameters),
            met_by: scope
                .met_by(granted, parameters)
                .ok()
                .flatten()
                .map(ScopePattern::as_str),
        };
        self.0.iter().map(each).collect()
    }

    /// The scopes with parameters filled in, as a client asks for them: in the order written, separated by spaces.
    ///
    /// # Errors
    /// Names a parameter whose value cannot stand in a scope.
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
