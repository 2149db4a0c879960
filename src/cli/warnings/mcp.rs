//! Weak choices of `mcp` and `tools`.

use crate::config::{Access, Config, Fault, Route};
use crate::gateway::Snapshot;
use crate::policy::mcp::{OperationRule, RuleSource};
use crate::values::{ForwardToken, JudgedBy};

pub(super) fn weak_choices(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = Vec::new();
    for route in &config.routes {
        if route.mcp.is_some()
            && route.forward_token == ForwardToken::Keep
            && route.access != Access::Public
        {
            let message = "the MCP server gets the client's token, which MCP forbids to pass on";
            let fault = route.first_path().fault(message);
            found.push(fault.with_help("set forward_token = \"strip\" on this route"));
        }
    }
    for (index, compiled) in snapshot.routes.routes().iter().enumerate() {
        let (written, path) = snapshot.declaration(index, config);
        let is_first = std::ptr::eq(path, written.first_path());
        if let Some(mcp) = compiled.mcp.as_ref().filter(|_| is_first) {
            let rules: Vec<_> = mcp.rules.written().collect();
            found.extend(without_effect(&rules, written));
        }
    }
    found
}

// Rules that no operation reaches: an earlier one matches, or nothing can.
fn without_effect(rules: &[&OperationRule], written: &Route) -> Vec<Fault> {
    let mut found = Vec::new();
    for (position, rule) in rules.iter().enumerate() {
        let RuleSource::File(index) = rule.source else {
            continue;
        };
        let Some(method) = written
            .tools
            .get(index)
            .and_then(|tool| tool.method.first())
        else {
            continue;
        };
        if !rule.label.can_match() {
            let message = format!("the rule for {} matches nothing", rule.label);
            let help = "only tools/call, prompts/get and resources/read have names: remove name";
            found.push(method.fault(message).with_help(help));
            continue;
        }
        let mut earlier = rules[..position].iter();
        let is_other = |other: &&&OperationRule| other.source != rule.source;
        if let Some(first) =
            earlier.find(|other| is_other(other) && other.label.covers(&rule.label))
        {
            let message = format!(
                "the rule for {} has no effect, because the one for {} comes first",
                rule.label, first.label
            );
            found.push(
                method
                    .fault(message)
                    .with_help("put the more specific rule first"),
            );
        }
    }
    found
}

/// What `body = "trust"` relies on.
pub(super) fn notes(config: &Config) -> Vec<Fault> {
    let trusts = |route: &&Route| {
        let mcp = route.mcp.as_ref();
        mcp.is_some_and(|mcp| mcp.body.value == JudgedBy::Headers)
    };
    let note = |route: &Route| {
        let message = "mcp.body = \"trust\" relies on the server: it must refuse each request whose Mcp-Method or Mcp-Name \
                       differs from its body";
        let fault = route.first_path().fault(message);
        fault.with_help("use \"verify\" for a server that goes by the body alone")
    };
    config.routes.iter().filter(trusts).map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::gateway::compile;

    fn found(route: &str) -> (Vec<String>, usize) {
        let toml = format!(
            "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\njwks_uri = \"http://127.0.0.1:1/\"\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/mcp\"\nupstream = \"up\"\n{route}\n"
        );
        let (config, _) =
            config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
        let snapshot = compile(&config).expect("a good file");
        let warnings = weak_choices(&config, &snapshot);
        let messages = warnings.iter().map(|fault| fault.message.clone());
        (messages.collect(), notes(&config).len())
    }

    const STRIP: &str = "forward_token = \"strip\"\n";

    #[test]
    fn token_that_reaches_the_server_is_warned_of() {
        let expected = "the MCP server gets the client's token, which MCP forbids to pass on";
        assert_eq!(found("mcp = {}").0, [expected]);
        assert_eq!(found(&format!("{STRIP}mcp = {{}}")).0, [""; 0]);
        assert_eq!(found("public = true\nmcp = {}").0, [""; 0]);
        assert_eq!(found("").0, [""; 0]);
    }

    #[test]
    fn trust_is_noted_with_what_it_relies_on() {
        assert_eq!(found(&format!("{STRIP}mcp = {{ body = \"trust\" }}")).1, 1);
        assert_eq!(found(&format!("{STRIP}mcp = {{}}")).1, 0);
    }

    #[test]
    fn rule_that_no_operation_reaches_is_warned_of() {
        let rules = |tools: &str| found(&format!("{STRIP}mcp = {{}}\ntools = [{tools}]")).0;
        let call = "{ method = \"tools/call\" }";
        let delete = "{ method = \"tools/call\", name = \"delete_*\", scope = \"d\" }";
        assert_eq!(rules(&format!("{delete}, {call}")), [""; 0]);
        assert_eq!(
            rules(&format!("{call}, {delete}")),
            [
                "the rule for tools/call of delete_* has no effect, because the one for tools/call comes first"
            ]
        );
        let list = "{ method = \"tools/list\", name = \"a\" }";
        assert_eq!(
            rules(list),
            ["the rule for tools/list of a matches nothing"]
        );
        let pair = "{ method = [\"tools/*\", \"tools/call\"] }";
        assert_eq!(rules(pair), [""; 0]);
    }
}
