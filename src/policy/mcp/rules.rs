//! What each operation requires: `[[routes.tools]]`.
//!
//! 1. The first rule that matches decides, in the order of the file.
//! 2. After the rules of the file follow ours: what every client needs before it calls anything
//!    requires the route's scope alone. Without any rule in the file, so does everything.
//! 3. A rule with a name matches no operation without one.

use std::fmt;
use std::sync::Arc;

use crate::oauth::{scope, wildcard};
use crate::policy::requirement::{ScopeRequirement, SharedParameters};
use crate::text::truncated;

/// The method of a response to a request of the server.
pub(super) const RESPONSE: &str = "response";

/// The operations that require the route's scope alone, unless a rule names them.
const WITHOUT_RULE: [&str; 5] = [
    "initialize",
    "server/discover",
    "ping",
    "notifications/*",
    RESPONSE,
];

/// What a request asks the server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation<'o> {
    /// The method, or `response`.
    pub method: &'o str,
    /// The tool, the prompt or the URI of the resource, if it has one.
    pub name: Option<&'o str>,
}

/// The member of `params` that an operation is named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    Name,
    Uri,
}

/// The methods whose operations have names.
const NAMED: [(&str, NamedBy); 3] = [
    ("tools/call", NamedBy::Name),
    ("prompts/get", NamedBy::Name),
    ("resources/read", NamedBy::Uri),
];

impl Operation<'_> {
    /// What names an operation of this method.
    pub(super) fn named_by(method: &str) -> Option<NamedBy> {
        NAMED
            .iter()
            .find(|(named, _)| *named == method)
            .map(|(_, by)| *by)
    }

    /// For the operator. A URI may hold a secret, so it is left out.
    pub(super) fn describe(&self) -> String {
        let method = truncated(self.method);
        match self.name {
            Some(name) if Self::named_by(self.method) == Some(NamedBy::Name) => {
                format!("{method:?} of {:?}", truncated(name))
            }
            Some(_) | None => format!("{method:?}"),
        }
    }
}

/// The rules of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRules(Vec<OperationRule>);

/// What operations of one pattern require.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRule {
    /// Its patterns, as logs and metrics name the operation.
    pub label: Arc<OperationLabel>,
    /// What the token must grant in addition to the route's scopes.
    pub scope: Option<ScopeRequirement>,
    /// Where it comes from.
    pub source: RuleSource,
}

/// The patterns of an operation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationLabel {
    /// The pattern of the method. `*` stands for one or more characters.
    pub method: Box<str>,
    /// The pattern of the name.
    pub name: Option<Box<str>>,
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSource {
    /// The table with this index in `tools` of the route.
    File(usize),
    /// The operation has no rule, and needs none.
    Default,
}

impl OperationRules {
    /// The rules of a file, and those that follow them.
    #[must_use]
    pub fn new(mut rules: Vec<OperationRule>) -> Self {
        let default = |method: &str| OperationRule {
            label: Arc::new(OperationLabel {
                method: method.into(),
                name: None,
            }),
            scope: None,
            source: RuleSource::Default,
        };
        if rules.is_empty() {
            return Self(vec![default("*")]);
        }
        rules.extend(WITHOUT_RULE.map(default));
        Self(rules)
    }

    /// The rule of an operation, and its index; none if the operation is not allowed.
    #[must_use]
    pub fn find(&self, operation: &Operation<'_>) -> Option<(usize, &OperationRule)> {
        let mut rules = self.0.iter().enumerate();
        rules.find(|(_, rule)| rule.label.matches(operation))
    }

    pub(super) fn are_as_strict_as(&self, other: &Self, shared: SharedParameters) -> bool {
        let is_as_strict = |(own, other): (&OperationRule, &OperationRule)| {
            let has_scope = match (&own.scope, &other.scope) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(other)) => own.implies(other, shared),
            };
            own.label == other.label && has_scope
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_as_strict)
    }

    /// The same rules for a rewritten path, which has each parameter at another `segment`.
    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        let moved = |rule: &OperationRule| OperationRule {
            scope: rule.scope.as_ref().map(|scope| scope.moved(segment)),
            ..rule.clone()
        };
        Self(self.0.iter().map(moved).collect())
    }

    /// Those of the file.
    pub fn written(&self) -> impl Iterator<Item = &OperationRule> {
        let rules = self.0.iter();
        rules.filter(|rule| matches!(rule.source, RuleSource::File(_)))
    }

    /// All of them, in the order in which they are tried.
    #[must_use]
    pub fn all(&self) -> &[OperationRule] {
        &self.0
    }
}

