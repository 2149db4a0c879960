//! The rules over claims of a route.
//!
//! A rule without parameters has an outcome that was computed when the token was verified, if the
//! routes have not changed since. Every other rule is evaluated for each request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::parameters::Parameters;
use super::pattern::RoutePattern;
use super::requirement::SharedParameters;
use crate::oauth::claims::{ActiveToken, ClaimRule, ParameterValues, RuleSet, UnmetRule};

/// Rules that a token must all meet.
#[derive(Clone, Default)]
pub struct ClaimRules {
    rules: Vec<SharedRule>,
    /// The rules of all routes whose outcomes tokens remember.
    remembered: Arc<RuleSet>,
}

#[derive(Clone)]
struct SharedRule {
    rule: ClaimRule,
    /// The same rule with the segment of the path in place of each parameter's name.
    by_segment: Option<ClaimRule>,
    /// Its bit in the outcomes of the set, if it is one of the set.
    bit: Option<u64>,
}

impl ClaimRules {
    /// These rules, in the order of the file, on a route with this path.
    #[must_use]
    pub fn new(rules: Vec<ClaimRule>, path: &RoutePattern) -> Self {
        let rules = rules
            .into_iter()
            .map(|rule| SharedRule {
                by_segment: rule.renamed(&|name| Some(path.segment_of(name)?.to_string())),
                rule,
                bit: None,
            })
            .collect();
        Self {
            rules,
            remembered: Arc::default(),
        }
    }

    /// The same rules where each parameter is another segment of the path.
    #[must_use]
    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        let mut moved = self.clone();
        for one in &mut moved.rules {
            one.by_segment = one.rule.renamed(&|name| Some(segment(name).to_string()));
        }
        moved
    }

    /// Uses the outcomes of this set, where a token has them.
    pub fn remember(&mut self, remembered: &Arc<RuleSet>) {
        for one in &mut self.rules {
            one.bit = remembered.bit(&one.rule);
        }
        self.remembered = Arc::clone(remembered);
    }

    /// The rules in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ClaimRule> {
        self.rules.iter().map(|one| &one.rule)
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the token meets each rule, in their order.
    pub fn outcomes(
        &self,
        token: &ActiveToken,
        parameters: &Parameters<'_, '_>,
    ) -> impl Iterator<Item = bool> {
        let remembered = token.outcomes_of(&self.remembered);
        self.rules
            .iter()
            .map(move |one| match (one.bit, remembered) {
                (Some(bit), Some(met)) => met & bit != 0,
                (Some(_) | None, _) => token.meets(&one.rule, parameters),
            })
    }

    /// The first rule that the token does not meet.
    pub(super) fn first_unmet(
        &self,
        token: &ActiveToken,
        parameters: &Parameters<'_, '_>,
    ) -> Option<UnmetRule> {
        if self.rules.is_empty() {
            return None;
        }
        let position = self
            .outcomes(token, parameters)
            .position(|is_met| !is_met)?;
        Some(token.unmet(&self.rules[position].rule, position))
    }

    /// Whether every token that meets these rules certainly meets `other`. A rule implies itself only.
    pub(super) fn imply(&self, other: &Self, shared: SharedParameters) -> bool {
        other.rules.iter().all(|needed| {
            if needed.rule.parameters().is_empty() {
                return self.iter().any(|rule| *rule == needed.rule);
            }
            let SharedParameters::AtSameSegment {
                stripped,
                stripped_of_other,
            } = shared
            else {
                return false;
            };
            needed.stripped_by(stripped_of_other).is_some_and(|needed| {
                let rules = self.rules.iter();
                let mut ours = rules.filter_map(|rule| rule.stripped_by(stripped));
                ours.any(|rule| rule == needed)
            })
        })
    }
}

impl SharedRule {
    // The rule with the segment of each parameter, after the first segments of the path are stripped.
    fn stripped_by(&self, stripped: usize) -> Option<ClaimRule> {
        self.by_segment.as_ref()?.renamed(&|segment| {
            let segment: usize = segment.parse().ok()?;
            Some(segment.checked_sub(stripped)?.to_string())
        })
    }
}

impl ParameterValues for Parameters<'_, '_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name)
    }
}

// Equal texts are equal rules, but for the segments of their parameters.
impl fmt::Debug for ClaimRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::claims::{ClaimReference, ClaimTest, RuleValue, Template};

    fn is(claim: &str, value: &str) -> ClaimRule {
        let value = RuleValue::Text(Template::parse(value).expect("a template"));
        ClaimRule::new(ClaimReference::name(claim), ClaimTest::Is(value))
    }

    fn rules(path: &str, rules: &[(&str, &str)]) -> ClaimRules {
        let path = RoutePattern::parse(path).expect("a pattern");
        let rules = rules.iter().map(|(claim, value)| is(claim, value));
        ClaimRules::new(rules.collect(), &path)
    }

    #[test]
    fn rules_imply_those_among_them() {
        let web = rules("/a", &[("azp", "web")]);
        let both = rules("/b", &[("org", "x"), ("azp", "web")]);
        for (one, other, expected) in [
            (&both, &web, true),
            (&web, &both, false),
            (&web, &rules("/a", &[("azp", "cli")]), false),
            (&web, &rules("/a", &[("aud", "web")]), false),
            (&web, &ClaimRules::default(), true),
            (&ClaimRules::default(), &web, false),
        ] {
            let implies = one.imply(other, SharedParameters::None);
            assert_eq!(implies, expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn parameters_are_equal_at_the_same_segment_only() {
        let ours = rules("/x/{a}/{b}", &[("org", "t:{a}")]);
        let theirs = |path: &str| rules(path, &[("org", "t:{b}")]);
        let same = SharedParameters::SAME_PATH;
        assert!(ours.imply(&theirs("/x/{b}/{a}"), same));
        assert!(
            !ours.imply(&theirs("/x/{a}/{b}"), same),
            "{{a}} is not {{b}}"
        );
        assert!(!ours.imply(&theirs("/x/{b}/{a}"), SharedParameters::None));
        let stripped = SharedParameters::AtSameSegment {
            stripped: 1,
            stripped_of_other: 0,
        };
        assert!(ours.imply(&theirs("/{b}"), stripped));
        assert!(!ours.imply(&theirs("/x/{b}/{a}"), stripped));
        // A rewritten path has the parameter elsewhere.
        let moved = ours.moved(&|_| 2);
        assert!(moved.imply(&theirs("/x/{a}/{b}"), same));
        assert!(!moved.imply(&theirs("/x/{b}/{a}"), same));
    }
}
