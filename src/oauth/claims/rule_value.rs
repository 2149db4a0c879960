//! The values that rules over claims compare with.
//!
//! 1. Numbers compare by value: 5 equals 5.0. A floating-point number from 2^53 on stands for
//!    several whole numbers, so it equals none.
//! 2. A text may have parameters: `{tenant}`. The value of a parameter is always literal. A `*` in
//!    it is an ordinary character, in patterns too.
//! 3. A parameter without a value makes the comparison fail.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Number, Value};

use crate::oauth::tenant::Tenant;
use crate::oauth::wildcard::fits_literals;

/// 2^53: from here on, several whole numbers share one floating-point number.
const INEXACT_FROM: f64 = 9_007_199_254_740_992.0;

/// The values of the parameters in rules, for one request.
pub trait ParameterValues {
    /// The value of this parameter.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// There are no parameters.
#[derive(Clone, Copy, Debug)]
pub struct NoParameters;

/// One value of a rule.
#[derive(Clone, PartialEq, Eq)]
pub enum RuleValue {
    /// A string.
    Text(Template),
    /// A number.
    Number(Number),
    /// A boolean.
    Boolean(bool),
}

/// A text with parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

/// A text with parameters, in which `*` stands for one or more characters.
#[derive(Clone, PartialEq, Eq)]
pub struct TextPattern(Box<[Template]>);

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Parameter(Box<str>),
}

/// A brace that belongs to no parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {{name}}, but found a single brace in {0:?}")]
pub struct UnpairedBrace(pub String);

impl ParameterValues for NoParameters {
    fn value(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl ParameterValues for Tenant {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value_of(name).map(Cow::Borrowed)
    }
}

impl RuleValue {
    /// Whether `value` is JSON-equal to this.
    pub(super) fn equals(&self, value: &Value, parameters: &impl ParameterValues) -> bool {
        match (self, value) {
            (Self::Text(template), Value::String(text)) => template.equals(text, parameters),
            (Self::Number(one), Value::Number(other)) => are_equal(one, other),
            (Self::Boolean(one), Value::Bool(other)) => one == other,
            (Self::Text(_) | Self::Number(_) | Self::Boolean(_), _) => false,
        }
    }

    /// The names of its parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Text(template) => Some(template),
            Self::Number(_) | Self::Boolean(_) => None,
        }
        .into_iter()
        .flat_map(Template::parameters)
    }

    pub(super) fn renamed(&self, rename: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(match self {
            Self::Text(template) => Self::Text(template.renamed(rename)?),
            Self::Number(_) | Self::Boolean(_) => self.clone(),
        })
    }

    pub(super) fn with(&self, parameters: &impl ParameterValues) -> Option<Self> {
        Some(match self {
            Self::Text(template) => Self::Text(template.with(parameters)?),
            Self::Number(_) | Self::Boolean(_) => self.clone(),
        })
    }
}

impl Template {
    /// Parses a text with `{name}` for parameters.
    ///
    /// # Errors
    /// [`UnpairedBrace`]
    pub fn parse(text: &str) -> Result<Self, UnpairedBrace> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let braced = rest[open..]
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = braced.filter(|(name, _)| !name.contains('{')) else {
                return Err(UnpairedBrace(text.to_owned()));
            };
            pieces.push(Piece::Text(rest[..open].into()));
            pieces.push(Piece::Parameter(name.into()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Ok(Self(pieces.into()))
    }

    /// The names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Parameter(name) => Some(&**name),
        })
    }

    // Without allocation: each piece is the beginning of what is left.
    fn equals(&self, text: &str, parameters: &impl ParameterValues) -> bool {
        let rest = self.0.iter().try_fold(text, |rest, piece| match piece {
            Piece::Text(literal) => rest.strip_prefix(&**literal),
            Piece::Parameter(name) => rest.strip_prefix(&*parameters.value(name)?),
        });
        rest.is_some_and(str::is_empty)
    }

    fn filled<'s>(&'s self, parameters: &'s impl ParameterValues) -> Option<Cow<'s, str>> {
        let text = |piece: &'s Piece| match piece {
            Piece::Text(literal) => Some(Cow::Borrowed(&**literal)),
            Piece::Parameter(name) => parameters.value(name),
        };
        match &*self.0 {
            [] => Some(Cow::Borrowed("")),
            [only] => text(only),
            several => several
                .iter()
                .map(text)
                .collect::<Option<String>>()
                .map(Cow::Owned),
        }
    }

    fn renamed(&self, rename: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(_) => Some(piece.clone()),
            Piece::Parameter(name) => Some(Piece::Parameter(rename(name)?.into())),
        };
        self.0.iter().map(piece).collect::<Option<_>>().map(Self)
    }

    // A value becomes a literal: wildcards were found when the pattern was parsed.
    fn with(&self, parameters: &impl ParameterValues) -> Option<Self> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(_) => Some(piece.clone()),
            Piece::Parameter(name) => Some(Piece::Text((*parameters.value(name)?).into())),
        };
        self.0.iter().map(piece).collect::<Option<_>>().map(Self)
    }
}

