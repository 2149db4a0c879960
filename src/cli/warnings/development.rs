//! Weak choices of `[development]`: who gets tokens, and who gets none that suffice.

use crate::config::{Config, Development, Fault, Issuer, Route};
use crate::oauth::scope::ScopePattern;

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let Some(development) = &config.development else {
        return Vec::new();
    };
    let fault = development
        .listen
        .fault("development: any process on this machine can get any token");
    let mut found =
        vec![fault.with_help("remove [development] and its issuer before production use")];
    let routes = config.routes.iter();
    found.extend(routes.filter_map(|route| unobtainable_scope(route, development, config)));
    found
}

/// The scopes of a route that only tokens of the development server could have, if none of its
/// clients may request them.
fn unobtainable_scope(route: &Route, development: &Development, config: &Config) -> Option<Fault> {
    let iss = format!("http://{}", development.listen.value);
    // A prefix is put before the scopes that a client requests.
    let is_plain = |issuer: &&Issuer| {
        let is_of_development = issuer.issuer.iter().all(|one| one.value == iss);
        is_of_development
            && issuer
                .scope_claims
                .iter()
                .all(|one| one.value.table.is_none())
    };
    let is_accepted = |issuer: &&Issuer| route.takes_issuer(&issuer.name.value);
    let accepted: Vec<_> = config.issuers.iter().filter(is_accepted).collect();
    if accepted.is_empty() || !accepted.iter().all(is_plain) {
        return None;
    }
    let may_request = |scopes: &str| {
        let mut clients = development.clients.iter();
        clients.any(|client| covers(&client.value.allowed_scope, scopes))
    };
    let sets = route.access.scopes();
    let first = sets.first()?;
    if sets.iter().any(|set| may_request(&set.value)) {
        return None;
    }
    let message = "no client of [development] may request what this requires";
    Some(
        first
            .fault(message)
            .with_help("extend allowed_scope of a client"),
    )
}

/// Whether a client with `allowed` scopes may be able to request all of these.
fn covers(allowed: &str, scopes: &str) -> bool {
    let may_request = |scope: &str| {
        let required = ScopePattern::parse(&without_parameters(scope));
        let mut allowed = allowed.split(' ').flat_map(ScopePattern::parse);
        required.is_ok_and(|required| allowed.any(|one| one.overlaps(&required)))
    };
    scopes.split(' ').all(may_request)
}

// The value of a path parameter is any text.
fn without_parameters(scope: &str) -> String {
    let mut text = String::new();
    let mut rest = scope;
    while let Some((before, parameter)) = rest.split_once('{') {
        text.push_str(before);
        text.push('*');
        rest = parameter.split_once('}').map_or("", |(_, after)| after);
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    /// The warnings about the scopes of a route, with one client of the development server.
    fn warnings(allowed: &str, route: &str, more: &str) -> Vec<String> {
        let toml = format!(
            "[development]\nlisten = \"127.0.0.1:9080\"\n[[development.clients]]\nallowed_scope = \"{allowed}\"\n\
             [issuers.dev]\nissuer = \"http://127.0.0.1:9080\"\naudience = \"a\"\n{more}\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/a/{{id}}\"\nupstream = \"up\"\n{route}\n"
        );
        let found = report_of(&toml, super::weak_choices);
        let is_about_scopes = |line: &String| line.contains("may request");
        found.into_iter().filter(is_about_scopes).collect()
    }

    #[test]
    fn scope_that_no_development_client_may_request_is_warned_of() {
        for (allowed, route, count) in [
            ("orders.read", "scope = \"orders.read\"", 0),
            ("orders.read", "scope = \"orders.write\"", 1),
            ("orders.*", "scope = \"orders.write\"", 0),
            ("*", "scope = \"orders.write admin\"", 0),
            ("orders.*", "scope = \"orders.write admin\"", 1),
            ("orders.read", "scope = \"orders.*\"", 0),
            ("orders.7", "scope = \"orders.{id}\"", 0),
            ("order.*", "scope = \"orders.{id}\"", 1),
            ("a", "any_scope = [\"b\", \"a\"]", 0),
            ("a", "any_scope = [\"b\", \"c\"]", 1),
            ("a", "", 0),
            ("a", "public = true", 0),
            ("", "scope = \"a\"", 1),
        ] {
            let found = warnings(allowed, route, "");
            assert_eq!(found.len(), count, "{allowed} {route}: {found:?}");
        }
        assert_eq!(
            warnings("a", "any_scope = [\"b\", \"c\"]", ""),
            [
                "gateway.toml:14: routes[0].any_scope[0]: no client of [development] may request what this requires (extend allowed_scope of a client)"
            ]
        );
    }

    #[test]
    fn tokens_of_another_issuer_may_have_the_scope() {
        let other = "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"a\"";
        assert_eq!(warnings("a", "scope = \"b\"", other), [""; 0]);
        let only = "scope = \"b\"\nissuers = \"dev\"";
        assert_eq!(warnings("a", only, other).len(), 1);
        let prefixed = "scope_claims = { claim = \"scope\", prefix = \"b:\" }";
        assert_eq!(warnings("a", "scope = \"b:a\"", prefixed), [""; 0]);
    }
}
