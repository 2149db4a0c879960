//! Tenants of one authorization server: `{tenant}` in `issuer`.
//!
//! - `realms`: a server as Keycloak, whose realms each have a key
//! - `entra`: a server as Entra, whose keys name their issuer
//! - `new_tenants`: tenants that only a token names, known or invented
//! - `rules`: rules over claims and paths that name the tenant

mod entra;
mod new_tenants;
mod realms;
mod rules;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use harness::{Gateway, Key, Received, Reply, Server, claims, eventually, get};

/// A server whose realms have metadata and keys. Any other one is 404.
struct Realms {
    server: Server,
    keys: Arc<Mutex<HashMap<String, Value>>>,
}

impl Realms {
    fn start(realms: &[(&str, &Key)]) -> Self {
        let keys: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let server = Server::start(|_| Reply::status(404));
        let bed = Self { server, keys };
        for (realm, key) in realms {
            bed.publish(realm, key);
        }
        bed.recover();
        bed
    }

    fn publish(&self, realm: &str, key: &Key) {
        let mut keys = self.keys.lock().expect("no panic");
        keys.insert(realm.to_owned(), key.jwk());
    }

    fn remove(&self, realm: &str) {
        self.keys.lock().expect("no panic").remove(realm);
    }

    fn recover(&self) {
        let (keys, address) = (Arc::clone(&self.keys), self.server.address);
        self.server.script(move |request: &Received| {
            let rest = request.target.strip_prefix("/realms/").unwrap_or_default();
            let (realm, place) = rest.split_once('/').unwrap_or((rest, ""));
            let base = format!("http://{address}/realms/{realm}");
            match (keys.lock().expect("no panic").get(realm), place) {
                (Some(_), ".well-known/openid-configuration") => {
                    Reply::json(json!({ "issuer": base, "jwks_uri": format!("{base}/certs") }))
                }
                (Some(key), "certs") => Reply::json(json!({ "keys": [key] })),
                _ => Reply::status(404),
            }
        });
    }

    fn template(&self) -> String {
        format!("http://{}/realms/{{tenant}}", self.server.address)
    }

    fn iss(&self, realm: &str) -> String {
        self.template().replace("{tenant}", realm)
    }

    /// A token of a realm.
    fn token(&self, realm: &str, key: &Key) -> String {
        key.token(&claims(&self.iss(realm), "read"))
    }

    /// A gateway for tokens of these realms; `keys` are further lines of the issuer.
    fn file(&self, keys: &str, routes: &str, upstream: &Server) -> String {
        format!(
            "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n{keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{routes}",
            self.template(),
            upstream.address
        )
    }

    /// The requests for this realm so far.
    fn fetches(&self, realm: &str) -> usize {
        let part = format!("/realms/{realm}");
        let received = self.server.received();
        received
            .iter()
            .filter(|request| request.target.contains(&part))
            .count()
    }
}

const PLAIN: &str = "[[routes]]\npath = \"/a\"\nupstream = \"up\"\n";

fn upstream() -> Server {
    Server::start(|_| Reply::text("hello"))
}

fn status(gateway: &Gateway, path: &str, token: &str) -> u16 {
    get(gateway.address, path, Some(token)).status
}

/// `reason` and `cause` of the last request.
fn refusal(gateway: &Gateway) -> (String, String) {
    let line = gateway.requests.lines().pop().expect("a line");
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("cause"))
}
