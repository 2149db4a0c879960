//! `[development]`: an authorization server and an echo upstream in this process, for trying things out.

use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeValue;

use super::admin::Admin;
use super::listener::Listener;
use super::read::Table;
use super::report::Placed;
use super::secret::Secret;
use super::server::loopback;
use super::units::{HOUR, MONTH, SECOND, duration};
use super::values::{Mismatch, any_text, expected, keyword, socket_address, text};
use crate::values::{SigningAlgorithm, TokenFormat};

/// `[development]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Development {
    /// Where the authorization server listens.
    pub listen: Placed<SocketAddr>,
    /// Where the upstream listens that answers with what it got.
    pub echo: Placed<SocketAddr>,
    /// The token endpoint is `/RUNTIME/api/az/v1/token` as well as `/token`.
    pub runtime: String,
    /// How long its tokens are good.
    pub token_lifetime: Duration,
    /// What its tokens look like.
    pub token_format: TokenFormat,
    /// The `aud` of its tokens.
    pub audience: String,
    /// What it signs them with.
    pub algorithm: SigningAlgorithm,
    /// Who gets tokens.
    pub clients: Vec<Placed<DevelopmentClient>>,
}

/// `[[development.clients]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DevelopmentClient {
    /// The `client_id`.
    pub id: String,
    /// The `client_secret`.
    pub secret: Secret,
    /// The scopes it may ask for, separated by spaces, in which `*` is a wildcard.
    pub allowed_scope: String,
}

impl Development {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let development = Self {
            listen: table.placed_or("listen", loopback(9080), socket_address),
            echo: table.placed_or("echo", loopback(9081), socket_address),
            runtime: table.or("runtime", "mfp".to_owned(), path_segment),
            token_lifetime: table.or("token_lifetime", HOUR, duration(SECOND..=MONTH)),
            token_format: table.or("token_format", TokenFormat::Jwt, keyword),
            audience: table.or("audience", "scopegate-development".to_owned(), text),
            algorithm: table.or("algorithm", SigningAlgorithm::Rs256, keyword),
            clients: clients(table),
        };
        refuse_repeated_ids(table, &development.clients);
        development
    }

    /// Keys that everybody can read guard nothing, so nobody but this machine may reach what they open.
    pub(super) fn refuse_what_others_can_reach(
        &self,
        table: &Table<'_>,
        listeners: &[Listener],
        admin: Option<&Admin>,
    ) {
        let addresses = listeners
            .iter()
            .map(|listener| &listener.address)
            .chain(admin.map(|admin| &admin.listen));
        for listener in addresses.chain([&self.listen, &self.echo]) {
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

fn clients(table: &mut Table<'_>) -> Vec<Placed<DevelopmentClient>> {
    if !table.has("clients") {
        let test = DevelopmentClient {
            id: "test".to_owned(),
            secret: Secret::bare("test"),
            allowed_scope: "*".to_owned(),
        };
        return vec![Placed::at(test, "development.clients".to_owned(), None)];
    }
    table.each("clients", |client| {
        let id = client.or("id", "test".to_owned(), text);
        let secret = client
            .secret("secret")
            .map_or_else(|| Secret::bare("test"), |secret| secret.value);
        let allowed_scope = client.or("allowed_scope", "*".to_owned(), any_text);
        Some(client.placed(DevelopmentClient {
            id,
            secret,
            allowed_scope,
        }))
    })
}

fn refuse_repeated_ids(table: &Table<'_>, clients: &[Placed<DevelopmentClient>]) {
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

fn path_segment(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let plain = |text: &String| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text(value)
        .ok()
        .filter(plain)
        .ok_or_else(|| expected("a word of letters, digits, \"-\" and \"_\""))
}
