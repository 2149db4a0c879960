//! Tenants: each has keys and users of its own.

use std::sync::Arc;

use harness::{Received, Reply, Server};

use super::*;

/// A server with one key for each of its tenants.
fn server(tenants: &[(&str, &Key)]) -> Server {
    let server = Server::start(|_| Reply::status(404));
    let address = server.address;
    let keys: Vec<(String, Value)> = tenants
        .iter()
        .map(|(name, key)| ((*name).to_owned(), key.jwk()))
        .collect();
    let keys = Arc::new(keys);
    server.script(move |request: &Received| {
        let rest = request.target.strip_prefix("/t/").unwrap_or_default();
        let (tenant, place) = rest.split_once('/').unwrap_or((rest, ""));
        let base = format!("http://{address}/t/{tenant}");
        let key = keys.iter().find(|(name, _)| name == tenant);
        match (key, place) {
            (Some(_), ".well-known/openid-configuration") => {
                Reply::json(json!({ "issuer": base, "jwks_uri": format!("{base}/jwks") }))
            }
            (Some((_, key)), "jwks") => Reply::json(json!({ "keys": [key] })),
            _ => Reply::status(404),
        }
    });
    server
}

fn gateway(server: &Server, upstream: &Server, tenants: &str) -> Gateway {
    Gateway::start(&format!(
        "{PUSH}[issuers.corp]\nissuer = \"http://{}/t/{{tenant}}\"\naudience = \"https://api.test\"\n\
         tenants = {tenants}\n[upstreams.up]\ntargets = \"http://{}\"\n{ROUTE}",
        server.address, upstream.address
    ))
}

fn token(key: &Key, iss: &str, subject: &str) -> String {
    let mut claims = harness::claims(iss, "");
    claims["sub"] = json!(subject);
    key.token(&claims)
}

#[test]
fn event_of_a_tenant_revokes_tokens_of_this_tenant_alone() {
    let (one, other) = (Key::es256("one"), Key::es256("other"));
    let server = server(&[("a", &one), ("b", &other)]);
    let upstream = Server::start(|_| Reply::text("hello"));
    for tenants in ["[\"a\", \"b\"]", "\"any\""] {
        let gateway = gateway(&server, &upstream, tenants);
        let iss = |tenant: &str| format!("http://{}/t/{tenant}", server.address);
        let status = |key: &Key, tenant: &str| {
            get(
                gateway.address,
                "/a",
                Some(&token(key, &iss(tenant), "alice")),
            )
            .status
        };
        eventually("the keys are fetched", || {
            status(&one, "a") == 200 && status(&other, "b") == 200
        });
        // A key of one tenant signs nothing for the other.
        let forged = push(&gateway, &event(&one, &claims(&iss("b"), "alice")));
        assert_eq!(forged.status, 400, "{tenants}");
        let mut about = claims(&iss("a"), "alice");
        about["sub_id"]["iss"] = json!(iss("b"));
        let foreign = push(&gateway, &event(&one, &about));
        assert_eq!(
            outcome(&foreign),
            (400, "access_denied".to_owned()),
            "{tenants}"
        );
        let unknown = push(&gateway, &event(&one, &claims(&iss("c"), "alice")));
        assert_eq!(
            outcome(&unknown),
            (400, "invalid_issuer".to_owned()),
            "{tenants}"
        );
        assert_eq!(
            (status(&one, "a"), status(&other, "b")),
            (200, 200),
            "{tenants}"
        );
        let response = push(&gateway, &event(&one, &claims(&iss("a"), "alice")));
        assert_eq!(response.status, 202, "{tenants}: {}", response.text());
        assert_eq!(
            (status(&one, "a"), status(&other, "b")),
            (401, 200),
            "{tenants}"
        );
    }
}
