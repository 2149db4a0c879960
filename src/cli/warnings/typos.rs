//! Values that are valid and matched literally, but probably typing errors.

use crate::config::{
    Access, Audience, Authentication, Config, Fault, Issuer, Route, Spanned, did_you_mean,
};

/// Methods in use: the registered ones (RFC 9110 §16.1 and IANA's registry), and other common ones.
const KNOWN_METHODS: [&str; 48] = [
    "ACL",
    "BAN",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LIST",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POLL",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];
/// Names that other programs use for every method.
const EVERY_METHOD: [&str; 3] = ["*", "ALL", "ANY"];
/// Of service account tokens.
const KUBERNETES_CLAIM: &str = "kubernetes.io";

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        found.extend(unusual_methods(route));
        found.extend(scopes(route).iter().filter_map(comma));
        found.extend(route.claims.iter().filter_map(|rule| dots(&rule.claim)));
        let claims = route.claim_headers.iter();
        found.extend(claims.filter_map(|one| dots(&one.header.with_value(one.claim.clone()))));
    }
    for issuer in &config.issuers {
        found.extend(of_issuer(issuer));
    }
    for client in config
        .development
        .iter()
        .flat_map(|development| &development.clients)
    {
        found.extend(comma(
            &client.with_value(client.value.allowed_scope.clone()),
        ));
    }
    found
}

// Clients may use other methods (RFC 9110 §9.1), so an unknown one is no error.
fn unusual_methods(route: &Route) -> impl Iterator<Item = Fault> {
    route.methods.iter().filter_map(|method| {
        let name = method.value.as_str();
        let help = match name {
            _ if EVERY_METHOD.contains(&name) => {
                "without methods, a route matches every method".to_owned()
            }
            "CONNECT" | "TRACE" => {
                let fault = method.fault(format!("{name} is a 405 on every route"));
                return Some(fault.with_help("remove it"));
            }
            _ if KNOWN_METHODS.contains(&name) => return None,
            _ => did_you_mean(name, KNOWN_METHODS)
                .unwrap_or_else(|| "clients have to send exactly this method".to_owned()),
        };
        Some(
            method
                .fault(format!(
                    "{name:?} is no common method, and is matched literally"
                ))
                .with_help(help),
        )
    })
}

fn scopes(route: &Route) -> &[Spanned<String>] {
    match &route.access {
        Access::Public | Access::AnyToken => &[],
        Access::Scope(scope) => std::slice::from_ref(scope),
        Access::AnyScope(sets) => sets,
    }
}

// A scope may contain a comma (RFC 6749 §3.3), but hardly any does.
fn comma(scope: &Spanned<String>) -> Option<Fault> {
    let one = scope.value.split(' ').find(|one| one.contains(','))?;
    let scopes: Vec<_> = scope
        .value
        .split([',', ' '])
        .filter(|one| !one.is_empty())
        .collect();
    let fault = scope.fault(format!("{one:?} is one scope that contains a comma"));
    Some(fault.with_help(format!("separate scopes by spaces: {:?}", scopes.join(" "))))
}

// Other programs name a nested claim so. A name with a colon or a slash is a URL or has a namespace,
// and Kubernetes has one claim that is named like a host.
fn dots(claim: &Spanned<String>) -> Option<Fault> {
    let name = claim.value.as_str();
    let is_path = name.contains('.') && name.split('.').all(|part| !part.is_empty());
    if !is_path || name.contains([':', '/']) || name == KUBERNETES_CLAIM {
        return None;
    }
    let pointer = format!("/{}", name.replace('.', "/"));
    let fault = claim.fault(format!(
        "{name:?} is the name of one claim that contains a dot"
    ));
    Some(fault.with_help(format!("did you mean the JSON Pointer {pointer:?}?")))
}

fn of_issuer(issuer: &Issuer) -> Vec<Fault> {
    let scopes = issuer.scope_claims.iter();
    let mut found: Vec<_> = scopes
        .filter_map(|source| dots(&source.with_value(source.value.claim.clone())))
        .collect();
    let rules = issuer.claims.iter().map(|rule| &rule.claim);
    found.extend(issuer.audience_claims.iter().chain(rules).filter_map(dots));
    if let Audience::OneOf(names) = &issuer.audience {
        let stars = names.iter().filter(|name| name.value == "*");
        let fault = |name: &Spanned<String>| {
            name.fault("\"*\" is matched literally: tokens must have it as their audience")
        };
        found.extend(
            stars.map(|name| fault(name).with_help("use \"any\" to accept every audience")),
        );
    }
    if let Some(Authentication::Bearer { scope, .. }) = issuer
        .introspection
        .as_ref()
        .map(|introspection| &introspection.authentication)
    {
        found.extend(comma(scope));
    }
    found
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
    fn uncommon_method_is_warned_of() {
        for fine in [
            "\"GET\"",
            "[\"POST\", \"PATCH\", \"PROPFIND\", \"PURGE\", \"QUERY\"]",
        ] {
            assert_eq!(warnings(&format!("methods = {fine}")), [""; 0], "{fine}");
        }
        for (method, message) in [
            (
                "PSOT",
                "\"PSOT\" is no common method, and is matched literally (did you mean \"POST\"?)",
            ),
            (
                "GTE",
                "\"GTE\" is no common method, and is matched literally (did you mean \"GET\"?)",
            ),
            (
                "*",
                "\"*\" is no common method, and is matched literally (without methods, a route matches every method)",
            ),
            (
                "ANY",
                "\"ANY\" is no common method, and is matched literally (without methods, a route matches every method)",
            ),
            (
                "FROBNICATE",
                "\"FROBNICATE\" is no common method, and is matched literally (clients have to send exactly this method)",
            ),
            ("TRACE", "TRACE is a 405 on every route (remove it)"),
        ] {
            let expected = format!("gateway.toml:6: routes[0].methods[1]: {message}");
            assert_eq!(
                warnings(&format!("methods = [\"GET\", \"{method}\"]")),
                [expected]
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
    fn comma_in_a_scope_is_warned_of_under_every_key() {
        assert_eq!(warnings("scope = \"a b\""), [""; 0]);
        let message =
            "\"a,b\" is one scope that contains a comma (separate scopes by spaces: \"a b\")";
        assert_eq!(
            warnings("scope = \"a,b\""),
            [format!("gateway.toml:6: routes[0].scope: {message}")]
        );
        let message =
            "\"a,\" is one scope that contains a comma (separate scopes by spaces: \"a b\")";
        assert_eq!(
            warnings("any_scope = [\"c\", \"a, b\"]"),
            [format!("gateway.toml:6: routes[0].any_scope[1]: {message}")]
        );
        let toml = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"*\"\nvalidation = \"introspection\"\n\
                     [issuers.corp.introspection]\nauthentication = \"bearer\"\nclient_id = \"a\"\nclient_secret = \"b\"\n\
                     scope = \"a,b\"\n[[development.clients]]\nallowed_scope = \"a,b\"\n";
        let found = warnings(toml);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0]
                .starts_with("gateway.toml:8: issuers.corp.audience: \"*\" is matched literally"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with(
                "gateway.toml:14: issuers.corp.introspection.scope: \"a,b\" is one scope"
            ),
            "{found:?}"
        );
        assert!(
            found[2].starts_with("gateway.toml:15: development.clients[0]: \"a,b\" is one scope"),
            "{found:?}"
        );
    }
}