impl TextPattern {
    /// A pattern from a text. A `*` in it is a wildcard.
    #[must_use]
    pub fn new(template: Template) -> Self {
        let mut literals = vec![Vec::new()];
        for piece in template.0 {
            match piece {
                Piece::Parameter(_) => literals.last_mut().into_iter().for_each(|last| {
                    last.push(piece.clone());
                }),
                Piece::Text(text) => {
                    for (index, literal) in text.split('*').enumerate() {
                        if index > 0 {
                            literals.push(Vec::new());
                        }
                        let literal = Some(literal).filter(|literal| !literal.is_empty());
                        let literal = literal.map(|literal| Piece::Text(literal.into()));
                        literals
                            .last_mut()
                            .into_iter()
                            .for_each(|last| last.extend(literal.clone()));
                    }
                }
            }
        }
        Self(
            literals
                .into_iter()
                .map(|pieces| Template(pieces.into()))
                .collect(),
        )
    }

    pub(super) fn fits(&self, text: &str, parameters: &impl ParameterValues) -> bool {
        let literals = self.0.iter().map(|literal| literal.filled(parameters));
        let Some(literals) = literals.collect::<Option<Vec<_>>>() else {
            return false;
        };
        fits_literals(literals.iter().map(AsRef::as_ref), text)
    }

    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Template::parameters)
    }

    pub(super) fn renamed(&self, rename: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        let literals = self.0.iter().map(|literal| literal.renamed(rename));
        literals.collect::<Option<_>>().map(Self)
    }

    pub(super) fn with(&self, parameters: &impl ParameterValues) -> Option<Self> {
        let literals = self.0.iter().map(|literal| literal.with(parameters));
        literals.collect::<Option<_>>().map(Self)
    }
}

fn are_equal(one: &Number, other: &Number) -> bool {
    match (exact(one), exact(other)) {
        (Some(Exact::Whole(one)), Some(Exact::Whole(other))) => one == other,
        (Some(Exact::Fraction(one)), Some(Exact::Fraction(other))) => one == other,
        (Some(_) | None, _) => false,
    }
}

enum Exact {
    Whole(i128),
    Fraction(f64),
}

fn exact(number: &Number) -> Option<Exact> {
    let whole = number.as_i64().map(i128::from);
    if let Some(whole) = whole.or_else(|| number.as_u64().map(i128::from)) {
        return Some(Exact::Whole(whole));
    }
    let float = number.as_f64().filter(|float| float.abs() < INEXACT_FROM)?;
    Some(if float.fract() == 0.0 {
        Exact::Whole(float as i128)
    } else {
        Exact::Fraction(float)
    })
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Parameter(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl fmt::Debug for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literals: Vec<_> = self.0.iter().map(Template::to_string).collect();
        fmt::Debug::fmt(&literals.join("*"), f)
    }
}

impl fmt::Debug for RuleValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(template) => fmt::Debug::fmt(template, f),
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Boolean(boolean) => fmt::Display::fmt(boolean, f),
        }
    }
}
