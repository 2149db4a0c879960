//! Weak choices of an issuer: which tokens are accepted, and how they are verified.

use crate::config::{
    Access, Audience, Authentication, ClaimRule, ClaimTest, Discovery, Fault, Issuer, Route,
    SecretOrigin,
};

pub(super) fn weak_choices(issuer: &Issuer, routes: &[Route], in_development: bool) -> Vec<Fault> {
    let mut found = Vec::from_iter(any_recipient(issuer, routes));
    // Trials on one machine need neither.
    if !in_development {
        found.extend(written_secrets(issuer));
        found.extend(plain_http(issuer));
    }
    found.extend(unauthenticated_introspection(issuer));
    if issuer.insecure_ignore_cnf {
        let fault = issuer.name.fault(
            "insecure_ignore_cnf: a token that is bound to one client is accepted from any client",
        );
        found.push(fault.with_help(
            "configure the issuer to issue bearer tokens for this gateway, and remove insecure_ignore_cnf",
        ));
    }
    found
}

/// Tokens that may be meant for another API.
fn any_recipient(issuer: &Issuer, routes: &[Route]) -> Option<Fault> {
    let names_recipient = issuer.claims.iter().any(is_about_the_recipient)
        || each_route_names_the_recipient(issuer, routes);
    if names_recipient {
        return None;
    }
    match &issuer.audience {
        Audience::Any(place) => {
            let wildcards = if issuer.granted_wildcards {
                ", and a * in their scopes counts here"
            } else {
                ""
            };
            let message =
                format!("tokens that were issued for another API are accepted too{wildcards}");
            Some(place.fault(message).with_help(
                "set audience to the value in tokens for this API, or add a rule over azp or client_id to claims of the issuer or of each of its routes",
            ))
        }
        Audience::OfResources => None,
        // The server that introspects a token knows its audience.
        Audience::OneOf(_) if issuer.audience_required || issuer.introspects_jwts() => None,
        Audience::OneOf(names) => Some(
            names
                .first()?
                .fault("audience_required = false: a token without aud is accepted, whichever API it was issued for")
                .with_help("configure the issuer to set aud, or set audience_claims to the claim that names this API instead; then remove audience_required"),
        ),
    }
}

fn written_secrets(issuer: &Issuer) -> impl Iterator<Item = Fault> {
    let written = issuer
        .secrets()
        .filter(|secret| *secret.value.origin() == SecretOrigin::Bare);
    written.map(|secret| {
        secret
            .fault("the secret is written in this file, so every reader of the file knows it")
            .with_help("use { env = \"NAME\" } or { file = \"PATH\" }")
    })
}

fn plain_http(issuer: &Issuer) -> Vec<Fault> {
    let urls = issuer.written_endpoints();
    let mut found: Vec<_> = urls
        .filter(|url| url.value.scheme() == "http")
        .map(|url| {
            url.fault("anybody on the network path can read and replace what is sent over http")
                .with_help("use https")
        })
        .collect();
    let is_discovered_over_http = match &issuer.discovery {
        Discovery::Off => false,
        Discovery::WellKnown => issuer
            .issuer
            .first()
            .is_some_and(|iss| iss.value.starts_with("http://")),
        Discovery::At(url) => url.scheme() == "http",
    };
    if is_discovered_over_http {
        let fault = issuer.name.fault(
            "anybody on the network path can replace metadata and keys that are fetched over http",
        );
        found
            .push(fault.with_help("use an issuer with an https URL, or set jwks_uri or jwks_file"));
    }
    found
}

fn unauthenticated_introspection(issuer: &Issuer) -> Option<Fault> {
    let Authentication::None(place) = &issuer.introspection.as_ref()?.authentication else {
        return None;
    };
    let fault =
        place.fault("any client that reaches the introspection endpoint can introspect tokens");
    Some(fault.with_help(
        "configure the server to authenticate clients, and set client_id and client_secret",
    ))
}

/// Claims that say which client or API a token was issued for.
const RECIPIENT_CLAIMS: [&str; 6] = ["aud", "azp", "client_id", "cid", "appid", "resource"];

// A rule that any value meets says nothing of the recipient.
fn is_about_the_recipient(rule: &ClaimRule) -> bool {
    let claim = rule.claim.value.trim_start_matches('/');
    let claim = claim.split('/').next().unwrap_or_default();
    let is_narrow = match &rule.test {
        ClaimTest::Exists => false,
        ClaimTest::Matches(pattern) => pattern.value.chars().any(|character| character != '*'),
        ClaimTest::Is(_) | ClaimTest::OneOf(_) | ClaimTest::Has(_) => true,
    };
    RECIPIENT_CLAIMS.contains(&claim) && is_narrow
}

