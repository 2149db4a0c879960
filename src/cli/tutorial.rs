//! Commands to try next, with the addresses and a route of the running gateway filled in.

use std::net::SocketAddr;

use crate::gateway::Snapshot;
use crate::policy::requirement::Requirement;
use crate::policy::route::Route;

/// Fills in for path parameters and wildcards.
const EXAMPLE: &str = "com.acme";

/// What every client of an MCP server sends first, so no rule has to permit it.
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}"#;

/// Prints the commands to standard output, if the file has a route that they can use.
pub(super) fn print(snapshot: &Snapshot, gateway: &[SocketAddr], issuer: SocketAddr) {
    let (Some(gateway), Some((route, scope))) = (gateway.first(), first_scoped_route(snapshot))
    else {
        return;
    };
    println!("{}", commands(route, &example(&scope), *gateway, issuer));
}

fn commands(route: &Route, scope: &str, gateway: SocketAddr, issuer: SocketAddr) -> String {
    let listed = route.methods.listed().and_then(|methods| methods.first());
    // Messages to an MCP server are sent with POST alone.
    let method = match listed {
        _ if route.mcp.is_some() => "POST",
        Some(method) => method.as_str(),
        None => "GET",
    };
    let url = format!("http://{gateway}{}", example_path(route));
    let (message, body) = match route.mcp {
        Some(_) => message(),
        None => (String::new(), ""),
    };
    // Without it, the token is for another audience (RFC 8707).
    let resource = route.resource.as_ref();
    let resource = resource.map_or_else(String::new, |one| format!(" -d resource={}", one.url));
    format!(
        r#"
Try it, in another terminal:
{message}
  # 1. Without a token: 401, WWW-Authenticate: Bearer
  curl -i -X {method}{body} {url}

  # 2. With a token that grants nothing: 403, and the challenge names the required scope
  token() {{ curl -s -u test:test -d grant_type=client_credentials{resource} -d "scope=$1" http://{issuer}/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/'; }}
  curl -i -X {method}{body} -H "Authorization: Bearer $(token '')" {url}

  # 3. With a token that grants it: 200, from the upstream
  curl -i -X {method}{body} -H "Authorization: Bearer $(token '{scope}')" {url}

  # 4. With a token that was tampered with: 401, error="invalid_token"
  curl -i -X {method}{body} -H "Authorization: Bearer $(token '{scope}' | sed 's/.\{{20\}}$/AAAAAAAAAAAAAAAAAAAA/')" {url}
"#
    )
}

// The message as a shell variable, and the arguments of curl that send it.
fn message() -> (String, &'static str) {
    let variable = format!("\n  message='{INITIALIZE}'\n");
    let arguments = r#" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d "$message""#;
    (variable, arguments)
}

// The first route for any host that requires scopes. A token of a client has no sign-in for
// `step_up`.
fn first_scoped_route(snapshot: &Snapshot) -> Option<(&Route, String)> {
    snapshot
        .routes
        .routes()
        .iter()
        .filter(|route| route.hosts.is_empty() && route.step_up.is_none())
        .find_map(|route| match &route.requirement {
            Requirement::Public => None,
            Requirement::Token { any_of } => {
                any_of.first().map(|scopes| (route, scopes.to_string()))
            }
        })
}

fn example_path(route: &Route) -> String {
    example(route.path.as_str())
}

// `/apps/{id}` becomes `/apps/com.acme`, and `app.{id}` becomes `app.com.acme`; so does a wildcard.
fn example(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        text.push_str(EXAMPLE);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.replace('*', EXAMPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_fills_in_parameters_and_wildcards() {
        assert_eq!(
            example("/apps/{id}/files/{*rest}"),
            "/apps/com.acme/files/com.acme"
        );
        assert_eq!(
            example("messages.write app.{id} files.*"),
            "messages.write app.com.acme files.com.acme"
        );
    }
}
