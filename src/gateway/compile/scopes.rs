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
            let is_literal = path.as_str().split('/').any(|segment| {
                let literal = segment
                    .strip_prefix(':')
                    .or_else(|| segment.strip_prefix('$'));
                literal == Some(name)
            });
            let parameter = format!("write {{{name}}} in the path, where a parameter has braces");
            config::placeholder_hint(&set.value)
                .or_else(|| is_literal.then_some(parameter))
                .or_else(|| config::did_you_mean(name, path.parameters()))
                .or_else(|| {
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

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::compile;

    #[test]
    fn unknown_parameter_has_the_probable_remedy() {
        for (scope, path, remedy) in [
            (
                "${SCOPE}",
                "/users",
                "placeholders such as ${SCOPE} are not replaced: write the value itself",
            ),
            (
                "a.{id}",
                "/users/:id",
                "write {id} in the path, where a parameter has braces",
            ),
            ("a.{ordr}", "/a/{order}", "did you mean \"order\"?"),
            ("a.{b}", "/a/{order}", "the path has {order}"),
        ] {
            let toml = format!(
                "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\njwks_uri = \"http://127.0.0.1:1/\"\n\
                 [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                 [[routes]]\npath = {path:?}\nupstream = \"up\"\nscope = {scope:?}\n"
            );
            let (config, _) =
                config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
            let faults = compile(&config).err().expect("no such parameter");
            let remedies: Vec<_> = faults.iter().map(|fault| fault.help.as_deref()).collect();
            assert_eq!(remedies, [Some(remedy)]);
        }
    }
}
