//! `mcp` and `tools` of a route.

use std::sync::Arc;

use super::cors;
use super::scopes::scope_requirement;
use crate::config::{self, Access, Config, Fault, SizeLimit, Spanned};
use crate::policy::cors::OriginList;
use crate::policy::mcp::{McpPolicy, OperationLabel, OperationRule, OperationRules, RuleSource};
use crate::policy::pattern::RoutePattern;
use crate::policy::route::Route;
use crate::values::JudgedBy;

/// The largest message, where neither the route nor `[server]` has a smaller limit. It is kept in
/// memory until it is judged.
const MAX_MESSAGE: u64 = 1024 * 1024;

/// Compiles what the operations of a route require; none where no MCP server is behind it.
pub(super) fn compile(
    written: &config::Route,
    path: &RoutePattern,
    config: &Config,
    faults: &mut Vec<Fault>,
) -> Option<Arc<McpPolicy>> {
    let mcp = written.mcp.as_ref()?;
    let judged_by = mcp.body.value;
    if judged_by == JudgedBy::Message && written.max_body_size == Some(SizeLimit::Unlimited) {
        let message =
            "expected max_body_size with a limit beside body = \"verify\", but found \"none\"";
        let help =
            "a message is kept in memory until it is judged: leave max_body_size out for 1MiB";
        faults.push(mcp.body.fault(message).with_help(help));
    }
    Some(Arc::new(McpPolicy {
        judged_by,
        origins: origins(mcp, config, faults),
        rules: OperationRules::new(rules(written, path, faults)),
    }))
}

/// The largest message of a route that sets no limit, in bytes; none if messages are not read.
pub(super) fn message_limit(written: &config::Route) -> Option<u64> {
    let mcp = written.mcp.as_ref()?;
    (mcp.body.value == JudgedBy::Message).then_some(MAX_MESSAGE)
}

/// Accepts pages of the origin of its resource on each route that has one and lists no origins.
pub(super) fn accept_pages_of_resources(
    routes: &mut [Route],
    declared: &[(&config::Route, &Spanned<String>)],
) {
    for (route, (written, _)) in routes.iter_mut().zip(declared) {
        let lists_origins = written.mcp.as_ref().is_none_or(|mcp| mcp.origins.is_some());
        let (Some(mcp), Some(resource), false) = (&mut route.mcp, &route.resource, lists_origins)
        else {
            continue;
        };
        let own = OriginList::parse([&*resource.origin].into_iter());
        Arc::make_mut(mcp).origins = own.unwrap_or_default();
    }
}

// Without origins, the origin under which clients know the gateway. The Host of a request says
// nothing: after DNS rebinding it is the attacker's.
fn origins(mcp: &config::Mcp, config: &Config, faults: &mut Vec<Fault>) -> OriginList {
    let Some(written) = &mcp.origins else {
        let own = config.server.external_url.as_ref();
        let own = own.map(|url| url.value.origin().ascii_serialization());
        return OriginList::parse(own.iter().map(String::as_str)).unwrap_or_default();
    };
    for origin in written {
        let parsed = OriginList::parse([origin.value.as_str()].into_iter());
        let error = parsed.err();
        faults.extend(error.map(|(_, error)| cors::origin_fault(origin, &origin.value, &error)));
    }
    let written = written.iter().map(|origin| origin.value.as_str());
    OriginList::parse(written).unwrap_or_default()
}

