//! Faults of resources beside routes and issuers.

use crate::gateway::compile;

/// The faults of a file with this content.
fn faults(toml: &str) -> Vec<String> {
    let toml = format!(
        "[issuers.corp]\nissuer = \"https://id.test\"\naudience = \"api\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n{toml}"
    );
    let (config, source) =
        crate::config::parse("gateway.toml", &toml).unwrap_or_else(|report| panic!("{report}"));
    compile(&config)
        .err()
        .map(|faults| source.report(faults).lines().collect())
        .unwrap_or_default()
}

fn route(keys: &str) -> String {
    format!("[[routes]]\nupstream = \"up\"\n{keys}\n")
}

fn resource(keys: &str) -> String {
    format!("[[resources]]\n{keys}\n")
}

#[test]
fn two_resources_cannot_share_host_and_path() {
    for (one, other) in [
        ("https://a.test", "https://a.test/"),
        ("https://a.test/mcp", "https://a.test/mcp"),
        ("https://a.test/mcp", "https://a.test/mcp/"),
        ("https://a.test/mcp", "https://a.test:8443/mcp"),
        ("https://localhost/mcp", "http://localhost/mcp"),
    ] {
        let toml = route("path = \"/mcp\"")
            + &resource(&format!("url = \"{one}\""))
            + &resource(&format!("url = \"{other}\""));
        let found = faults(&toml);
        assert_eq!(found.len(), 1, "{one} {other}: {found:?}");
        let expected = format!(
            "expected a host and path of its own, but found those of resources[0].url ({one:?})"
        );
        assert!(found[0].contains(&expected), "{found:?}");
    }
}

#[test]
fn host_of_a_request_must_not_decide_between_two_resources() {
    let resources =
        resource("url = \"https://a.test/mcp\"") + &resource("url = \"https://b.test/mcp\"");
    let found = faults(&(route("path = \"/mcp\"") + &resources));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .contains("routes[0].path: expected a route below one resource, but found it below"),
        "{found:?}"
    );
    let separate =
        route("host = \"a.test\"\npath = \"/mcp\"") + &route("host = \"b.test\"\npath = \"/mcp\"");
    assert_eq!(faults(&(separate + &resources)), [""; 0]);
}

#[test]
fn route_at_the_path_of_the_metadata_is_a_fault() {
    let own = "path = \"/.well-known/oauth-protected-resource/mcp\"\npublic = true";
    let mcp = route("path = \"/mcp\"") + &resource("url = \"https://a.test/mcp\"");
    let found = faults(&(route(own) + &mcp));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("expected a path that the gateway does not answer itself"),
        "{found:?}"
    );
    // Another host, and a route for every path, may have the path.
    let elsewhere = route(&format!("host = \"b.test\"\n{own}"));
    assert_eq!(faults(&(elsewhere + &mcp)), [""; 0]);
    assert_eq!(faults(&(route("path = \"/{*rest}\"") + &mcp)), [""; 0]);
}

#[test]
fn scopes_and_path_of_a_resource_must_be_possible() {
    for (keys, expected) in [
        (
            "url = \"https://a.test/mcp\"\nscopes = [\"a b\"]",
            "resources[0].scopes[0]: expected one scope-token",
        ),
        (
            "url = \"https://a.test/mcp\"\nscopes = \"a\\\"\"",
            "resources[0].scopes: expected one scope-token",
        ),
        (
            "url = \"https://a.test/a//b\"",
            "resources[0].url: expected a segment that a request can have",
        ),
        (
            "url = \"https://a.test/a%2Fb\"",
            "resources[0].url: expected a segment that a request can have",
        ),
    ] {
        let found = faults(&(route("path = \"/mcp\"") + &resource(keys)));
        assert_eq!(found.len(), 1, "{keys}: {found:?}");
        assert!(found[0].contains(expected), "{keys}: {found:?}");
    }
}

#[test]
fn issuer_without_an_audience_is_for_resource_routes_only() {
    let toml = |issuer: &str, routes: &str| {
        format!(
            "[issuers.tools]\nissuer = \"https://tools.test\"\n{issuer}\n{}{routes}",
            resource("url = \"https://a.test/mcp\"")
        )
    };
    let on_mcp = route("path = \"/mcp\"\nissuers = [\"tools\", \"corp\"]");
    assert_eq!(faults(&toml("", &on_mcp)), [""; 0]);
    let public = route("path = \"/open\"\npublic = true");
    assert_eq!(faults(&toml("", &(on_mcp.clone() + &public))), [""; 0]);
    let of_corp = route("path = \"/corp\"\nissuers = \"corp\"");
    assert_eq!(faults(&toml("", &(on_mcp.clone() + &of_corp))), [""; 0]);
    for other in [
        route("path = \"/other\""),
        route("path = \"/other\"\nissuers = \"tools\""),
        route("path = \"/other\"\nenforce = false"),
    ] {
        let found = faults(&toml("", &(on_mcp.clone() + &other)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("issuers.tools: expected the aud of tokens meant for this gateway, or \"any\", but found nothing (\"/other\" at routes[1].path accepts its tokens"),
            "{found:?}"
        );
        assert_eq!(
            faults(&toml("audience = \"x\"", &(on_mcp.clone() + &other))),
            [""; 0]
        );
    }
}
