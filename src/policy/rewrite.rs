//! The path that goes upstream in place of the requested one (`rewrite`).
//!
//! 1. It has the form of a route's path. `{name}` and `{*rest}` stand for what the route's own path
//!    found there.
//! 2. A value is inserted as it is in the normal path. It is never decoded, so it remains one
//!    segment.
//! 3. The result passes the rules of paths again: what is sent is what was checked.

use super::parameters::Parameters;
use super::path::{NormalPath, PathError};
use super::pattern::{RoutePattern, Segment};
use crate::values::PathParameters;

/// How the paths of one route are rewritten.
#[derive(Clone, Debug)]
pub struct PathRewrite {
    pattern: RoutePattern,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    /// A segment in normal form.
    Literal(Box<str>),
    /// The number of a parameter of the route's path.
    Parameter(usize),
    /// The number of its `{*rest}`.
    Rest(usize),
}

/// Why a path cannot replace those of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// The route's path does not have the parameter.
    #[error("expected a parameter of the path {path:?}, but found {found}")]
    UnknownParameter {
        /// The parameter as written, in braces.
        found: String,
        /// Its name.
        name: String,
        /// The path of the route.
        path: String,
    },
    /// `{*rest}` of a parameter of one segment, or the reverse.
    #[error("expected {expected}, as in the path of the route, but found {found}")]
    OtherKind {
        /// The parameter as the path of the route has it.
        expected: String,
        /// The parameter as written.
        found: String,
    },
    /// Every request would be refused.
    #[error("expected a path that obeys the rules, but found {path:?} ({cause})")]
    Refused {
        /// The path.
        path: String,
        /// The rule that it breaks.
        #[source]
        cause: PathError,
    },
}

impl PathRewrite {
    /// Rewrites paths of `route` to `pattern`.
    ///
    /// # Errors
    /// See [`RewriteError`].
    pub fn new(
        pattern: RoutePattern,
        route: &RoutePattern,
        rules: PathParameters,
    ) -> Result<Self, RewriteError> {
        let pieces = pieces(&pattern, route, rules)?;
        Ok(Self { pattern, pieces })
    }

    /// The rewritten paths as a pattern.
    #[must_use]
    pub fn as_pattern(&self) -> &RoutePattern {
        &self.pattern
    }

    /// The path to send for `requested`, in which the route found `parameters`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn apply(
        &self,
        requested: &NormalPath<'_>,
        parameters: &Parameters<'_, '_>,
        rules: PathParameters,
    ) -> Result<String, PathError> {
        let mut path = String::new();
        for piece in &self.pieces {
            let segment = match piece {
                Piece::Literal(text) => text,
                Piece::Parameter(number) => parameters.encoded(*number),
                // `/files/{*rest}` takes `/files` and `/files/`: the slash is kept.
                Piece::Rest(number) => match parameters.encoded(*number) {
                    "" if !requested.as_str().ends_with('/') => continue,
                    rest => rest,
                },
            };
            path.push('/');
            path.push_str(segment);
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(NormalPath::parse(&path, rules)?.as_str().to_owned())
    }
}

fn pieces(
    pattern: &RoutePattern,
    route: &RoutePattern,
    rules: PathParameters,
) -> Result<Vec<Piece>, RewriteError> {
    let mut names = pattern.parameters();
    let mut pieces = Vec::new();
    let written = pattern.as_str().split('/').skip(1);
    for (segment, text) in pattern.segments.iter().zip(written) {
        let mut number = || {
            let name = names.next().unwrap_or_default();
            number(name, matches!(segment, Segment::Rest), route)
        };
        pieces.push(match segment {
            Segment::Literal(_) => Piece::Literal(literal(text, rules)?),
            Segment::Parameter => Piece::Parameter(number()?),
            Segment::Rest => Piece::Rest(number()?),
        });
    }
    Ok(pieces)
}

fn number(name: &str, is_rest: bool, route: &RoutePattern) -> Result<usize, RewriteError> {
    let written = |is_rest: bool| {
        if is_rest {
            format!("{{*{name}}}")
        } else {
            format!("{{{name}}}")
        }
    };
    let Some(number) = route.parameters().position(|known| known == name) else {
        return Err(RewriteError::UnknownParameter {
            found: written(is_rest),
            name: name.to_owned(),
            path: route.as_str().to_owned(),
        });
    };
    let is_rest_of_route = route.rest() == Some(name);
    if is_rest != is_rest_of_route {
        return Err(RewriteError::OtherKind {
            expected: written(is_rest_of_route),
            found: written(is_rest),
        });
    }
    Ok(number)
}

