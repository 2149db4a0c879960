//! The development servers of `scopegate run`, where the file has `[development]`.

use std::io;
use std::net::SocketAddr;

use super::tutorial;
use crate::config::{self, Config};
use crate::dev;
use crate::gateway::Snapshot;
use crate::oauth::scope::{GrantedWildcards, ScopeSet};

/// The authorization server and the echo upstream, until this is dropped.
pub(super) struct DevelopmentServers(dev::DevelopmentServers);

impl DevelopmentServers {
    /// Starts them if the file has `[development]`.
    ///
    /// # Errors
    /// One of them cannot listen on its address.
    pub(super) async fn start(config: &Config) -> io::Result<Option<Self>> {
        let Some(development) = &config.development else {
            return Ok(None);
        };
        let servers = dev::start(settings(development)).await?;
        Ok(Some(Self(servers)))
    }

    /// Logs their addresses, and prints commands to try.
    pub(super) fn announce(&self, snapshot: &Snapshot, gateway: &[SocketAddr]) {
        tracing::warn!(
            issuer = %self.0.issuer_address,
            echo = %self.0.echo_address,
            "development servers started; never use them in production: their secrets are public"
        );
        tutorial::print(snapshot, gateway, self.0.issuer_address);
    }
}

fn settings(development: &config::Development) -> dev::DevelopmentSettings {
    let clients = development
        .clients
        .iter()
        .map(|client| dev::ConfiguredClient {
            id: client.value.id.clone(),
            secret: client.value.secret.expose().into(),
            // A list longer than a token may grant allows no scope.
            allowed_scope: ScopeSet::parse(&client.value.allowed_scope, GrantedWildcards::Honoured)
                .unwrap_or(ScopeSet::empty()),
        });
    dev::DevelopmentSettings {
        listen: development.listen.value,
        echo: development.echo.value,
        runtime: development.runtime.clone(),
        token_paths: development
            .token_paths
            .iter()
            .map(|path| path.value.clone())
            .collect(),
        token_lifetime: development.token_lifetime,
        token_format: development.token_format,
        audience: development.audience.clone(),
        algorithm: development.algorithm,
        clients: clients.collect(),
    }
}
