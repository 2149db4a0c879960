//! State that every emulated authorization server has: clients, grants and a clock.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use scopegate::oauth::scope::{GrantedWildcards, ScopeSet};
use serde_json::Value;

use harness::{Key, NOW, Received, Reply};

/// What one token was granted.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) client: String,
    pub(super) scope: String,
    pub(super) audience: Option<String>,
    pub(super) issued: i64,
    /// In seconds since the epoch; `i64::MAX` means never.
    pub(super) expires: i64,
}

pub(super) struct AuthorizationServer {
    pub(super) key: Key,
    now: AtomicI64,
    number: AtomicUsize,
    grants: Mutex<HashMap<String, Grant>>,
}

/// A client of the API, one of another API, and the gateway.
const CLIENTS: [(&str, &str, &str); 3] = [
    ("app", "secret of app", "*"),
    ("stranger", "secret of stranger", "*"),
    ("gateway", GATEWAY_SECRET, "authorization.introspect"),
];

/// The examples read it from an environment variable.
pub(super) const GATEWAY_SECRET: &str = "a secret of the gateway's: 100% & more";

impl AuthorizationServer {
    pub(super) fn new(key: Key) -> Self {
        Self {
            key,
            now: AtomicI64::new(NOW),
            number: AtomicUsize::new(1),
            grants: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Sets the clock to [`NOW`] plus `seconds`.
    pub(super) fn set_time(&self, seconds: i64) {
        self.now.store(NOW + seconds, Ordering::SeqCst);
    }

    /// A fresh number, for ids.
    pub(super) fn next_number(&self) -> usize {
        self.number.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn grant(&self, token: &str, grant: Grant) {
        self.grants
            .lock()
            .expect("no panic")
            .insert(token.to_owned(), grant);
    }

    pub(super) fn revoke(&self, token: &str) {
        self.grants.lock().expect("no panic").remove(token);
    }

    /// The grant of a token, if it is active.
    pub(super) fn active(&self, token: &str) -> Option<Grant> {
        let grant = self.grants.lock().expect("no panic").get(token).cloned();
        grant.filter(|grant| self.now() < grant.expires)
    }

    /// Whether the credentials are valid and the client may request the scope.
    pub(super) fn allows(&self, client: &(String, String), scope: &str) -> bool {
        let known = CLIENTS
            .iter()
            .find(|(id, secret, _)| client.0 == *id && client.1 == *secret);
        known.is_some_and(|(_, _, allowed)| {
            let allowed = ScopeSet::parse(allowed, GrantedWildcards::Honoured).expect("a scope");
            scope
                .split(' ')
                .filter(|scope| !scope.is_empty())
                .all(|scope| allowed.meets_literal(scope))
        })
    }
}

/// The parameters of a form, none of which occurs twice.
pub(super) fn form(request: &Received) -> HashMap<String, String> {
    assert_eq!(
        request.header("content-type"),
        ["application/x-www-form-urlencoded"],
        "{}",
        request.target
    );
    let mut form = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(&request.body).into_owned() {
        assert!(
            form.insert(name.clone(), value).is_none(),
            "{name} occurs twice"
        );
    }
    form
}

/// Id and secret of a Basic header (RFC 6749 §2.3.1).
pub(super) fn basic(request: &Received) -> Option<(String, String)> {
    let encoded = request
        .header("authorization")
        .first()?
        .strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let pair = format!("x={}", text.replace('&', "%26"));
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}

/// The token of a Bearer header.
pub(super) fn bearer(request: &Received) -> Option<&str> {
    request
        .header("authorization")
        .first()?
        .strip_prefix("Bearer ")
}

/// A JSON response with an error status.
pub(super) fn error(status: u16, body: &Value) -> Reply {
    Reply::new(status, &[("content-type", "application/json")], body)
}

/// A UUID that ends in the number.
pub(super) fn uuid(number: usize) -> String {
    format!("4c27f899-6f9c-3217-b974-{number:012x}")
}
