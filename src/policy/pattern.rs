//! The path of a route as the operator writes it: `/push/apps/{applicationId}/messages`,
//! `/files/{*rest}`.
//!
//! 1. `{name}` matches one segment, `{*rest}` all remaining ones, including none.
//! 2. Every other segment is a literal, compared after one decoding: a client may write `@` as
//!    `%40`, and upstreams do not distinguish them, so a rule for one is a rule for both.

use std::fmt;
use std::hash::Hash;

use super::path::{NormalPath, PathError, decoded};
use crate::values::PathParameters;

/// Maximum number of parameters in one path: an array holds their values, without allocation.
pub const MAX_PARAMETERS: usize = 8;

/// The path of a route.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutePattern {
    text: Box<str>,
    pub(super) segments: Vec<Segment>,
    // Names in the order of the path; `{*rest}` is last.
    pub(super) parameters: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Segment {
    // Decoded; empty for a trailing slash.
    Literal(Box<str>),
    Parameter,
    Rest,
}

/// Why a text is not a [`RoutePattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoutePatternError {
    /// The path does not start with `/`.
    #[error("expected a path that starts with /, but found {0:?}")]
    NotAbsolute(String),
    /// Every request with this segment is refused.
    #[error("expected a segment that a request can have, but found {found:?} ({cause})")]
    Literal {
        /// The segment.
        found: String,
        /// The rule that it breaks.
        #[source]
        cause: PathError,
    },
    /// A segment with braces that is neither `{name}` nor `{*rest}`.
    #[error("expected a segment that is {{name}}, {{*rest}} or free of braces, but found {0:?}")]
    Braces(String),
    /// A name is empty or has characters other than ASCII letters, digits, `_` and `-`.
    #[error("expected a parameter's name of ASCII letters, digits, _ and -, but found {0:?}")]
    InvalidName(String),
    /// Two parameters have the same name.
    #[error("expected each parameter once, but found {{{0}}} twice")]
    RepeatedName(String),
    /// `{*rest}` is not the last segment.
    #[error("expected {{*{0}}} as the last segment, but found more after it")]
    RestNotLast(String),
    /// `*` or `**`, the syntax of other gateways.
    #[error("expected {{name}} or {{*rest}}, but found {0:?} (write %2A for the character itself)")]
    Glob(String),
    /// More than [`MAX_PARAMETERS`] parameters.
    #[error("expected at most {MAX_PARAMETERS} parameters, but found {0}")]
    TooManyParameters(usize),
}

impl RoutePattern {
    /// Parses the path of a route.
    ///
    /// # Errors
    /// See [`RoutePatternError`].
    pub fn parse(text: &str) -> Result<Self, RoutePatternError> {
        let written = text
            .strip_prefix('/')
            .ok_or_else(|| RoutePatternError::NotAbsolute(text.to_owned()))?;
        let mut pattern = Self {
            text: text.into(),
            segments: Vec::new(),
            parameters: Vec::new(),
        };
        let mut written = written.split('/').peekable();
        while let Some(segment) = written.next() {
            let is_last = written.peek().is_none();
            pattern.push(segment, is_last)?;
        }
        match pattern.parameters.len() {
            0..=MAX_PARAMETERS => Ok(pattern),
            found => Err(RoutePatternError::TooManyParameters(found)),
        }
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the parameters, in the order of the path, `{*rest}` included.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &str> {
        self.parameters.iter().map(AsRef::as_ref)
    }

    /// The segment index of the parameter of this name.
    pub(super) fn segment_of(&self, name: &str) -> Option<usize> {
        let number = self.parameters().position(|known| known == name)?;
        let parameters = self
            .segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !matches!(segment, Segment::Literal(_)));
        parameters.map(|(index, _)| index).nth(number)
    }

