//! Values in the spelling of other programs, which are valid here and matched literally.

use crate::config::{Config, Fault, Issuer, Route, Spanned, reference_hint};

/// Of service account tokens.
const KUBERNETES_CLAIM: &str = "kubernetes.io";

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        found.extend(route.path.iter().filter_map(foreign_parameter));
        found.extend(reference(route));
        found.extend(claims_of_route(route).iter().filter_map(pointer));
    }
    for issuer in &config.issuers {
        found.extend(claims_of_issuer(issuer).iter().filter_map(pointer));
        found.extend(issuer.required_claims.iter().filter_map(required_dots));
    }
    found
}

/// The claims that a route names, where it names them.
fn claims_of_route(route: &Route) -> Vec<Spanned<String>> {
    let rules = route.claims.iter().map(|rule| rule.claim.clone());
    let headers = route.claim_headers.iter();
    let headers = headers.map(|header| header.header.with_value(header.claim.clone()));
    rules.chain(headers).collect()
}

/// The claims that an issuer names, where it names them.
fn claims_of_issuer(issuer: &Issuer) -> Vec<Spanned<String>> {
    let scopes = issuer.scope_claims.iter();
    let scopes = scopes.map(|source| source.with_value(source.value.claim.clone()));
    let rules = issuer.claims.iter().map(|rule| rule.claim.clone());
    let audience = issuer.audience_claims.iter().cloned();
    scopes.chain(audience).chain(rules).collect()
}

// Other gateways write parameters and patterns like this.
fn foreign_parameter(path: &Spanned<String>) -> Option<Fault> {
    let name_of = |segment: &&str| {
        let colon = segment.strip_prefix(':').filter(|name| !name.is_empty());
        let angled = || segment.strip_prefix('<')?.strip_suffix('>');
        colon
            .map(str::to_owned)
            .or_else(|| angled().map(|name| name.rsplit(':').next().unwrap_or(name).to_owned()))
    };
    let found = path
        .value
        .split('/')
        .find_map(|segment| Some((segment, name_of(&segment)?)));
    let is_expression = |segment: &&str| {
        [".*", "(.*)", ".+", "[^/]+", "([^/]+)", "[0-9]+", "\\d+"].contains(segment)
    };
    let expression = || {
        path.value
            .split('/')
            .find(is_expression)
            .map(|segment| (segment, "name".to_owned()))
    };
    let (segment, name) = found.or_else(expression)?;
    let fault = path.fault(format!("{segment:?} is matched literally"));
    Some(fault.with_help(format!("{{{name}}} matches any segment")))
}

fn reference(route: &Route) -> Option<Fault> {
    let rewrite = route.rewrite.as_ref()?;
    let (segment, help) = reference_hint(&rewrite.value, &route.first_path().value)?;
    let fault = rewrite.fault(format!("{segment:?} is sent literally"));
    Some(fault.with_help(help))
}

// `#/a` is a JSON Pointer in a URL (RFC 6901 §6), and `$.a.b` a JSONPath.
fn pointer(claim: &Spanned<String>) -> Option<Fault> {
    let name = claim.value.as_str();
    let meant = match (name.strip_prefix("#/"), name.strip_prefix("$.")) {
        (Some(pointer), _) => format!("/{pointer}"),
        (None, Some(path)) => format!("/{}", path.replace('.', "/")),
        (None, None) => return dots(claim),
    };
    let fault = claim.fault(format!("{name:?} is the name of one claim"));
    Some(fault.with_help(format!("did you mean the JSON Pointer {meant:?}?")))
}

// Other programs name a nested claim so. A name with a colon or a slash is a URL or has a namespace,
// and Kubernetes has one claim that is named like a host.
fn dots(claim: &Spanned<String>) -> Option<Fault> {
    let pointer = dotted(&claim.value)?;
    Some(contains_a_dot(claim).with_help(format!("did you mean the JSON Pointer {pointer:?}?")))
}

// This key takes names only.
fn required_dots(claim: &Spanned<String>) -> Option<Fault> {
    let pointer = dotted(&claim.value)?;
    let rule = format!("claims = [{{ claim = {pointer:?}, exists = true }}]");
    Some(contains_a_dot(claim).with_help(format!("a rule takes a JSON Pointer: {rule}")))
}

/// The JSON Pointer that was probably meant.
fn dotted(name: &str) -> Option<String> {
    let is_path = name.contains('.') && name.split('.').all(|part| !part.is_empty());
    if !is_path || name.contains([':', '/']) || name == KUBERNETES_CLAIM {
        return None;
    }
    Some(format!("/{}", name.replace('.', "/")))
}

