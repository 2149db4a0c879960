//! Tokens that are verified by introspection requests to their authorization server (R7-R14).

mod cache_lifetimes;
mod circuit_breaker;
mod claim_rules;
mod credentials;
mod either_validation;
mod failures;
mod lookups;
mod nested_scopes;
mod own_token;
mod renewal;
mod responses;
mod several_issuers;
mod signed;

use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Value, json};

use harness::{Gateway, Key, NOW, Received, Reply, Response, Server, eventually, get};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nscope = \"read\"\nupstream = \"up\"\n";
const INVALID: Option<&str> = Some("Bearer error=\"invalid_token\"");

/// An authorization server with an introspection endpoint, an upstream, and a gateway.
struct TestBed {
    key: Key,
    server: Server,
    url: String,
    upstream: Server,
    gateway: Gateway,
}

impl TestBed {
    /// Introspection with Basic credentials, at the endpoint that the metadata names.
    fn start() -> Self {
        Self::with("", "")
    }

    /// The same, with more keys in `[issuers.corp]` and in `[issuers.corp.introspection]`.
    fn with(issuer_keys: &str, introspection_keys: &str) -> Self {
        Self::with_file("", issuer_keys, introspection_keys)
    }

    /// The same, with more configuration at the top.
    fn with_file(top: &str, issuer_keys: &str, introspection_keys: &str) -> Self {
        let (key, server) = (Key::es256("first"), Server::start(|_| Reply::status(404)));
        let upstream = Server::start(|_| Reply::text("hello"));
        let url = format!("http://{}", server.address);
        let validation = if issuer_keys.contains("validation") {
            ""
        } else {
            "validation = \"introspection\""
        };
        let credentials = if introspection_keys.contains("authentication") {
            ""
        } else {
            "client_id = \"gateway\"\nclient_secret = \"of the gateway\""
        };
        let gateway = Gateway::start(&format!(
            "{top}\n[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\n{validation}\n{issuer_keys}\n\
             [issuers.corp.introspection]\n{credentials}\n{introspection_keys}\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
            upstream.address
        ));
        let test_bed = Self {
            key,
            server,
            url,
            upstream,
            gateway,
        };
        test_bed.respond_with(Reply::json(test_bed.active("read")));
        test_bed
    }

    /// Responds to every introspection request with `reply`.
    fn respond_with(&self, reply: Reply) {
        self.script(move |_| reply.clone());
    }

    /// Responds to introspection requests with `reply` once the latch is opened.
    fn respond_when_opened(&self, reply: Reply) -> Latch {
        let latch = Latch::closed();
        let wait = latch.wait();
        self.script(move |_| {
            wait();
            reply.clone()
        });
        latch
    }

    /// Responds to introspection and token requests by `reply`; serves metadata and JWKS as usual.
    fn script(&self, reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        let (url, key) = (self.url.clone(), self.key.jwk());
        self.server.script(move |request| match request.target.as_str() {
            "/.well-known/oauth-authorization-server" => Reply::json(json!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"), "introspection_endpoint": format!("{url}/introspect"),
                "token_endpoint": format!("{url}/token"),
            })),
            "/jwks" => Reply::json(json!({ "keys": [key] })),
            "/introspect" | "/token" => reply(request),
            _ => Reply::status(404),
        });
    }

    /// The introspection response for a valid token.
    fn active(&self, scope: &str) -> Value {
        json!({
            "active": true, "iss": self.url, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
            "token_type": "Bearer", "exp": NOW + 600, "iat": NOW, "scope": scope,
        })
    }

    /// Waits until the gateway has the key.
    fn wait_for_jwks(&self) {
        let keys = "scopegate_issuer_keys{issuer=\"corp\"}";
        eventually("the JWKS is there", || {
            self.gateway.metric(keys) == Some(1.0)
        });
    }

    fn get(&self, token: &str) -> Response {
        get(self.gateway.address, "/things", Some(token))
    }

    /// The introspection requests, in order.
    fn introspections(&self) -> Vec<Received> {
        self.received_at("/introspect")
    }

    fn received_at(&self, target: &str) -> Vec<Received> {
        self.server
            .received()
            .into_iter()
            .filter(|request| request.target == target)
            .collect()
    }

    fn hits(&self) -> usize {
        self.upstream.hits()
    }

    #[track_caller]
    fn assert_refused(&self, token: &str, what: &str) {
        let response = self.get(token);
        assert_eq!(
            (response.status, response.challenge(), self.hits()),
            (401, INVALID, 0),
            "{what}"
        );
    }

    #[track_caller]
    fn assert_unavailable(&self, token: &str, what: &str) {
        let hits = self.hits();
        let response = self.get(token);
        assert_eq!(
            (response.status, response.challenge(), self.hits()),
            (503, None, hits),
            "{what}"
        );
        let after: u64 = response
            .header("retry-after")
            .and_then(|value| value.parse().ok())
            .expect("Retry-After");
        assert!((1..=60).contains(&after), "{what}: Retry-After {after}");
    }
}

impl Deref for TestBed {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

/// The parameters of a form.
fn form(request: &Received) -> Vec<(String, String)> {
    url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect()
}

fn inactive() -> Reply {
    Reply::json(json!({ "active": false }))
}

/// Holds replies back until it is opened.
struct Latch(Arc<std::sync::atomic::AtomicBool>);

impl Latch {
    fn closed() -> Self {
        Self(Arc::default())
    }

    /// Releases the replies.
    fn open(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn wait(&self) -> impl Fn() + Send + Sync + 'static {
        let opened = Arc::clone(&self.0);
        move || {
            eventually("the latch is opened", || {
                opened.load(std::sync::atomic::Ordering::SeqCst)
            })
        }
    }
}
