//! `response_headers` of the server and of routes.

use super::header_rules::{Rule, Rules};
use crate::config::{Fault, ResponseHeaders, response_header_refusal};

/// The rules of a table; those that are faulty are left out.
pub(super) fn compile(written: Option<&ResponseHeaders>, faults: &mut Vec<Fault>) -> Vec<Rule> {
    let mut rules = Rules::new(response_header_refusal, faults);
    if let Some(written) = written {
        for (name, value) in &written.set {
            rules.set(name, value, &value.value);
        }
        for name in &written.remove {
            rules.remove(name);
        }
    }
    rules.into_rules()
}

/// The rules of a route after those of the server. Where both name a header, the route's applies.
pub(super) fn merged(server: &[Rule], route: Vec<Rule>) -> Box<[Rule]> {
    let inherited = server
        .iter()
        .filter(|(name, _)| route.iter().all(|(other, _)| other != name))
        .cloned();
    inherited.chain(route.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

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
            ("set = { \"X-A\" = \"a \" }", true),
            ("set = { \"X-A\" = \"a\" }, remove = \"x-a\"", true),
            ("set = { \"X-A\" = \"a\" }, remove = \"X_A\"", true),
            ("set = { \"Content-Type\" = \"text/html\" }", true),
            ("remove = \"Sec-WebSocket-Accept\"", true),
            ("set = { \"Sec-WebSocket-Protocol\" = \"chat\" }", true),
            ("remove = \"Sec-WebSocket-Extensions\"", true),
            ("remove = \"Mfp-Conflict\"", true),
            ("set = { \"RateLimit\" = \"\\\"a\\\";r=1\" }", true),
            ("remove = \"RateLimit-Policy\"", true),
            ("set = { \"grpc-status\" = \"0\" }", true),
            ("remove = \"grpc-message\"", true),
            ("remove = \"grpc-status-details-bin\"", true),
            ("remove = \"Retry-After\"", true),
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
