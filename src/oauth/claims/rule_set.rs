//! Outcomes of rules that are computed once for each token.
//!
//! The outcome of a rule without parameters is a fact about a token, as its claims are. It is computed
//! when the token is verified, so that a request with a cached token only reads a bit. What a route
//! requires is not among these facts: each request is decided anew. Of a token with twenty claims, a
//! remembered outcome takes about 45 instructions, and an evaluated one about 300 (callgrind).
//!
//! The token cache outlives the routes. So a token remembers which [`RuleSet`] its outcomes belong to,
//! and for every other set it has none: the rules are then evaluated over its claims.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::ClaimRule;
use super::rule_value::NoParameters;

/// Maximum number of rules in a set: one bit each. Further rules are evaluated for each request.
const MAX_RULES: usize = 64;

/// Distinct rules without parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RuleSet(Box<[ClaimRule]>);

/// The outcomes of the rules of a set for one token.
#[derive(Clone)]
pub(super) struct RuleOutcomes {
    rules: Arc<RuleSet>,
    /// A bit for each rule that is met.
    met: u64,
}

impl RuleSet {
    /// The first distinct ones of these rules that have no parameters.
    #[must_use]
    pub fn of<'r>(rules: impl IntoIterator<Item = &'r ClaimRule>) -> Self {
        let mut distinct: Vec<ClaimRule> = Vec::new();
        for rule in rules {
            if distinct.len() == MAX_RULES {
                break;
            }
            if rule.parameters().is_empty() && !distinct.contains(rule) {
                distinct.push(rule.clone());
            }
        }
        Self(distinct.into())
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bit of this rule in the outcomes.
    #[must_use]
    pub fn bit(&self, rule: &ClaimRule) -> Option<u64> {
        let position = self.0.iter().position(|known| known == rule)?;
        Some(1 << position)
    }
}

impl RuleOutcomes {
    /// The outcomes of these rules for a token with these claims.
    pub(super) fn of(rules: &Arc<RuleSet>, claims: &Map<String, Value>) -> Self {
        let rules_by_bit = rules.0.iter().enumerate();
        let met = rules_by_bit
            .filter(|(_, rule)| rule.holds_for(claims, &NoParameters))
            .fold(0, |met, (position, _)| met | 1 << position);
        Self {
            rules: Arc::clone(rules),
            met,
        }
    }

    /// A bit for each rule that is met, if these are outcomes of this very set.
    pub(super) fn met(&self, rules: &Arc<RuleSet>) -> Option<u64> {
        Arc::ptr_eq(&self.rules, rules).then_some(self.met)
    }
}
