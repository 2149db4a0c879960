//! `request_headers` of routes, and the headers that clients may not send because of them.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};

use super::header_rules::{Rule, Rules};
use crate::config::{
    self, Config, Fault, RequestHeaders, SecretOrigin, canonical_spelling, holds_credential,
    request_header_refusal,
};
use crate::gateway::snapshot::Forwarding;
use crate::upstream::headers::ReservedHeaders;
use crate::values::ForwardToken;

/// The rules of a route; those that are faulty are left out.
pub(super) fn compile(route: &config::Route, faults: &mut Vec<Fault>) -> Vec<Rule> {
    let mut rules = Rules::new(request_header_refusal, faults);
    let Some(written) = &route.request_headers else {
        return Vec::new();
    };
    let set = written.set.iter().map(|(name, _)| name);
    for name in set.clone().chain(&written.remove) {
        let spelling = canonical_spelling(&name.value);
        let is_claim = route
            .claim_headers
            .iter()
            .any(|claim| canonical_spelling(claim.header.value.as_str()) == spelling);
        if is_claim {
            let message = format!(
                "expected a header that claim_headers does not set, but found {:?}",
                name.value
            );
            rules.refuse(name.fault(message).with_help("choose one of the two"));
        }
    }
    let is_authorization = |name: &str| name.eq_ignore_ascii_case(header::AUTHORIZATION.as_str());
    for name in set.filter(|name| is_authorization(&name.value)) {
        if matches!(route.forward_token, ForwardToken::Keep) {
            let message = "expected forward_token = \"strip\" beside it, but found \"keep\"";
            let help = "the upstream gets either the access token or this value";
            rules.refuse(name.fault(message).with_help(help));
        }
    }
    for (name, value) in &written.set {
        // Only `check` and `explain --offline` accept a missing secret. Its header is removed: an
        // empty value must never stand for it.
        if value.value.is_missing() {
            rules.remove(name);
        } else {
            rules.set(name, value, value.value.expose());
        }
    }
    for name in &written.remove {
        if is_authorization(&name.value) {
            let message =
                "expected a header that the gateway leaves alone, but found \"Authorization\"";
            rules.refuse(
                name.fault(message)
                    .with_help("forward_token = \"strip\" removes it"),
            );
        }
        rules.remove(name);
    }
    let mut rules = rules.into_rules();
    for (name, value) in &mut rules {
        // Debug output and `explain` hide it, and HTTP/2 keeps it out of its compression table.
        if let Some(value) = value {
            value.set_sensitive(is_secret(written, name) || holds_credential(name.as_str()));
        }
    }
    rules
}

/// Whether the file only names where the value of this header is.
fn is_secret(written: &RequestHeaders, name: &HeaderName) -> bool {
    written.set.iter().any(|(other, value)| {
        *value.value.origin() != SecretOrigin::Bare
            && other.value.eq_ignore_ascii_case(name.as_str())
    })
}

