//! A server as Entra: 400 for a tenant that it does not know, and keys that name their issuer.

use super::*;

const CONTOSO: &str = "3f0c1111-0000-0000-0000-000000000001";
const FABRIKAM: &str = "9d1e2222-0000-0000-0000-000000000002";

struct Entra {
    server: Server,
    /// Signs for every tenant.
    common: Key,
    /// Signs for one tenant.
    personal: Key,
}

impl Entra {
    fn start() -> Self {
        let [common, personal] = ["common", "personal"].map(Key::es256);
        let server = Server::start(|_| Reply::status(404));
        let base = format!("http://{}", server.address);
        let with_issuer = |key: &Key, tenant: &str| {
            let mut jwk = key.jwk();
            jwk["issuer"] = json!(format!("{base}/{tenant}/v2.0"));
            jwk
        };
        let keys = json!({ "keys": [
            with_issuer(&common, "{tenantid}"),
            with_issuer(&personal, FABRIKAM),
        ] });
        server.script(move |request: &Received| {
            let (tenant, place) = request.target[1..].split_once('/').unwrap_or_default();
            let is_known = [CONTOSO, FABRIKAM].contains(&tenant);
            match place {
                "v2.0/.well-known/openid-configuration" if is_known => Reply::json(json!({
                    "issuer": format!("{base}/{tenant}/v2.0"),
                    "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
                })),
                "v2.0/.well-known/openid-configuration" if tenant == "common" => {
                    Reply::json(json!({ "issuer": format!("{base}/{{tenantid}}/v2.0") }))
                }
                "v2.0/.well-known/openid-configuration" => Reply::new(
                    400,
                    &[("content-type", "application/json")],
                    json!({ "error": "invalid_tenant", "error_codes": [90002] }),
                ),
                "discovery/v2.0/keys" if is_known => Reply::json(&keys),
                _ => Reply::status(404),
            }
        });
        Self {
            server,
            common,
            personal,
        }
    }

    fn gateway(&self, keys: &str, upstream: &Server) -> Gateway {
        Gateway::start(&format!(
            "[issuers.entra]\nprovider = \"entra\"\nalgorithms = [\"ES256\"]\ntoken_types = [\"at+jwt\"]\n\
             issuer = \"http://{}/{{tenant}}/v2.0\"\naudience = \"https://api.test\"\n{keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{PLAIN}",
            self.server.address, upstream.address
        ))
    }

    fn token(&self, key: &Key, tenant: &str, tid: &str) -> String {
        let mut claims = claims(&format!("http://{}/{tenant}/v2.0", self.server.address), "");
        claims["tid"] = json!(tid);
        claims["azp"] = json!("client");
        key.token(&claims)
    }
}

#[test]
fn key_of_entra_is_good_for_the_tenant_that_it_names() {
    let (entra, upstream) = (Entra::start(), upstream());
    let rule = "claims = [{ claim = \"tid\", is = \"{tenant}\" }]";
    let gateway = entra.gateway(&format!("tenants = \"any\"\n{rule}"), &upstream);
    let (common, personal) = (&entra.common, &entra.personal);
    for (key, tenant, tid, expected) in [
        (common, CONTOSO, CONTOSO, "200"),
        (common, FABRIKAM, FABRIKAM, "200"),
        (personal, FABRIKAM, FABRIKAM, "200"),
        (personal, CONTOSO, CONTOSO, "key_of_other_issuer"),
        // The tenant is known, so its keys are asked first.
        (common, CONTOSO, FABRIKAM, "key_of_other_issuer"),
        (personal, FABRIKAM, CONTOSO, "issuer_claim_not_met"),
    ] {
        let token = entra.token(key, tenant, tid);
        let status = status(&gateway, "/a", &token).to_string();
        let found = if status == "401" {
            refusal(&gateway).0
        } else {
            status
        };
        assert_eq!(found, expected, "{tenant} {tid}");
    }
    assert_eq!(upstream.hits(), 3);
}

#[test]
fn tenant_that_entra_does_not_know_is_a_401_and_common_is_no_tenant() {
    let (entra, upstream) = (Entra::start(), upstream());
    let gateway = entra.gateway("tenants = \"any\"", &upstream);
    let invented = "00000000-0000-0000-0000-000000000000";
    let token = entra.token(&entra.common, invented, invented);
    assert_eq!(status(&gateway, "/a", &token), 401);
    let (reason, cause) = refusal(&gateway);
    assert_eq!(reason, "unknown_issuer");
    assert!(cause.contains(invented) && cause.contains("400"), "{cause}");
    let token = entra.token(&entra.common, "common", CONTOSO);
    assert_eq!(status(&gateway, "/a", &token), 503);
    assert!(refusal(&gateway).1.contains("{tenantid}"));
    assert_eq!(upstream.hits(), 0);
}

#[test]
fn only_listed_tenants_of_entra_are_accepted() {
    let (entra, upstream) = (Entra::start(), upstream());
    let gateway = entra.gateway(&format!("tenants = [\"{CONTOSO}\"]"), &upstream);
    let good = entra.token(&entra.common, CONTOSO, CONTOSO);
    eventually("the keys are fetched", || {
        status(&gateway, "/a", &good) == 200
    });
    let other = entra.token(&entra.common, FABRIKAM, FABRIKAM);
    assert_eq!(status(&gateway, "/a", &other), 401);
    assert_eq!(refusal(&gateway).0, "unknown_issuer");
}
