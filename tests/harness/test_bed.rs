//! The usual test bed: one key, one issuer, one upstream, one gateway.

use std::ops::Deref;

use super::{Gateway, Issuer, Key, Reply, Response, Server, eventually, get};

const READY: &str = "/_ready";

/// What most tests need: the gateway has fetched the JWKS already.
pub struct TestBed {
    pub key: Key,
    pub issuer: Issuer,
    pub upstream: Server,
    pub gateway: Gateway,
}

impl TestBed {
    /// A gateway with these routes to the upstream `up`, and the issuer `corp`.
    pub fn routes(routes: &str) -> Self {
        Self::toml("", "", "", routes)
    }

    /// The same with more configuration: at the top, in `[issuers.corp]` and in `[upstreams.up]`.
    pub fn toml(top: &str, issuer_keys: &str, upstream_keys: &str, routes: &str) -> Self {
        let key = Key::es256("first");
        let issuer = Issuer::start(&[&key]);
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "{top}\n[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n{issuer_keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{upstream_keys}\n{routes}\n\
             [[routes]]\npath = \"{READY}\"\nissuers = \"corp\"\nupstream = \"up\"\n",
            issuer.url, upstream.address
        ));
        let test_bed = Self {
            key,
            issuer,
            upstream,
            gateway,
        };
        let token = test_bed.token("");
        eventually("the JWKS is fetched", || {
            test_bed.get(READY, Some(&token)).status == 200
        });
        test_bed
    }

    /// A valid token with this scope.
    pub fn token(&self, scope: &str) -> String {
        self.key.token(&self.issuer.claims(scope))
    }

    pub fn get(&self, path: &str, token: Option<&str>) -> Response {
        get(self.gateway.address, path, token)
    }

    /// How many requests reached the upstream.
    pub fn hits(&self) -> usize {
        self.upstream
            .received()
            .iter()
            .filter(|request| request.target != READY)
            .count()
    }

    /// The last request that reached the upstream.
    pub fn last(&self) -> super::Received {
        self.upstream
            .received()
            .pop()
            .expect("a request at the upstream")
    }
}

impl Deref for TestBed {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}
