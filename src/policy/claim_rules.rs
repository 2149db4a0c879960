//! The rules over claims of a route.
//!
//! 1. A rule without parameters has an outcome that was computed when the token was verified, if the
//!    routes have not changed since. Every other rule is evaluated for each request.
//! 2. Parameters stand for a segment of the path, or for the tenant of the token. If the path has a
//!    parameter of the tenant's name, both must be equal: this is a rule of its own.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::parameters::Parameters;
use super::pattern::RoutePattern;
use super::requirement::SharedParameters;
use crate::oauth::claims::{ActiveToken, ClaimRule, ParameterValues, RuleSet, UnmetRule};
use crate::oauth::tenant::Tenant;

/// Rules that a token must all meet.
#[derive(Clone, Default)]
pub struct ClaimRules {
    rules: Vec<SharedRule>,
    /// The parameters that stand for the tenant of a token, with their segment in the path.
    tenants: Vec<(Arc<str>, Option<usize>)>,
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

/// What a token does not meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmetClaim {
    /// A rule of the route.
    #[error("{0} (see claims of the route)")]
    Rule(UnmetRule),
    /// The token is of another tenant than the path names.
    #[error(
        "expected the tenant of the token as {{{parameter}}} of the path (see tenants), but found another"
    )]
    Tenant {
        /// The name of the parameter.
        parameter: Box<str>,
    },
}

/// The values of parameters in the rules of a route: those of the path, and the tenant.
#[derive(Clone, Copy, Debug)]
pub struct RequestParameters<'v, 't, 'p> {
    /// The parameters of the path.
    pub path: &'v Parameters<'t, 'p>,
    /// The tenant of the token, if its issuer has tenants.
    pub tenant: Option<&'v Tenant>,
}

impl RequestParameters<'_, '_, '_> {
    /// Whether the path names the token's tenant, where it has a parameter for it; `None` where it
    /// has none.
    #[must_use]
    pub fn names_the_tenant(&self) -> Option<bool> {
        let tenant = self.tenant?;
        let named = self.path.get(&tenant.parameter)?;
        Some(*named == *tenant.name.as_str())
    }
}

impl ParameterValues for RequestParameters<'_, '_, '_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let of_tenant = || Some(Cow::Borrowed(self.tenant?.value_of(name)?));
        self.path.get(name).or_else(of_tenant)
    }
}

// In `by_segment`, this stands before the name of a parameter that is in no segment: the tenant's.
const TENANT: char = '@';

impl ClaimRules {
    /// These rules, in the order of the file, on a route with this path. `tenants` are the
    /// parameters for the tenants of the route's issuers.
    #[must_use]
    pub fn new(rules: Vec<ClaimRule>, path: &RoutePattern, tenants: Vec<Arc<str>>) -> Self {
        let tenants: Vec<_> = tenants
            .into_iter()
            .map(|name| {
                let segment = path.segment_of(&name);
                (name, segment)
            })
            .collect();
        let place = |name: &str| match path.segment_of(name) {
            Some(segment) => Some(segment.to_string()),
            None => is_tenant(&tenants, name).then(|| format!("{TENANT}{name}")),
        };
        let rules = rules
            .into_iter()
            .map(|rule| SharedRule {
                by_segment: rule.renamed(&place),
                rule,
                bit: None,
            })
            .collect();
        Self {
            rules,
            tenants,
            remembered: Arc::default(),
        }
    }

