//! Scopes that a token must grant: `scope` and `any_scope` of a route, `scope` of its `tools`.

use crate::config::{self, Fault, Spanned};
use crate::policy::pattern::RoutePattern;
use crate::policy::requirement::{ScopeRequirement, ScopeRequirementError};

/// Compiles scopes that are all required.
pub(super) fn scope_requirement(
    set: &Spanned<String>,
    path: &RoutePattern,
) -> Result<ScopeRequirement, Box<Fault>> {
    let hint = |error: &ScopeRequirementError| match error {
        ScopeRequirementError::UnknownParameter { name, .. } => {
            let names: Vec<_> = path
                .parameters()
                .map(|name| format!("{{{name}}}"))
                .collect();
            let near = config::did_you_mean(name, path.parameters());
            near.or_else(|| {
                Some(format!("the path has {}", names.join(", "))).filter(|_| !names.is_empty())
            })
        }
        ScopeRequirementError::NotAScopeToken { .. }
        | ScopeRequirementError::NoScope
        | ScopeRequirementError::LoneWildcard(_)
        | ScopeRequirementError::Braces(_)
        | ScopeRequirementError::Rest(_) => None,
    };
    let refuse = |error: ScopeRequirementError| {
        Box::new(Fault {
            help: hint(&error),
            ..set.fault(error.to_string())
        })
    };
    ScopeRequirement::parse(&set.value, path).map_err(refuse)
}