fn contains_a_dot(claim: &Spanned<String>) -> Fault {
    let name = &claim.value;
    claim.fault(format!(
        "{name:?} is the name of one claim that contains a dot"
    ))
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(keys: &str) -> Vec<String> {
        let toml = format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n{keys}\n"
        );
        report_of(&toml, super::weak_choices)
    }

    #[test]
    fn parameter_in_the_syntax_of_another_gateway_is_warned_of() {
        let found =
            |path: &str| warnings(&format!("[[routes]]\npath = \"{path}\"\nupstream = \"up\""));
        assert_eq!(found("/a/x:y/:"), [""; 0]);
        for (path, message) in [
            (
                "/orders/:id/items",
                "\":id\" is matched literally ({id} matches any segment)",
            ),
            (
                "/orders/<int:id>",
                "\"<int:id>\" is matched literally ({id} matches any segment)",
            ),
            (
                "/orders/[0-9]+",
                "\"[0-9]+\" is matched literally ({name} matches any segment)",
            ),
        ] {
            let found = found(path);
            assert!(found.len() == 1 && found[0].ends_with(message), "{found:?}");
        }
    }

    #[test]
    fn every_path_of_a_list_is_warned_of() {
        let toml = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                    [[routes]]\npath = [\"/a/:x\", \"/b/:x\"]\nupstream = \"up\"\n";
        let found = report_of(toml, super::weak_choices);
        assert_eq!(found.len(), 2, "{found:?}");
        for (index, line) in found.iter().enumerate() {
            let place = format!("routes[0].path[{index}]: \":x\" is matched literally");
            assert!(line.contains(&place), "{line}");
        }
    }

    #[test]
    fn reference_to_the_requested_path_in_another_spelling_is_warned_of() {
        let found = |path: &str, rewrite: &str| {
            let toml = format!(
                "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                 [[routes]]\npath = \"{path}\"\nupstream = \"up\"\nrewrite = \"{rewrite}\"\n"
            );
            report_of(&toml, super::weak_choices)
        };
        assert_eq!(found("/a/{id}", "/b/{id}"), [""; 0]);
        assert_eq!(
            found("/a/{id}", "/b/$1"),
            ["gateway.toml:6: routes[0].rewrite: \"$1\" is sent literally (did you mean {id}?)"]
        );
    }

    #[test]
    fn pointer_in_another_spelling_is_warned_of() {
        for name in ["#/realm_access/roles", "$.realm_access.roles"] {
            let found = warnings(&format!("claim_headers = {{ \"X-A\" = {name:?} }}"));
            assert_eq!(
                found,
                [format!(
                    "gateway.toml:6: routes[0].claim_headers.X-A: {name:?} is the name of one claim (did you mean the JSON Pointer \"/realm_access/roles\"?)"
                )]
            );
        }
    }

    #[test]
    fn claim_name_with_dots_is_warned_of() {
        let claim = |name: &str| {
            format!(
                "claim_headers = {{ \"X-A\" = {name:?} }}\n[issuers.corp]\nissuer = \"https://id.test\"\n\
                 audience = \"a\"\nscope_claims = [\"scope\", {name:?}]\n"
            )
        };
        for fine in [
            "roles",
            "https://api.example.com/roles",
            "urn:example.com:roles",
            "kubernetes.io",
            "a..b",
            "a.",
        ] {
            assert_eq!(warnings(&claim(fine)), [""; 0], "{fine}");
        }
        let message = "\"realm_access.roles\" is the name of one claim that contains a dot \
                       (did you mean the JSON Pointer \"/realm_access/roles\"?)";
        assert_eq!(
            warnings(&claim("realm_access.roles")),
            [
                format!("gateway.toml:6: routes[0].claim_headers.X-A: {message}"),
                format!("gateway.toml:10: issuers.corp.scope_claims[1]: {message}"),
            ]
        );
        let rule = "claims = [{ claim = \"realm_access.roles\", has = \"a\" }]";
        assert_eq!(
            warnings(&format!(
                "{rule}\n[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\n{rule}\n"
            )),
            [
                format!("gateway.toml:6: routes[0].claims[0].claim: {message}"),
                format!("gateway.toml:10: issuers.corp.claims[0].claim: {message}"),
            ]
        );
    }

    #[test]
    fn required_claim_with_dots_is_warned_of_with_a_rule_in_its_place() {
        let required = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"\nrequired_claims = [\"sub\", \"a.b\"]\n";
        assert_eq!(
            warnings(required),
            [
                "gateway.toml:9: issuers.corp.required_claims[1]: \"a.b\" is the name of one claim that contains a dot \
                 (a rule takes a JSON Pointer: claims = [{ claim = \"/a/b\", exists = true }])"
            ]
        );
    }
}