    /// The same rules where each parameter is another segment of the path.
    #[must_use]
    pub(super) fn moved(&self, segment: &impl Fn(&str) -> usize) -> Self {
        let mut moved = self.clone();
        let place = |name: &str| {
            let is_elsewhere = |(known, segment): &(Arc<str>, Option<usize>)| {
                **known == *name && segment.is_none()
            };
            if self.tenants.iter().any(is_elsewhere) {
                format!("{TENANT}{name}")
            } else {
                segment(name).to_string()
            }
        };
        for one in &mut moved.rules {
            one.by_segment = one.rule.renamed(&|name| Some(place(name)));
        }
        for (name, place) in &mut moved.tenants {
            *place = place.map(|_| segment(name));
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

    /// The parameters of the path that must be the tenant of the token.
    pub fn tenants_in_path(&self) -> impl Iterator<Item = &str> {
        let in_path = self.tenants.iter().filter(|(_, segment)| segment.is_some());
        in_path.map(|(name, _)| &**name)
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the token does not meet first: the tenant of the path, or a rule.
    pub(super) fn first_unmet(
        &self,
        token: &ActiveToken,
        parameters: &Parameters<'_, '_>,
    ) -> Option<UnmetClaim> {
        if let Some(tenant) = token.tenant()
            && let Some(unmet) = other_tenant(tenant, parameters)
        {
            return Some(unmet);
        }
        if self.rules.is_empty() {
            return None;
        }
        let parameters = RequestParameters {
            path: parameters,
            tenant: token.tenant().map(|tenant| &**tenant),
        };
        let remembered = token.outcomes_of(&self.remembered);
        let is_met = |one: &SharedRule| match (one.bit, remembered) {
            (Some(bit), Some(met)) => met & bit != 0,
            (Some(_) | None, _) => token.meets(&one.rule, &parameters),
        };
        let position = self.rules.iter().position(|one| !is_met(one))?;
        let unmet = token.unmet(&self.rules[position].rule, position);
        Some(UnmetClaim::Rule(unmet))
    }

    /// Whether every token that meets these rules certainly meets `other`. A rule implies itself only.
    pub(super) fn imply(&self, other: &Self, shared: SharedParameters) -> bool {
        self.name_the_tenant_like(other, shared) && self.imply_rules_of(other, shared)
    }

    // Whether each parameter for the tenant in the other's path is in the same segment here.
    fn name_the_tenant_like(&self, other: &Self, shared: SharedParameters) -> bool {
        let in_path = |(name, segment): &(Arc<str>, Option<usize>)| {
            segment.map(|segment| (Arc::clone(name), segment))
        };
        other
            .tenants
            .iter()
            .filter_map(in_path)
            .all(|(name, segment)| {
                let SharedParameters::AtSameSegment {
                    stripped,
                    stripped_of_other,
                } = shared
                else {
                    return false;
                };
                let ours = self.tenants.iter().filter_map(in_path);
                let mut alike = ours.filter(|(known, _)| *known == name);
                segment
                    .checked_sub(stripped_of_other)
                    .is_some_and(|theirs| {
                        alike.any(|(_, ours)| ours.checked_sub(stripped) == Some(theirs))
                    })
            })
    }

    fn imply_rules_of(&self, other: &Self, shared: SharedParameters) -> bool {
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
            if segment.starts_with(TENANT) {
                return Some(segment.to_owned());
            }
            let segment: usize = segment.parse().ok()?;
            Some(segment.checked_sub(stripped)?.to_string())
        })
    }
}

fn is_tenant(tenants: &[(Arc<str>, Option<usize>)], name: &str) -> bool {
    tenants.iter().any(|(known, _)| **known == *name)
}

#[cold]
fn other_tenant(tenant: &Tenant, path: &Parameters<'_, '_>) -> Option<UnmetClaim> {
    let tenant_of_path = RequestParameters {
        path,
        tenant: Some(tenant),
    };
    let parameter = Box::from(&*tenant.parameter);
    (tenant_of_path.names_the_tenant() == Some(false)).then_some(UnmetClaim::Tenant { parameter })
}

// Equal texts are equal rules, but for the segments of their parameters.
impl fmt::Debug for ClaimRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenants = self.tenants_in_path();
        f.debug_list()
            .entries(self.iter())
            .entries(tenants.map(|name| format!("{{{name}}} is the tenant")))
            .finish()
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
        ClaimRules::new(rules.collect(), &path, Vec::new())
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

    #[test]
    fn path_that_names_the_tenant_is_stricter_than_one_that_does_not() {
        let named = |path: &str| {
            let path = RoutePattern::parse(path).expect("a pattern");
            ClaimRules::new(Vec::new(), &path, vec!["tenant".into()])
        };
        let same = SharedParameters::SAME_PATH;
        let ours = named("/x/{tenant}/{id}");
        assert!(ours.imply(&named("/x/{tenant}/{other}"), same));
        assert!(ours.imply(&named("/x/{id}/a"), same));
        for (weaker, stricter) in [
            (&named("/x/{id}/a"), &ours),
            (&named("/x/{id}/{tenant}"), &ours),
            (&ClaimRules::default(), &ours),
        ] {
            assert!(!weaker.imply(stricter, same), "{weaker:?}");
        }
        assert!(!ours.imply(&ours, SharedParameters::None));
        let stripped = SharedParameters::AtSameSegment {
            stripped: 1,
            stripped_of_other: 0,
        };
        assert!(ours.imply(&named("/{tenant}"), stripped));
        // A rewritten path has the tenant elsewhere.
        assert!(!ours.moved(&|_| 2).imply(&ours, same));
    }

    #[test]
    fn rule_over_the_tenant_implies_itself_on_any_path() {
        let with_tenant = |path: &str, value: &str| {
            let path = RoutePattern::parse(path).expect("a pattern");
            ClaimRules::new(vec![is("org", value)], &path, vec!["tenant".into()])
        };
        let same = SharedParameters::SAME_PATH;
        let ours = with_tenant("/x/{id}", "t:{tenant}");
        assert!(ours.imply(&with_tenant("/x/{other}", "t:{tenant}"), same));
        assert!(!ours.imply(&with_tenant("/x/{id}", "t:{id}"), same));
        assert!(!with_tenant("/x/{id}", "t:{id}").imply(&ours, same));
        assert!(ours.moved(&|_| 7).imply(&ours, same));
    }
}