    /// Equal for patterns that match the same paths: names of parameters do not count.
    #[must_use]
    pub fn shape(&self) -> impl Clone + Eq + Hash + '_ {
        self.segments.as_slice()
    }

    /// The name of `{*rest}`.
    #[must_use]
    pub fn rest(&self) -> Option<&str> {
        match self.segments.last()? {
            Segment::Rest => self.parameters.last().map(AsRef::as_ref),
            Segment::Literal(_) | Segment::Parameter => None,
        }
    }

    fn push(&mut self, written: &str, is_last: bool) -> Result<(), RoutePatternError> {
        let braced = written
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'));
        let (name, segment) = match braced {
            None => {
                self.segments
                    .push(Segment::Literal(literal(written, is_last)?));
                return Ok(());
            }
            Some(name) => match name.strip_prefix('*') {
                None => (name, Segment::Parameter),
                Some(rest) if is_last => (rest, Segment::Rest),
                Some(rest) => return Err(RoutePatternError::RestNotLast(rest.to_owned())),
            },
        };
        if name.contains(['{', '}']) {
            return Err(RoutePatternError::Braces(written.to_owned()));
        }
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            return Err(RoutePatternError::InvalidName(name.to_owned()));
        }
        if self.parameters().any(|known| known == name) {
            return Err(RoutePatternError::RepeatedName(name.to_owned()));
        }
        self.segments.push(segment);
        self.parameters.push(name.into());
        Ok(())
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

// A literal obeys the rules for segments of a request; another one could never match.
fn literal(written: &str, is_last: bool) -> Result<Box<str>, RoutePatternError> {
    if written.contains(['{', '}']) {
        return Err(RoutePatternError::Braces(written.to_owned()));
    }
    if matches!(written, "*" | "**") {
        return Err(RoutePatternError::Glob(written.to_owned()));
    }
    let refused = |cause| RoutePatternError::Literal {
        found: written.to_owned(),
        cause,
    };
    if written.is_empty() {
        return if is_last {
            Ok(Box::default())
        } else {
            Err(refused(PathError::EmptySegment))
        };
    }
    let path = format!("/{written}");
    let normal = NormalPath::parse(&path, PathParameters::Allow).map_err(refused)?;
    Ok(decoded(&normal.as_str()[1..]).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        RoutePattern::parse(text)
            .expect_err("an invalid pattern")
            .to_string()
    }

    #[test]
    fn pattern_lists_its_parameters() {
        let pattern = RoutePattern::parse("/a/{b}/c/{*d}").expect("a pattern");
        assert_eq!(pattern.parameters().collect::<Vec<_>>(), ["b", "d"]);
        assert_eq!(pattern.rest(), Some("d"));
        assert_eq!(pattern.as_str(), "/a/{b}/c/{*d}");
        assert_eq!(
            RoutePattern::parse("/")
                .expect("a pattern")
                .parameters()
                .len(),
            0
        );
        assert_eq!(RoutePattern::parse("/{b}").expect("a pattern").rest(), None);
        assert!(RoutePattern::parse("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{*h}").is_ok());
    }

    #[test]
    fn invalid_pattern_is_refused_with_the_remedy() {
        for (text, expected) in [
            ("", "expected a path that starts with /, but found \"\""),
            (
                "files",
                "expected a path that starts with /, but found \"files\"",
            ),
            (
                "/a{b}",
                "expected a segment that is {name}, {*rest} or free of braces, but found \"a{b}\"",
            ),
            (
                "/{a}{b}",
                "expected a segment that is {name}, {*rest} or free of braces, but found \"{a}{b}\"",
            ),
            (
                "/{a",
                "expected a segment that is {name}, {*rest} or free of braces, but found \"{a\"",
            ),
            (
                "/{}",
                "expected a parameter's name of ASCII letters, digits, _ and -, but found \"\"",
            ),
            (
                "/{*}",
                "expected a parameter's name of ASCII letters, digits, _ and -, but found \"\"",
            ),
            (
                "/{a b}",
                "expected a parameter's name of ASCII letters, digits, _ and -, but found \"a b\"",
            ),
            (
                "/{a}/{a}",
                "expected each parameter once, but found {a} twice",
            ),
            (
                "/{*a}/b",
                "expected {*a} as the last segment, but found more after it",
            ),
            (
                "/{*a}/",
                "expected {*a} as the last segment, but found more after it",
            ),
            (
                "/a/*",
                "expected {name} or {*rest}, but found \"*\" (write %2A for the character itself)",
            ),
            (
                "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
                "expected at most 8 parameters, but found 9",
            ),
            (
                "/a//b",
                "expected a segment that a request can have, but found \"\" \
                 (expected no empty segment, but found one)",
            ),
            (
                "/caf\u{e9}",
                "expected a segment that a request can have, but found \"caf\u{e9}\" \
                 (expected percent-encoded UTF-8, but found a character that a path must encode)",
            ),
            (
                "/a/..",
                "expected a segment that a request can have, but found \"..\" \
                 (expected no dot segment, but found one)",
            ),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }
}
