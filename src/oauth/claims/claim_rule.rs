//! Rules over the values of claims: `claims` of an issuer and of a route.
//!
//! 1. A rule is about one claim, or a value within one. A missing claim never meets a rule, nor does
//!    a value of another type than the rule needs: a list is not one of its elements.
//! 2. Equality is that of JSON. `has` needs a list, `matches` a string.
//! 3. A rule takes time linear in the size of its value and of the claim's, whatever a token
//!    contains.

use std::fmt;

use serde_json::{Map, Value};

use super::rule_value::{ParameterValues, RuleValue, TextPattern};
use super::{ClaimReference, Claims};

/// A rule over one claim.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimRule {
    claim: ClaimReference,
    test: ClaimTest,
}

/// What the value of a claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimTest {
    /// This value.
    Is(RuleValue),
    /// One of these values.
    OneOf(Vec<RuleValue>),
    /// A list with this element.
    Has(RuleValue),
    /// A string that fits this pattern.
    Matches(TextPattern),
    /// Any value but `null`.
    Exists,
}

/// A rule that a token does not meet. It says nothing of the claim's value but its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetRule {
    /// The claim, as the rule names it.
    pub claim: Box<str>,
    /// The operator of the rule.
    pub operator: &'static str,
    /// The position of the rule in its list.
    pub position: usize,
    /// The type of the claim's value.
    pub found: &'static str,
}

impl ClaimRule {
    /// A rule over a claim.
    #[must_use]
    pub fn new(claim: ClaimReference, test: ClaimTest) -> Self {
        Self { claim, test }
    }

    /// The claim that it is about.
    #[must_use]
    pub fn claim(&self) -> &ClaimReference {
        &self.claim
    }

    /// The operator, as in gateway.toml.
    #[must_use]
    pub fn operator(&self) -> &'static str {
        match &self.test {
            ClaimTest::Is(_) => "is",
            ClaimTest::OneOf(_) => "one_of",
            ClaimTest::Has(_) => "has",
            ClaimTest::Matches(_) => "matches",
            ClaimTest::Exists => "exists",
        }
    }

    /// The names of the parameters in its values.
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        match &self.test {
            ClaimTest::Is(value) | ClaimTest::Has(value) => value.parameters().collect(),
            ClaimTest::OneOf(values) => values.iter().flat_map(RuleValue::parameters).collect(),
            ClaimTest::Matches(pattern) => pattern.parameters().collect(),
            ClaimTest::Exists => Vec::new(),
        }
    }

    /// The same rule with other names of its parameters; `None` if one has none.
    #[must_use]
    pub fn renamed(&self, rename: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        let test = match &self.test {
            ClaimTest::Is(value) => ClaimTest::Is(value.renamed(rename)?),
            ClaimTest::Has(value) => ClaimTest::Has(value.renamed(rename)?),
            ClaimTest::OneOf(values) => {
                let values = values.iter().map(|value| value.renamed(rename));
                ClaimTest::OneOf(values.collect::<Option<_>>()?)
            }
            ClaimTest::Matches(pattern) => ClaimTest::Matches(pattern.renamed(rename)?),
            ClaimTest::Exists => ClaimTest::Exists,
        };
        Some(Self::new(self.claim.clone(), test))
    }

    /// The same rule with these values in place of its parameters; `None` if one has none.
    #[must_use]
    pub fn filled(&self, parameters: &impl ParameterValues) -> Option<Self> {
        let test = match &self.test {
            ClaimTest::Is(value) => ClaimTest::Is(value.with(parameters)?),
            ClaimTest::Has(value) => ClaimTest::Has(value.with(parameters)?),
            ClaimTest::OneOf(values) => {
                let values = values.iter().map(|value| value.with(parameters));
                ClaimTest::OneOf(values.collect::<Option<_>>()?)
            }
            ClaimTest::Matches(pattern) => ClaimTest::Matches(pattern.with(parameters)?),
            ClaimTest::Exists => ClaimTest::Exists,
        };
        Some(Self::new(self.claim.clone(), test))
    }

    /// Whether claims meet it, verified or not: for `explain`.
    #[must_use]
    pub fn fits(&self, claims: &Claims, parameters: &impl ParameterValues) -> bool {
        self.holds_for(&claims.members, parameters)
    }

    /// The type of the value in these claims: for `explain`.
    #[must_use]
    pub fn kind_in(&self, claims: &Claims) -> &'static str {
        kind(self.claim.find(&claims.members))
    }

    /// Whether claims meet it. Allocates only for parameters in patterns, and for patterns.
    pub(super) fn holds_for(
        &self,
        claims: &Map<String, Value>,
        parameters: &impl ParameterValues,
    ) -> bool {
        let Some(value) = self.claim.find(claims) else {
            return false;
        };
        match &self.test {
            ClaimTest::Is(expected) => expected.equals(value, parameters),
            ClaimTest::OneOf(expected) => expected.iter().any(|one| one.equals(value, parameters)),
            ClaimTest::Has(expected) => value
                .as_array()
                .is_some_and(|list| list.iter().any(|one| expected.equals(one, parameters))),
            ClaimTest::Matches(pattern) => value
                .as_str()
                .is_some_and(|text| pattern.fits(text, parameters)),
            ClaimTest::Exists => !value.is_null(),
        }
    }

    /// Reports that claims do not meet the rule at this position of its list.
    pub(super) fn unmet(&self, claims: &Map<String, Value>, position: usize) -> UnmetRule {
        UnmetRule {
            claim: self.claim.as_str().into(),
            operator: self.operator(),
            position,
            found: kind(self.claim.find(claims)),
        }
    }
}

/// The type of a value, which says nothing else of it.
pub(super) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "none",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

// The name of a rule, without its values.
impl fmt::Display for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.claim, self.operator())
    }
}

impl fmt::Debug for ClaimRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.claim, self.test)
    }
}

impl fmt::Display for UnmetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            claim,
            operator,
            position,
            found,
        } = self;
        write!(
            f,
            "expected claim {claim:?} to meet claims[{position}] ({operator}), but found {found}"
        )
    }
}

#[cfg(test)]
mod tests;