// Whether every route that takes tokens of this issuer has such a rule, and enforces it.
fn each_route_names_the_recipient(issuer: &Issuer, routes: &[Route]) -> bool {
    let takes_its_tokens = |route: &&Route| {
        route.takes_issuer(&issuer.name.value) && !matches!(route.access, Access::Public)
    };
    let mut routes = routes.iter().filter(takes_its_tokens).peekable();
    routes.peek().is_some() && routes.all(names_the_recipient)
}

fn names_the_recipient(route: &Route) -> bool {
    let is_enforced = route.enforce.as_ref().is_none_or(|enforce| enforce.value);
    // Clients choose the path, so a rule that compares with it excludes no client.
    let mut rules = route.claims.iter().filter(|rule| !follows_the_path(rule));
    is_enforced && rules.any(is_about_the_recipient)
}

fn follows_the_path(rule: &ClaimRule) -> bool {
    let is_parameter = |text: &str| text.starts_with('{') && text.ends_with('}');
    let is_parameter_value = |value: &serde_json::Value| value.as_str().is_some_and(is_parameter);
    match &rule.test {
        ClaimTest::Is(value) | ClaimTest::Has(value) => is_parameter_value(&value.value),
        ClaimTest::OneOf(values) => values.iter().any(|value| is_parameter_value(&value.value)),
        ClaimTest::Matches(pattern) => is_parameter(pattern.value.trim_matches('*')),
        ClaimTest::Exists => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::config;

    fn warnings(keys: &str) -> usize {
        let toml = format!("[issuers.a]\nissuer = \"https://id.test\"\n{keys}\n");
        let (config, _) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        super::weak_choices(&config.issuers[0], &config.routes, false).len()
    }

    // Of an issuer that accepts any audience, on these routes.
    fn warnings_with_routes(routes: &[&str]) -> usize {
        let mut toml =
            "[issuers.b]\nissuer = \"https://other.test\"\naudience = \"b\"\n".to_owned();
        toml += "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n";
        toml += "[issuers.a]\nissuer = \"https://id.test\"\naudience = \"any\"\n";
        for (index, keys) in routes.iter().enumerate() {
            toml += &format!("[[routes]]\npath = \"/{index}/{{id}}\"\nupstream = \"up\"\n{keys}\n");
        }
        let (config, _) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        let issuer = config
            .issuers
            .iter()
            .find(|issuer| issuer.name.value == "a");
        super::weak_choices(issuer.expect("declared"), &config.routes, false).len()
    }

    #[test]
    fn rules_of_routes_count_if_all_routes_of_the_issuer_have_one() {
        let web = "claims = [{ claim = \"azp\", is = \"web\" }]";
        let cli = "claims = [{ claim = \"client_id\", one_of = [\"cli\"] }]";
        for (routes, expected) in [
            (&[][..], 1),
            (&[web], 0),
            (&[web, cli], 0),
            (&[web, "scope = \"x\""], 1),
            (&[web, "public = true"], 0),
            (&["public = true"], 1),
            (&[web, "issuers = \"b\""], 0),
            (&[web, "issuers = [\"a\", \"b\"]"], 1),
            (
                &[
                    web,
                    "enforce = false\nclaims = [{ claim = \"azp\", is = \"web\" }]",
                ],
                1,
            ),
            (&["claims = [{ claim = \"sub\", is = \"web\" }]"], 1),
            (&["claims = [{ claim = \"azp\", exists = true }]"], 1),
            (&["claims = [{ claim = \"azp\", matches = \"*\" }]"], 1),
            (&["claims = [{ claim = \"azp\", matches = \"web-*\" }]"], 0),
            (&["claims = [{ claim = \"azp\", is = \"{id}\" }]"], 1),
            (
                &[
                    "claims = [{ claim = \"azp\", is = \"{id}\" }, { claim = \"aud\", has = \"api\" }]",
                ],
                0,
            ),
        ] {
            assert_eq!(warnings_with_routes(routes), expected, "{routes:?}");
        }
    }

    #[test]
    fn rule_on_who_the_token_is_for_takes_the_place_of_an_audience() {
        for (keys, expected) in [
            ("audience = \"api\"", 0),
            ("audience = \"any\"", 1),
            ("audience = [\"api\"]\naudience_required = false", 1),
            (
                "audience = [\"client\"]\naudience_claims = \"client_id\"",
                0,
            ),
            (
                "audience = \"any\"\nclaims = [{ claim = \"sub\", is = \"x\" }]",
                1,
            ),
            (
                "audience = \"any\"\nclaims = [{ claim = \"azp\", exists = true }]",
                1,
            ),
            (
                "audience = \"any\"\nclaims = [{ claim = \"azp\", one_of = [\"web\"] }]",
                0,
            ),
            (
                "audience = \"any\"\nclaims = [{ claim = \"/aud\", has = \"web\" }]",
                0,
            ),
            (
                "audience = \"api\"\naudience_required = false\nclaims = [{ claim = \"client_id\", is = \"web\" }]",
                0,
            ),
        ] {
            assert_eq!(warnings(keys), expected, "{keys}");
        }
    }
}
