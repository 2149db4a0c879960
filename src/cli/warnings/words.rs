//! Words that are taken as they stand, and are not likely to be what somebody meant.

use crate::config::{
    Access, Audience, Authentication, Config, Fault, Issuer, Route, Spanned, did_you_mean,
};

/// Methods that clients send: the registered ones (RFC 9110 §16.1 and IANA's registry), and others in wide use.
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
/// What other programs call all of them.
const EVERY_METHOD: [&str; 3] = ["*", "ALL", "ANY"];

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        found.extend(methods(route));
        found.extend(scopes(route).iter().filter_map(comma));
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

// Others may be made up (RFC 9110 §9.1), so they are no errors.
fn methods(route: &Route) -> impl Iterator<Item = Fault> {
    route.methods.iter().filter_map(|method| {
        let name = method.value.as_str();
        let help = match name {
            _ if EVERY_METHOD.contains(&name) => {
                "without methods, a route takes every method".to_owned()
            }
            "CONNECT" | "TRACE" => {
                let fault = method.fault(format!("no route takes {name}: it is answered with 405"));
                return Some(fault.with_help("leave it out"));
            }
            _ if KNOWN_METHODS.contains(&name) => return None,
            _ => did_you_mean(name, KNOWN_METHODS)
                .unwrap_or_else(|| "clients have to send it as it stands".to_owned()),
        };
        Some(
            method
                .fault(format!(
                    "{name:?} is no method in use, and is taken as it stands"
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

// A comma may stand in a scope (RFC 6749 §3.3), and hardly ever does.
fn comma(scope: &Spanned<String>) -> Option<Fault> {
    let one = scope.value.split(' ').find(|one| one.contains(','))?;
    let scopes: Vec<_> = scope
        .value
        .split([',', ' '])
        .filter(|one| !one.is_empty())
        .collect();
    let fault = scope.fault(format!("{one:?} is one scope, with a comma in it"));
    Some(fault.with_help(format!(
        "scopes are separated by spaces: {:?}",
        scopes.join(" ")
    )))
}

fn of_issuer(issuer: &Issuer) -> Vec<Fault> {
    let mut found = Vec::new();
    if let Audience::OneOf(names) = &issuer.audience {
        let stars = names.iter().filter(|name| name.value == "*");
        let fault = |name: &Spanned<String>| {
            name.fault("\"*\" is taken as it stands: tokens have to name it")
        };
        found.extend(
            stars.map(|name| fault(name).with_help("\"any\" takes tokens for any audience")),
        );
    }
    if let Some(Authentication::Bearer { scope, .. }) = issuer
        .introspection
        .as_ref()
        .map(|asked| &asked.authentication)
    {
        found.extend(comma(scope));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::config;

    fn warnings(keys: &str) -> Vec<String> {
        let toml = format!(
            "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n{keys}\n"
        );
        let (config, source) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        source
            .report(super::weak_choices(&config))
            .lines()
            .collect()
    }

    #[test]
    fn methods_that_nobody_sends_are_warned_of() {
        for fine in [
            "\"GET\"",
            "[\"POST\", \"PATCH\", \"PROPFIND\", \"PURGE\", \"QUERY\"]",
        ] {
            assert_eq!(warnings(&format!("methods = {fine}")), [""; 0], "{fine}");
        }
        for (method, message) in [
            (
                "PSOT",
                "\"PSOT\" is no method in use, and is taken as it stands (did you mean \"POST\"?)",
            ),
            (
                "GTE",
                "\"GTE\" is no method in use, and is taken as it stands (did you mean \"GET\"?)",
            ),
            (
                "*",
                "\"*\" is no method in use, and is taken as it stands (without methods, a route takes every method)",
            ),
            (
                "ANY",
                "\"ANY\" is no method in use, and is taken as it stands (without methods, a route takes every method)",
            ),
            (
                "FROBNICATE",
                "\"FROBNICATE\" is no method in use, and is taken as it stands (clients have to send it as it stands)",
            ),
            (
                "TRACE",
                "no route takes TRACE: it is answered with 405 (leave it out)",
            ),
        ] {
            let expected = format!("gateway.toml:6: routes[0].methods[1]: {message}");
            assert_eq!(
                warnings(&format!("methods = [\"GET\", \"{method}\"]")),
                [expected]
            );
        }
    }

    #[test]
    fn comma_in_a_scope_is_warned_of_wherever_a_scope_stands() {
        assert_eq!(warnings("scope = \"a b\""), [""; 0]);
        let message =
            "\"a,b\" is one scope, with a comma in it (scopes are separated by spaces: \"a b\")";
        assert_eq!(
            warnings("scope = \"a,b\""),
            [format!("gateway.toml:6: routes[0].scope: {message}")]
        );
        let message =
            "\"a,\" is one scope, with a comma in it (scopes are separated by spaces: \"a b\")";
        assert_eq!(
            warnings("any_scope = [\"c\", \"a, b\"]"),
            [format!("gateway.toml:6: routes[0].any_scope[1]: {message}")]
        );
        let asked = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"*\"\nvalidation = \"introspection\"\n\
                     [issuers.corp.introspection]\nauthentication = \"bearer\"\nclient_id = \"a\"\nclient_secret = \"b\"\n\
                     scope = \"a,b\"\n[[development.clients]]\nallowed_scope = \"a,b\"\n";
        let told = warnings(asked);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0]
                .starts_with("gateway.toml:8: issuers.corp.audience: \"*\" is taken as it stands"),
            "{told:?}"
        );
        assert!(
            told[1].starts_with(
                "gateway.toml:14: issuers.corp.introspection.scope: \"a,b\" is one scope"
            ),
            "{told:?}"
        );
        assert!(
            told[2].starts_with("gateway.toml:15: development.clients[0]: \"a,b\" is one scope"),
            "{told:?}"
        );
    }
}
