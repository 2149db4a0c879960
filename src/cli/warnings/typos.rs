//! Values that are valid and matched literally, but probably typing errors.

use crate::config::{
    Audience, Authentication, Config, Fault, Issuer, Route, Spanned, did_you_mean,
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

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        found.extend(unusual_methods(route));
        found.extend(route.access.scopes().iter().filter_map(comma));
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

fn of_issuer(issuer: &Issuer) -> Vec<Fault> {
    let mut found = Vec::new();
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
