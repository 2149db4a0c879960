//! Tokens that are judged by asking their authorization server (R7-R14).

mod cache_lifetimes;
mod circuit_breaker;
mod credentials;
mod failures;
mod lookups;
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

/// An authorization server that is asked, an upstream, a gateway between them.
struct TestBed {
    key: Key,
    server: Server,
    url: String,
    upstream: Server,
    gateway: Gateway,
}

impl TestBed {
    /// Asked with Basic, at the endpoint that its metadata names.
    fn start() -> Self {
        Self::with("", "")
    }

    /// The same, with more keys in `[issuers.corp]` and in its introspection.
    fn with(of_issuer: &str, of_introspection: &str) -> Self {
        Self::with_file("", of_issuer, of_introspection)
    }

    /// The same, with what stands in front of all.
    fn with_file(front: &str, of_issuer: &str, of_introspection: &str) -> Self {
        let (key, server) = (Key::es256("first"), Server::start(|_| Reply::status(404)));
        let upstream = Server::start(|_| Reply::text("hello"));
        let url = format!("http://{}", server.address);
        let validation = if of_issuer.contains("validation") {
            ""
        } else {
            "validation = \"introspection\""
        };
        let credentials = if of_introspection.contains("authentication") {
            ""
        } else {
            "client_id = \"gateway\"\nclient_secret = \"of the gateway\""
        };
        let gateway = Gateway::start(&format!(
            "{front}\n[issuers.corp]\nissuer = \"{url}\"\naudience = \"https://api.test\"\n{validation}\n{of_issuer}\n\
             [issuers.corp.introspection]\n{credentials}\n{of_introspection}\n\
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
        test_bed.answers(Reply::json(test_bed.active("read")));
        test_bed
    }

    /// From now on it answers every question so.
    fn answers(&self, reply: Reply) {
        self.script(move |_| reply.clone());
    }

    /// Responds to introspection requests with `reply` once the gate is opened.
    fn respond_when_opened(&self, reply: Reply) -> Gate {
        let gate = Gate::closed();
        let opened = gate.wait();
        self.script(move |_| {
            opened();
            reply.clone()
        });
        gate
    }

    /// From now on it answers questions so, and tells about itself as it should.
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

    /// What it says of a good token.
    fn active(&self, scope: &str) -> Value {
        json!({
            "active": true, "iss": self.url, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
            "token_type": "Bearer", "exp": NOW + 600, "iat": NOW, "scope": scope,
        })
    }

    /// Waits until the issuer's keys are known.
    fn has_keys(&self) {
        eventually("keys", || {
            self.server
                .received()
                .iter()
                .any(|request| request.target == "/jwks")
        });
    }

    fn get(&self, token: &str) -> Response {
        get(self.gateway.address, "/things", Some(token))
    }

    /// What it was asked, in order.
    fn questions(&self) -> Vec<Received> {
        self.came_to("/introspect")
    }

    fn came_to(&self, target: &str) -> Vec<Received> {
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
        let answer = self.get(token);
        assert_eq!(
            (answer.status, answer.challenge(), self.hits()),
            (401, INVALID, 0),
            "{what}"
        );
    }

    #[track_caller]
    fn assert_unavailable(&self, token: &str, what: &str) {
        let hits = self.hits();
        let answer = self.get(token);
        assert_eq!(
            (answer.status, answer.challenge(), self.hits()),
            (503, None, hits),
            "{what}"
        );
        let after: u64 = answer
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

/// A reply that comes when somebody says so.
struct Gate(Arc<std::sync::atomic::AtomicBool>);

impl Gate {
    fn closed() -> Self {
        Self(Arc::default())
    }

    /// Lets the replies come.
    fn open(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    fn wait(&self) -> impl Fn() + Send + Sync + 'static {
        let opened = Arc::clone(&self.0);
        move || {
            eventually("the gate is opened", || {
                opened.load(std::sync::atomic::Ordering::SeqCst)
            })
        }
    }
}