// One rule for each pair of patterns, so that logs name the pair that matched.
fn rules(
    written: &config::Route,
    path: &RoutePattern,
    faults: &mut Vec<Fault>,
) -> Vec<OperationRule> {
    let is_public = written.access == Access::Public;
    let mut rules = Vec::new();
    for (index, tool) in written.tools.iter().enumerate() {
        let scope = tool.scope.as_ref().and_then(|scope| {
            if is_public {
                let message = "expected no scope in tools of a public route, but found one";
                let help = "remove public, so that the route requires a token";
                faults.push(scope.fault(message).with_help(help));
                return None;
            }
            scope_requirement(scope, path)
                .map_err(|fault| faults.push(*fault))
                .ok()
        });
        let mut names: Vec<_> = tool.name.iter().map(|name| Some(&*name.value)).collect();
        if names.is_empty() {
            names.push(None);
        }
        for method in &tool.method {
            rules.extend(names.iter().map(|name| OperationRule {
                label: Arc::new(OperationLabel {
                    method: method.value.as_str().into(),
                    name: name.map(Box::from),
                }),
                scope: scope.clone(),
                source: RuleSource::File(index),
            }));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::gateway::{Snapshot, compile};

    fn compiled(server: &str, route: &str) -> Result<Snapshot, Vec<String>> {
        let toml = format!(
            "[server]\n{server}\n[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\njwks_uri = \"http://127.0.0.1:1/\"\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/mcp/{{id}}\"\nupstream = \"up\"\n{route}\n"
        );
        let (config, _) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        compile(&config).map_err(|faults| {
            let line = |fault: &config::Fault| format!("{}: {}", fault.key, fault.message);
            faults.iter().map(line).collect()
        })
    }

    #[test]
    fn faulty_rules_are_refused_where_they_are_written() {
        for (route, expected) in [
            (
                "mcp = { origins = [\"https://a.test\", \"*\"] }",
                "routes[0].mcp.origins[1]: expected an origin such as \"https://app.example.com\", but found \"*\", which any page can have",
            ),
            (
                "mcp = { origins = \"null\" }",
                "routes[0].mcp.origins: expected an origin such as \"https://app.example.com\", but found \"null\", which any page can have",
            ),
            (
                "mcp = {}\ntools = [{ method = \"tools/call\", scope = \"a.{tenant}\" }]",
                "routes[0].tools[0].scope: expected a parameter of the path \"/mcp/{id}\", but found {tenant}",
            ),
            (
                "mcp = {}\npublic = true\ntools = [{ method = \"tools/call\", scope = \"a\" }]",
                "routes[0].tools[0].scope: expected no scope in tools of a public route, but found one",
            ),
            (
                "mcp = {}\nmax_body_size = \"none\"",
                "routes[0].mcp.body: expected max_body_size with a limit beside body = \"verify\", but found \"none\"",
            ),
        ] {
            assert_eq!(compiled("", route).err(), Some(vec![expected.to_owned()]));
        }
        let trust = "mcp = { body = \"trust\" }\nmax_body_size = \"none\"";
        assert!(compiled("", trust).is_ok());
    }

    #[test]
    fn message_is_limited_although_the_server_limits_nothing() {
        let limit = |server: &str, route: &str| {
            let limit = compiled(server, route).expect("a good file").forwarding[0].max_body_size;
            limit.map(|limit| limit.bytes)
        };
        assert_eq!(limit("", "mcp = {}"), Some(1024 * 1024));
        assert_eq!(
            limit("max_body_size = \"10MiB\"", "mcp = {}"),
            Some(1024 * 1024)
        );
        assert_eq!(limit("max_body_size = \"10B\"", "mcp = {}"), Some(10));
        assert_eq!(
            limit("", "mcp = {}\nmax_body_size = \"2MiB\""),
            Some(2 * 1024 * 1024)
        );
        assert_eq!(limit("", "mcp = { body = \"trust\" }"), None);
        assert_eq!(limit("", ""), None);
    }

    #[test]
    fn each_pair_of_patterns_is_a_rule() {
        let route = "mcp = {}\ntools = [{ method = [\"a\", \"b\"], name = [\"x\", \"y\"], scope = \"s\" }, { method = \"c\" }]";
        let snapshot = compiled("", route).expect("a good file");
        let mcp = snapshot.routes.routes()[0].mcp.as_ref().expect("a policy");
        let labels = mcp.rules.all().iter().map(|rule| rule.label.to_string());
        let labels: Vec<_> = labels.take(5).collect();
        assert_eq!(labels, ["a of x", "a of y", "b of x", "b of y", "c"]);
    }
}
