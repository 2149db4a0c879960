//! `[development]`: an authorization server and an echo upstream in this process, for trials.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use toml::de::DeValue;

use super::addresses::socket_address;
use super::admin::Admin;
use super::declare::table;
use super::listener::Listener;
use super::mismatch::{Mismatch, expected};
use super::read::Table;
use super::reference::{Description, key};
use super::report::Spanned;
use super::scalars::{any_text, keyword, read_text, text};
use super::secret::Secret;
use super::units::{MONTH, SECOND, duration};
use super::value_type::{ValueType, value_type};
use crate::values::{SigningAlgorithm, TokenFormat};

table! {
    /// A development authorization server and an echo upstream.
    pub struct Development {
        fn read(table) -> Option<Self>;

        /// Loopback address and port of the authorization server. `iss` of its tokens is `http://`
        /// and this address.
        /// Example: `listen = "127.0.0.1:9180"`
        pub listen: Spanned<SocketAddr> = spanned_or(socket_address(), "127.0.0.1:9080"),
        /// Loopback address and port of the echo upstream, which responds with the request that it
        /// received.
        /// Example: `echo = "127.0.0.1:9181"`
        pub echo: Spanned<SocketAddr> = spanned_or(socket_address(), "127.0.0.1:9081"),
        /// First path segment of further endpoints: `/RUNTIME/api/az/v1/token` and
        /// `/RUNTIME/api/az/v1/introspection`, beside `/token` and `/introspect`.
        /// Example: `runtime = "am"`
        pub runtime: String = or(path_segment(), "mfp"),
        /// Further paths of its token endpoint, beside `/token` and `/RUNTIME/api/az/v1/token`.
        /// The default has those of Curity, Aidbox, WSO2 and AM.
        /// Example: `token_paths = "/oauth/token"`
        pub token_paths: Vec<Spanned<String>> = list_or(endpoint_path(), 0, TOKEN_PATHS.as_slice()),
        /// Lifetime of its tokens.
        /// Example: `token_lifetime = "5m"`
        pub token_lifetime: Duration = or(duration(SECOND..=MONTH), "1h"),
        /// JSON Web Tokens, or random strings that need introspection.
        /// Example: `token_format = "opaque"`
        pub token_format: TokenFormat = or(keyword(), "jwt"),
        /// The `aud` of its tokens. The `audience` of the issuer has to be the same.
        /// Example: `audience = "https://api.example.com"`
        pub audience: String = or(text(), "scopegate-development"),
        /// Algorithm that signs its tokens.
        /// Example: `algorithm = "ES256"`
        pub algorithm: SigningAlgorithm = or(keyword(), "RS256"),
        /// Who gets tokens, at least one client.
        pub clients: Vec<Spanned<DevelopmentClient>> = computed(clients(table)),
    }
}

table! {
    /// A client of the development authorization server.
    pub struct DevelopmentClient {
        fn read(table) -> Self;

        /// Its `client_id`.
        /// Example: `id = "reports"`
        pub id: String = or(text(), TEST_CLIENT),
        /// Its `client_secret`.
        /// Example: `secret = "reports-secret"`
        pub secret: Secret = secret_or(TEST_CLIENT),
        /// Scopes that it may request, separated by spaces. `*` is a wildcard.
        /// Example: `allowed_scope = "orders.read reports.*"`
        pub allowed_scope: String = or(any_text(), "*"),
    }
}

const TEST_CLIENT: &str = "test";

/// The token endpoints of servers that this one stands in for.
const TOKEN_PATHS: [&str; 4] = [
    "/oauth/v2/oauth-token",
    "/auth/token",
    "/oauth2/token",
    "/openam/oauth2/realms/root/access_token",
];

/// Paths of the other endpoints.
const OTHER_PATHS: [&str; 6] = [
    "/authorize",
    "/register",
    "/introspect",
    "/revoke",
    "/Session",
    "/jwks",
];

impl Development {
    /// The development server gives tokens to everyone, so only this machine may reach the gateway.
    pub(super) fn refuse_public_addresses(
        &self,
        table: &Table<'_>,
        listeners: &[Listener],
        admin: Option<&Admin>,
    ) {
        // A Unix socket is reached from this machine only.
        let listeners = listeners.iter().filter_map(|listener| {
            let address = listener.address.value.ip()?;
            Some(listener.address.with_value(address))
        });
        let own = [&self.listen, &self.echo].into_iter();
        let own = admin.map(|admin| &admin.listen).into_iter().chain(own);
        for listener in listeners.chain(own.cloned()) {
            if !listener.value.ip().is_loopback() {
                let message = format!(
                    "expected a loopback address beside [development], but found \"{}\"",
                    listener.value
                );
                table.push(
                    listener
                        .fault(message)
                        .with_help("listen on 127.0.0.1, or remove [development]"),
                );
            }
        }
    }
}

fn clients(table: &mut Table<'_>) -> Vec<Spanned<DevelopmentClient>> {
    let key = key(
        "clients",
        "Clients that get tokens. Without it, the client `test` with the secret `test` gets every scope. \
         Example: `clients = [{ id = \"reports\", secret = \"reports-secret\", allowed_scope = \"orders.read\" }]`",
    );
    let clients = table.tables(key, |client| {
        let read = DevelopmentClient::read(client);
        Some(client.spanned(read))
    });
    if table.has(key.name) {
        refuse_repeated_ids(table, &clients);
        return clients;
    }
    let test = DevelopmentClient {
        id: TEST_CLIENT.to_owned(),
        secret: Secret::bare(TEST_CLIENT),
        allowed_scope: "*".to_owned(),
    };
    vec![Spanned::new(test, "development.clients".to_owned(), None)]
}

fn refuse_repeated_ids(table: &Table<'_>, clients: &[Spanned<DevelopmentClient>]) {
    for (index, client) in clients.iter().enumerate() {
        let id = &client.value.id;
        if clients
            .iter()
            .take(index)
            .any(|earlier| earlier.value.id == *id)
        {
            table.push(client.fault(format!("expected an id of its own, but found {id:?} again")));
        }
    }
}

fn path_segment() -> impl ValueType<String> {
    value_type(
        |value| {
            let plain = |text: &String| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            read_text(value)
                .ok()
                .filter(plain)
                .ok_or_else(|| expected("a word of letters, digits, \"-\" and \"_\""))
        },
        || Description::pattern("word", "^[A-Za-z0-9_-]+$"),
    )
}

fn endpoint_path() -> impl ValueType<String> {
    value_type(read_endpoint_path, || {
        let others = OTHER_PATHS.join("|");
        let schema = json!({
            "type": "string",
            "pattern": "^/[A-Za-z0-9/._~-]+$",
            "not": {"type": "string", "pattern": format!("^(({others})$|/\\.well-known/)")},
        });
        Description::new("path", schema)
    })
}

fn read_endpoint_path(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let path = value.as_str().unwrap_or_default();
    let is_plain = path.len() > 1
        && path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte));
    if !is_plain {
        return Err(expected(
            "a path such as \"/oauth/token\", of letters, digits and \"-._~\"",
        ));
    }
    // Checked here, since `check` starts no servers.
    if OTHER_PATHS.contains(&path) || path.starts_with("/.well-known/") {
        return Err(expected("a path that no other endpoint of this server has"));
    }
    Ok(path.to_owned())
}
