//! Two issuers with introspection: which of them a token is sent to.

use serde_json::json;

use super::{INVALID, inactive};
use harness::{Gateway, Reply, Server, get};

#[test]
fn r11_routes_of_two_issuers_share_no_cache_entry_of_one_token() {
    let active = |scope: &str| {
        Reply::json(json!({ "active": true, "scope": scope, "aud": "https://api.test" }))
    };
    let (one, other) = (
        Server::start(move |_| active("read")),
        Server::start(|_| inactive()),
    );
    let upstream = Server::start(|_| Reply::text("hello"));
    let issuer = |name: &str, server: &Server| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"https://api.test\"\n\
             validation = \"introspection\"\n[issuers.{name}.introspection]\nendpoint = \"http://{}/ask\"\n\
             authentication = \"none\"\n",
            server.address
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/one\"\nissuers = \"one\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/other\"\nissuers = \"other\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/written\"\nissuers = \"one\"\nscope = \"write\"\nupstream = \"up\"\n",
        issuer("one", &one),
        issuer("other", &other),
        upstream.address
    ));
    for _ in 0..2 {
        assert_eq!(get(gateway.address, "/one", Some("token")).status, 200);
        let response = get(gateway.address, "/other", Some("token"));
        assert_eq!((response.status, response.challenge()), (401, INVALID));
        // The cached entry does not replace the check of this route's scope.
        assert_eq!(get(gateway.address, "/written", Some("token")).status, 403);
    }
    assert_eq!((one.hits(), other.hits(), upstream.hits()), (1, 1, 2));
}

#[test]
fn token_prefix_selects_the_issuer_of_an_opaque_token() {
    let active = |_: &_| Reply::json(json!({ "active": true, "aud": "https://api.test" }));
    let (one, other) = (Server::start(active), Server::start(active));
    let upstream = Server::start(|_| Reply::text("hello"));
    let issuer = |name: &str, server: &Server| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"https://api.test\"\n\
             validation = \"introspection\"\ntoken_prefix = \"{name}_\"\n[issuers.{name}.introspection]\n\
             endpoint = \"http://{}/ask\"\nauthentication = \"none\"\n",
            server.address
        )
    };
    let gateway = Gateway::start(&format!(
        "{}{}[upstreams.up]\ntargets = \"http://{}\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n",
        issuer("one", &one),
        issuer("other", &other),
        upstream.address
    ));
    for (token, status, hits) in [
        ("one_x", 200, (1, 0)),
        ("other_x", 200, (1, 1)),
        ("x", 401, (1, 1)),
        ("on_x", 401, (1, 1)),
    ] {
        assert_eq!(
            get(gateway.address, "/", Some(token)).status,
            status,
            "{token}"
        );
        assert_eq!((one.hits(), other.hits()), hits, "{token}");
    }
}

#[test]
fn ambiguous_token_prefixes_are_configuration_errors() {
    let issuer = |name: &str, prefix: &str| {
        format!(
            "[issuers.{name}]\nissuer = \"https://{name}.test\"\naudience = \"any\"\nvalidation = \"introspection\"\n\
             {prefix}\n[issuers.{name}.introspection]\nauthentication = \"none\"\n"
        )
    };
    let faults = |one: &str, other: &str, issuers: &str| {
        let toml = format!(
            "{}{}[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/\"\nupstream = \"up\"\n{issuers}",
            issuer("one", one),
            issuer("other", other)
        );
        let (config, _) = scopegate::config::parse("gateway.toml", &toml)
            .unwrap_or_else(|report| panic!("{report}"));
        let faults = scopegate::gateway::compile(&config)
            .err()
            .unwrap_or_default();
        faults
            .into_iter()
            .map(|fault| fault.key)
            .collect::<Vec<_>>()
    };
    let prefix = |prefix: &str| format!("token_prefix = \"{prefix}\"");
    assert_eq!(faults("", "", ""), ["issuers.other"]);
    assert_eq!(faults("", &prefix("a"), ""), ["issuers.other.token_prefix"]);
    assert_eq!(
        faults(&prefix("a"), &prefix("ab"), ""),
        ["issuers.other.token_prefix"]
    );
    assert_eq!(
        faults(&prefix("ab"), &prefix("ab"), ""),
        ["issuers.other.token_prefix"]
    );
    assert!(faults(&prefix("ab"), &prefix("b"), "").is_empty());
    assert!(faults("", "", "issuers = \"one\"").is_empty());
}