fn literal(text: &str, rules: PathParameters) -> Result<Box<str>, RewriteError> {
    let path = format!("/{text}");
    match NormalPath::parse(&path, rules) {
        Ok(normal) => Ok(normal.as_str()[1..].into()),
        Err(cause) => Err(RewriteError::Refused { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::methods::Methods;
    use crate::policy::requirement::Requirement;
    use crate::policy::route::Route;
    use crate::policy::route_table::RouteTable;

    fn rewrite(path: &str, rewrite: &str) -> Result<PathRewrite, RewriteError> {
        let parse = |text| RoutePattern::parse(text).expect("a pattern");
        PathRewrite::new(parse(rewrite), &parse(path), PathParameters::Refuse)
    }

    /// What a request for `requested` is sent as; `None` if the route does not take it.
    fn sent(path: &str, to: &str, requested: &str) -> Option<String> {
        let table = RouteTable::build(vec![Route {
            hosts: Vec::new(),
            path: RoutePattern::parse(path).expect("a pattern"),
            methods: Methods::all(),
            requirement: Requirement::Public,
            issuers: Vec::new(),
            claims: Default::default(),
            mcp: None,
            resource: None,
            step_up: None,
            is_enforced: true,
        }])
        .expect("no overlap");
        let requested = NormalPath::parse(requested, PathParameters::Refuse).ok()?;
        let found = table.find("", &requested, &Method::GET).ok()?;
        let rewrite = rewrite(path, to).expect("a rewrite");
        let sent = rewrite.apply(&requested, &found.parameters, PathParameters::Refuse);
        Some(sent.expect("a normal path"))
    }

    #[test]
    fn values_are_inserted_as_they_were_in_the_normal_path() {
        for (path, to, requested, expected) in [
            ("/a", "/b", "/a", "/b"),
            ("/a", "/", "/a", "/"),
            ("/a/{x}", "/b/{x}/c", "/a/7", "/b/7/c"),
            ("/a/{x}", "/b/{x}", "/a/7/", "/b/7"),
            ("/{x}/{y}", "/{y}/{x}", "/1/2", "/2/1"),
            ("/{x}/{y}", "/only/{y}", "/1/2", "/only/2"),
            ("/a/{x}", "/b/{x}", "/a/%7e%2b%25", "/b/~%2B%25"),
            (
                "/a/{x}",
                "/caf%c3%a9/{x}",
                "/a/%E2%9C%93",
                "/caf%C3%A9/%E2%9C%93",
            ),
            ("/a/{x}", "/b/{x}", "/a/%7Bx%7D", "/b/%7Bx%7D"),
            ("/a/{*rest}", "/v2/{*rest}", "/a/b/c", "/v2/b/c"),
            ("/a/{*rest}", "/v2/{*rest}", "/a/b/", "/v2/b/"),
            ("/a/{*rest}", "/v2/{*rest}", "/a", "/v2"),
            ("/a/{*rest}", "/v2/{*rest}", "/a/", "/v2/"),
            ("/a/{*rest}", "/{*rest}", "/a", "/"),
            ("/a/{*rest}", "/{*rest}", "/a/", "/"),
            ("/a/{x}/{*rest}", "/{x}", "/a/1/2/3", "/1"),
        ] {
            assert_eq!(
                sent(path, to, requested).as_deref(),
                Some(expected),
                "{path} {to} {requested}"
            );
        }
    }

    #[test]
    fn rewrite_with_another_parameter_or_a_refused_segment_is_an_error() {
        for (path, to, message) in [
            (
                "/a/{x}",
                "/b/{y}",
                "expected a parameter of the path \"/a/{x}\", but found {y}",
            ),
            (
                "/a",
                "/b/{*rest}",
                "expected a parameter of the path \"/a\", but found {*rest}",
            ),
            (
                "/a/{*rest}",
                "/b/{rest}",
                "expected {*rest}, as in the path of the route, but found {rest}",
            ),
            (
                "/a/{x}",
                "/b/{*x}",
                "expected {x}, as in the path of the route, but found {*x}",
            ),
            (
                "/a",
                "/b;v=1",
                "expected a path that obeys the rules, but found \"/b;v=1\" (expected no ; in the path, but found one \
                 (path_parameters = \"refuse\"))",
            ),
        ] {
            let error = rewrite(path, to).expect_err("an error");
            assert_eq!(error.to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn rewritten_path_is_normal_and_keeps_the_segments(
            requested in "/([a-c.]|%2[0-9A-F]|%7[Ee]|;|:|%C3%A9|%EF%BC%8E){1,6}/([a-c./]|%2[0-9a-f]|%5[Cc]|%7[Ee]){0,8}",
        ) {
            if let Some(sent) = sent("/{x}/{*rest}", "/v2/{x}/y/{*rest}", &requested) {
                let normal = NormalPath::parse(&sent, PathParameters::Refuse).expect("a normal path");
                prop_assert_eq!(normal.as_str(), &sent);
                let requested = NormalPath::parse(&requested, PathParameters::Refuse).expect("a normal path");
                let slashes = |path: &str| path.matches('/').count();
                prop_assert_eq!(slashes(&sent), slashes(requested.as_str()) + 2);
            }
        }
    }
}