impl OperationLabel {
    fn matches(&self, operation: &Operation<'_>) -> bool {
        let has_name = match (&self.name, operation.name) {
            (None, _) => true,
            (Some(pattern), Some(name)) => wildcard::fits(pattern, name),
            (Some(_), None) => false,
        };
        has_name && wildcard::fits(&self.method, operation.method)
    }

    /// Whether every operation that matches `other` matches this as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covers_name = match (&self.name, &other.name) {
            (None, _) => true,
            (Some(wider), Some(narrower)) => scope::covers(wider, narrower),
            (Some(_), None) => false,
        };
        covers_name && scope::covers(&self.method, &other.method)
    }

    /// Whether any operation can match: only some methods have names.
    #[must_use]
    pub fn can_match(&self) -> bool {
        let fits = |(method, _): &(&str, NamedBy)| wildcard::fits(&self.method, method);
        self.name.is_none() || NAMED.iter().any(fits)
    }
}

impl fmt::Display for OperationLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => f.write_str(&self.method),
            Some(name) => write!(f, "{} of {name}", self.method),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(written: &[(&str, &str)]) -> OperationRules {
        let rule = |(index, (method, name)): (usize, &(&str, &str))| OperationRule {
            label: Arc::new(OperationLabel {
                method: (*method).into(),
                name: (!name.is_empty()).then(|| (*name).into()),
            }),
            scope: None,
            source: RuleSource::File(index),
        };
        OperationRules::new(written.iter().enumerate().map(rule).collect())
    }

    fn found(rules: &OperationRules, method: &str, name: Option<&str>) -> Option<RuleSource> {
        let operation = Operation { method, name };
        rules.find(&operation).map(|(_, rule)| rule.source)
    }

    #[test]
    fn first_matching_rule_of_the_file_decides() {
        let rules = rules(&[
            ("tools/call", "delete_*"),
            ("tools/call", ""),
            ("tools/*", ""),
            ("resources/read", "file:///public/*"),
        ]);
        let file = |index| Some(RuleSource::File(index));
        for (method, name, expected) in [
            ("tools/call", Some("delete_all"), file(0)),
            ("tools/call", Some("delete_"), file(1)),
            ("tools/call", Some("Delete_all"), file(1)),
            ("tools/call", None, file(1)),
            ("tools/list", None, file(2)),
            ("tools/", None, None),
            ("tools", None, None),
            ("Tools/call", None, None),
            ("resources/read", Some("file:///public/a"), file(3)),
            ("resources/read", Some("file:///secret"), None),
            ("resources/read", None, None),
            ("prompts/get", Some("delete_all"), None),
        ] {
            assert_eq!(found(&rules, method, name), expected, "{method} {name:?}");
        }
    }

    #[test]
    fn what_every_client_needs_requires_no_rule_but_obeys_one() {
        let plain = rules(&[("tools/call", "")]);
        for method in [
            "initialize",
            "server/discover",
            "ping",
            "notifications/initialized",
            "response",
        ] {
            assert_eq!(found(&plain, method, None), Some(RuleSource::Default));
            let named = rules(&[(method, "")]);
            assert_eq!(found(&named, method, None), Some(RuleSource::File(0)));
        }
        for method in [
            "initialize2",
            "notifications/",
            "server/discover/x",
            "logging/setLevel",
        ] {
            assert_eq!(found(&plain, method, None), None, "{method}");
        }
    }

    #[test]
    fn without_rules_everything_requires_the_scope_of_the_route() {
        let none = rules(&[]);
        for method in ["tools/call", "anything", "response"] {
            assert_eq!(found(&none, method, Some("x")), Some(RuleSource::Default));
        }
    }

    #[test]
    fn rule_with_a_name_for_methods_without_one_matches_nothing() {
        let can_match =
            |method: &str, name: &str| rules(&[(method, name)]).all()[0].label.can_match();
        assert!(can_match("tools/*", "x"));
        assert!(can_match("*", "x"));
        assert!(can_match("logging/setLevel", ""));
        assert!(!can_match("tools/list", "x"));
        assert!(!can_match("logging/*", "x"));
    }

    #[test]
    fn description_shows_no_uri_and_moves_no_cursor() {
        let describe = |method, name| Operation { method, name }.describe();
        assert_eq!(
            describe("tools/call", Some("a\u{1b}b")),
            "\"tools/call\" of \"a\\u{1b}b\""
        );
        assert_eq!(
            describe("resources/read", Some("file:///secret")),
            "\"resources/read\""
        );
        assert!(describe(&"x".repeat(10_000), None).len() < 1000);
    }
}