/// The headers that a route sets, of its rules.
pub(super) fn set_headers(rules: Vec<Rule>) -> Box<[(HeaderName, HeaderValue)]> {
    rules
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Decides which headers clients may not send on each route: those that the route sets or removes,
/// and those that any route to the same upstream sets from a secret. That upstream trusts the
/// secret, so no client may send its header on another route. Returns what holds for all other
/// routes: the names in `global`.
pub(super) fn reserve(
    config: &Config,
    forwarding: &mut [Forwarding],
    global: &[HeaderName],
) -> Arc<ReservedHeaders> {
    let mut secret: HashMap<usize, Vec<HeaderName>> = HashMap::new();
    let written_of = |route: &Forwarding| &config.routes[route.declaration.route];
    for route in &*forwarding {
        let written = written_of(route);
        let names = written.request_headers.iter().flat_map(|rules| &rules.set);
        let names = names.filter(|(_, value)| *value.value.origin() != SecretOrigin::Bare);
        let names: Vec<_> = names.filter_map(|(name, _)| parsed(&name.value)).collect();
        if !names.is_empty() {
            secret.entry(route.upstream).or_default().extend(names);
        }
    }
    let mut shared: HashMap<usize, Arc<ReservedHeaders>> = HashMap::new();
    for route in forwarding {
        let written = written_of(route);
        let of_upstream = secret.get(&route.upstream).map_or(&[][..], Vec::as_slice);
        route.forwards_verified_only = of_upstream.contains(&header::AUTHORIZATION);
        let own: Vec<_> = written
            .request_headers
            .iter()
            .flat_map(|rules| {
                let set = rules.set.iter().map(|(name, _)| name);
                set.chain(&rules.remove)
            })
            .filter_map(|name| parsed(&name.value))
            .collect();
        let reserved = |own: Vec<HeaderName>| {
            let names = global.iter().chain(of_upstream).cloned().chain(own);
            // The token rules decide on it: see `Forwarding::forwards_verified_only`.
            Arc::new(ReservedHeaders::new(
                names.filter(|name| *name != header::AUTHORIZATION),
            ))
        };
        route.reserved = match (of_upstream.is_empty(), own.is_empty()) {
            (true, true) => None,
            (false, true) => {
                let shared = shared.entry(route.upstream);
                Some(Arc::clone(shared.or_insert_with(|| reserved(own))))
            }
            (_, false) => Some(reserved(own)),
        };
    }
    Arc::new(ReservedHeaders::new(global.iter().cloned()))
}

// Faulty names have been reported.
fn parsed(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a route with these keys.
    fn faults(keys: &str) -> Vec<Fault> {
        let text = format!(
            "upstreams.up = {{ targets = \"http://127.0.0.1:1\" }}\n\
             issuers.corp = {{ issuer = \"https://id.example.com\", audience = \"any\" }}\n\
             routes = [{{ path = \"/\", upstream = \"up\", {keys} }}]\n"
        );
        let (config, _) = crate::config::parse("gateway.toml", &text).expect("TOML");
        let mut faults = Vec::new();
        compile(&config.routes[0], &mut faults);
        faults
    }

    #[test]
    fn rule_about_a_header_of_the_gateway_is_refused() {
        for (rules, refused) in [
            (
                "set = { \"X-Api-Key\" = \"k\" }, remove = \"Cookie\"",
                false,
            ),
            ("set = { Cookie = \"a=b\" }", false),
            ("remove = [\"Origin\", \"User-Agent\"]", false),
            ("set = { Host = \"a\" }", true),
            ("remove = \"Host\"", true),
            ("set = { \"Content-Length\" = \"1\" }", true),
            ("set = { \"Content_Length\" = \"1\" }", true),
            ("set = { \"Transfer-Encoding\" = \"chunked\" }", true),
            ("set = { \"Content-Type\" = \"text/plain\" }", true),
            ("remove = \"Connection\"", true),
            ("set = { TE = \"trailers\" }", true),
            ("set = { Upgrade = \"h2c\" }", true),
            ("set = { \"Proxy-Authorization\" = \"Basic a\" }", true),
            ("set = { Expect = \"100-continue\" }", true),
            ("remove = \"Sec-WebSocket-Protocol\"", true),
            ("set = { \"X-Forwarded-For\" = \"10.0.0.1\" }", true),
            ("set = { \"x_forwarded.for\" = \"10.0.0.1\" }", true),
            ("set = { \"X-HTTP-Method-Override\" = \"GET\" }", true),
            ("remove = \"X-Request-Id\"", true),
            ("remove = \"Authorization\"", true),
            ("set = { \"no header\" = \"a\" }", true),
            ("set = { \"X-A\" = \"a\\r\\nX-B: b\" }", true),
            ("set = { \"X-A\" = \" a\" }", true),
            ("set = { \"X-A\" = \"a\", \"x-a\" = \"b\" }", true),
            ("set = { \"X-A\" = \"a\" }, remove = \"X_A\"", true),
        ] {
            let keys = format!("request_headers = {{ {rules} }}");
            let faults = faults(&keys);
            assert_eq!(!faults.is_empty(), refused, "{rules}: {faults:?}");
        }
    }

    #[test]
    fn authorization_may_be_set_only_where_the_token_is_not_forwarded() {
        let set = "request_headers = { set = { Authorization = \"Basic aXQncyBtZQ\" } }";
        let refused = faults(set);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(!format!("{refused:?}").contains("aXQncyBtZQ"));
        assert!(faults(&format!("forward_token = \"keep\", {set}")).len() == 1);
        assert!(faults(&format!("forward_token = \"strip\", {set}")).is_empty());
    }

    #[test]
    fn header_of_a_claim_is_refused_in_any_spelling() {
        for rules in [
            "set = { \"X_User\" = \"a\" }",
            "remove = \"x.user\"",
            "set = { \"X-User\" = \"a\" }",
        ] {
            let keys = format!(
                "claim_headers = {{ \"X-User\" = \"sub\" }}, request_headers = {{ {rules} }}"
            );
            assert_eq!(faults(&keys).len(), 1, "{rules}");
        }
    }

    #[test]
    fn message_about_a_value_does_not_contain_it() {
        for value in ["s3cret\\u007f", "s3cret ", &"s3cret".repeat(2000)] {
            let keys = format!("request_headers = {{ set = {{ \"X-Api-Key\" = \"{value}\" }} }}");
            let faults = faults(&keys);
            assert_eq!(faults.len(), 1, "{value:?}");
            assert!(!format!("{faults:?}").contains("s3cret"), "{faults:?}");
        }
    }
}
