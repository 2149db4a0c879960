//! Weak choices of issuers with tenants: which tenants may use which routes, and whose keys count.

use crate::config::{
    Access, ClaimRule, ClaimTest, Config, Fault, Issuer, KeySource, Route, Spanned, Tenants,
};
use crate::oauth::claims::Template;
use crate::oauth::tenant::TenantTemplate;
use crate::policy::pattern::RoutePattern;

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = Vec::new();
    for issuer in &config.issuers {
        let first = issuer.issuer.first().map(|iss| &iss.value);
        let template = first.and_then(|iss| TenantTemplate::parse(iss).ok().flatten());
        if let (Some(tenants), Some(template)) = (&issuer.tenants, template) {
            let parameter = template.parameter();
            found.extend(any_tenant(config, issuer, tenants, parameter));
            found.extend(shared_keys(issuer, parameter));
        }
    }
    found
}

// In many products, anybody can make a tenant of their own.
fn any_tenant(
    config: &Config,
    issuer: &Issuer,
    tenants: &Tenants,
    parameter: &str,
) -> Option<Fault> {
    let Tenants::Any(place) = tenants else {
        return None;
    };
    if issuer.claims.iter().any(|rule| restricts(rule, parameter)) {
        return None;
    }
    let accepts = |route: &&Route| route.takes_issuer(&issuer.name.value);
    let is_open = |route: &&Route| {
        route.access != Access::Public
            && !route.claims.iter().any(|rule| restricts(rule, parameter))
            && !route.path.iter().all(|path| has_parameter(path, parameter))
    };
    let mut open = config.routes.iter().filter(accepts).filter(is_open);
    let first = open.next()?;
    let others = match open.count() {
        0 => String::new(),
        1 => ", and one more route".to_owned(),
        more => format!(", and {more} more routes"),
    };
    let message = format!(
        "tokens of every tenant pass {}{others}, also of one that an attacker has made",
        first.quoted_paths()
    );
    let help = format!(
        "list the tenants, add a rule over a claim that names your customers, or put {{{parameter}}} into the path"
    );
    Some(place.fault(message).with_help(help))
}

// A rule that only repeats the tenant's name is met by tokens of every tenant.
fn restricts(rule: &ClaimRule, parameter: &str) -> bool {
    let is_fixed = |text: &str| {
        let template = Template::parse(text);
        template.is_ok_and(|template| template.parameters().all(|name| name != parameter))
    };
    let is_fixed_value =
        |value: &Spanned<serde_json::Value>| value.value.as_str().is_none_or(is_fixed);
    match &rule.test {
        ClaimTest::Exists => false,
        ClaimTest::Is(value) | ClaimTest::Has(value) => is_fixed_value(value),
        ClaimTest::OneOf(values) => values.iter().all(is_fixed_value),
        ClaimTest::Matches(pattern) => is_fixed(&pattern.value),
    }
}

fn has_parameter(path: &Spanned<String>, parameter: &str) -> bool {
    let pattern = RoutePattern::parse(&path.value);
    pattern.is_ok_and(|pattern| pattern.parameters().any(|name| name == parameter))
}

/// Hosts whose common documents name the issuer of each key.
const ENTRA_KEYS: &str = "https://login.microsoftonline.";

fn shared_keys(issuer: &Issuer, parameter: &str) -> Option<Fault> {
    let Some(KeySource::Uri(url)) = &issuer.keys else {
        return None;
    };
    let text = url.value.as_str();
    if text.contains("%7B") || text.starts_with(ENTRA_KEYS) {
        return None;
    }
    let message = "one JWKS for all tenants: each of its keys signs for every tenant";
    let help = format!(
        "put {{{parameter}}} into jwks_uri, or remove it, so that each tenant's keys are discovered"
    );
    Some(url.fault(message).with_help(help))
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    const ISSUER: &str =
        "[issuers.corp]\nissuer = \"https://login.test/{tenant}/v2.0\"\naudience = \"api\"\n";

    fn warnings(issuer: &str, routes: &str) -> Vec<String> {
        let upstream = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n";
        let other = "[issuers.other]\nissuer = \"https://id.test\"\naudience = \"api\"\n";
        let toml = format!("{ISSUER}{issuer}\n{other}{upstream}{routes}");
        report_of(&toml, super::weak_choices)
    }

    fn route(path: &str, keys: &str) -> String {
        format!("[[routes]]\npath = {path}\nupstream = \"up\"\n{keys}\n")
    }

    #[test]
    fn any_tenant_without_a_claim_rule_or_a_path_that_names_it_is_warned_of() {
        let any = "tenants = \"any\"";
        let one_of = "claims = [{ claim = \"tid\", one_of = [\"a\", \"b\"] }]";
        let same = "claims = [{ claim = \"tid\", is = \"{tenant}\" }]";
        let exists = "claims = [{ claim = \"tid\", exists = true }]";
        let plain = route("\"/a\"", "");
        let two = format!("{plain}{}", route("\"/b\"", ""));
        for (issuer, routes, expected) in [
            (any.to_owned(), plain.clone(), Some("\"/a\", also")),
            (
                any.to_owned(),
                two,
                Some("\"/a\", and one more route, also"),
            ),
            (format!("{any}\n{one_of}"), plain.clone(), None),
            (
                format!("{any}\n{same}"),
                plain.clone(),
                Some("\"/a\", also"),
            ),
            (
                format!("{any}\n{exists}"),
                plain.clone(),
                Some("\"/a\", also"),
            ),
            (any.to_owned(), route("\"/a\"", one_of), None),
            (any.to_owned(), route("\"/a\"", same), Some("\"/a\", also")),
            (any.to_owned(), route("\"/{tenant}/a\"", ""), None),
            (
                any.to_owned(),
                route("\"/{id}/a\"", ""),
                Some("\"/{id}/a\""),
            ),
            (
                any.to_owned(),
                route("[\"/{tenant}/a\", \"/{tenant}/b\"]", ""),
                None,
            ),
            (any.to_owned(), route("\"/a\"", "public = true"), None),
            (any.to_owned(), route("\"/a\"", "issuers = \"other\""), None),
            ("tenants = [\"a\"]".to_owned(), plain, None),
        ] {
            let found = warnings(&issuer, &routes);
            let Some(expected) = expected else {
                assert_eq!(found, [""; 0], "{issuer}\n{routes}");
                continue;
            };
            assert_eq!(found.len(), 1, "{issuer}\n{routes}");
            let message = format!("tokens of every tenant pass {expected}");
            assert!(found[0].contains(&message), "{found:?}");
        }
    }

    #[test]
    fn one_jwks_for_all_tenants_is_warned_of() {
        let route = route("\"/{tenant}\"", "");
        for (url, expected) in [
            ("https://login.test/keys", 1),
            ("https://login.test/{tenant}/keys", 0),
            (
                "https://login.microsoftonline.com/common/discovery/v2.0/keys",
                0,
            ),
        ] {
            let issuer = format!("tenants = \"any\"\njwks_uri = \"{url}\"");
            let found = warnings(&issuer, &route);
            assert_eq!(found.len(), expected, "{url}: {found:?}");
        }
    }
}
