//! `response_headers` of the server and of routes.

use http::{HeaderName, HeaderValue};

use super::header_name;
use crate::config::{Fault, ResponseHeaders, Spanned};

/// The headers that a rule must leave alone, and what to do instead.
const OWNED: [(&str, &str); 19] = [
    ("allow", PART_OF_RESPONSE),
    ("connection", PART_OF_RESPONSE),
    ("content-encoding", PART_OF_RESPONSE),
    ("content-length", PART_OF_RESPONSE),
    ("content-range", PART_OF_RESPONSE),
    ("date", PART_OF_RESPONSE),
    ("grpc-message", PART_OF_RESPONSE),
    ("grpc-status", PART_OF_RESPONSE),
    ("keep-alive", PART_OF_RESPONSE),
    ("proxy-authenticate", PART_OF_RESPONSE),
    ("proxy-connection", PART_OF_RESPONSE),
    ("retry-after", PART_OF_RESPONSE),
    ("te", PART_OF_RESPONSE),
    ("trailer", PART_OF_RESPONSE),
    ("transfer-encoding", PART_OF_RESPONSE),
    ("upgrade", PART_OF_RESPONSE),
    (
        "vary",
        "cors and upstreams add to it; a cache would mix up responses without it",
    ),
    ("www-authenticate", "[challenge] says what it contains"),
    ("x-request-id", "server.request_id turns it on and off"),
];

const PART_OF_RESPONSE: &str = "it belongs to the connection or to the meaning of the response";

/// What happens to one header: it gets this value, or it is removed.
type Rule = (HeaderName, Option<HeaderValue>);

/// The rules of a table; those that are faulty are left out.
pub(super) fn compile(written: Option<&ResponseHeaders>, faults: &mut Vec<Fault>) -> Vec<Rule> {
    let Some(written) = written else {
        return Vec::new();
    };
    let mut rules: Vec<Rule> = Vec::new();
    for (name, value) in &written.set {
        let header = changeable_header(name, faults);
        let value = header_value(value, faults);
        if let (Some(header), Some(value)) = (header, value) {
            add(&mut rules, name, (header, Some(value)), faults);
        }
    }
    for name in &written.remove {
        if let Some(header) = changeable_header(name, faults) {
            add(&mut rules, name, (header, None), faults);
        }
    }
    rules
}

/// The rules of a route after those of the server. Where both name a header, the route's applies.
pub(super) fn merged(server: &[Rule], route: Vec<Rule>) -> Box<[Rule]> {
    let inherited = server
        .iter()
        .filter(|(name, _)| route.iter().all(|(other, _)| other != name))
        .cloned();
    inherited.chain(route.iter().cloned()).collect()
}

fn add(rules: &mut Vec<Rule>, written: &Spanned<String>, rule: Rule, faults: &mut Vec<Fault>) {
    if rules.iter().any(|(name, _)| *name == rule.0) {
        let message = format!(
            "expected every header once, but found {:?} again",
            written.value
        );
        faults.push(written.fault(message));
    } else {
        rules.push(rule);
    }
}

/// Parses the name of a header that rules may change.
fn changeable_header(written: &Spanned<String>, faults: &mut Vec<Fault>) -> Option<HeaderName> {
    let name = header_name(written)
        .map_err(|fault| faults.push(*fault))
        .ok()?;
    let reason = if name.as_str().starts_with("access-control-") {
        Some("[cors] sets it")
    } else {
        OWNED
            .iter()
            .find(|(owned, _)| *owned == name.as_str())
            .map(|(_, reason)| *reason)
    };
    let Some(reason) = reason else {
        return Some(name);
    };
    let message = format!(
        "expected a header that the gateway does not set itself, but found {:?}",
        written.value
    );
    faults.push(written.fault(message).with_help(reason));
    None
}

fn header_value(written: &Spanned<String>, faults: &mut Vec<Fault>) -> Option<HeaderValue> {
    let is_text = written
        .value
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    let value = HeaderValue::from_str(&written.value).ok();
    if value.is_none() || !is_text {
        let message = "expected printable ASCII on one line, but found other characters";
        faults.push(written.fault(message));
        return None;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &'static str, value: Option<&'static str>) -> Rule {
        (
            HeaderName::from_static(name),
            value.map(HeaderValue::from_static),
        )
    }

    #[test]
    fn header_of_the_gateway_and_unsafe_value_are_refused() {
        for (table, refused) in [
            ("set = { \"X-Frame-Options\" = \"DENY\" }", false),
            ("remove = \"Server\"", false),
            ("set = { \"WWW-Authenticate\" = \"Basic\" }", true),
            ("set = { \"Access-Control-Allow-Origin\" = \"*\" }", true),
            ("remove = \"Content-Length\"", true),
            ("remove = \"Vary\"", true),
            ("remove = \"no header\"", true),
            ("set = { \"X-A\" = \"a\\r\\nX-B: b\" }", true),
            ("set = { \"X-A\" = \"\u{e9}\" }", true),
            ("set = { \"X-A\" = \"a\" }, remove = \"x-a\"", true),
        ] {
            let text = format!(
                "server = {{ response_headers = {{ {table} }} }}\n\
                 upstreams.up = {{ targets = \"http://127.0.0.1:1\" }}\n\
                 routes = [{{ path = \"/\", public = true, upstream = \"up\" }}]\n"
            );
            let (config, _) = crate::config::parse("gateway.toml", &text).expect("TOML");
            let mut faults = Vec::new();
            compile(config.server.response_headers.as_ref(), &mut faults);
            assert_eq!(!faults.is_empty(), refused, "{table}: {faults:?}");
        }
    }

    #[test]
    fn rules_of_the_route_replace_those_of_the_server_by_header() {
        let server = [
            rule("x-a", Some("server")),
            rule("x-b", None),
            rule("x-c", Some("server")),
        ];
        let route = vec![rule("x-a", None), rule("x-b", Some("route"))];
        assert_eq!(
            *merged(&server, route),
            [
                rule("x-c", Some("server")),
                rule("x-a", None),
                rule("x-b", Some("route"))
            ]
        );
    }
}
