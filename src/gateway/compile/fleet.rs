//! `[fleet]`: how its servers are reached, and by which keys its messages are sealed.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use secrecy::SecretString;

use super::RootCertificates;
use crate::config::{self, Config, Fault, RedisUrl, Secret, Spanned};
use crate::fleet::{FleetKey, FleetSettings, FleetStatus, RedisServer, RedisSettings, Seal};
use crate::transport::tls;
use crate::values::StaleRevocations;

/// How long the stream keeps a revocation beyond the longest lifetime of a token.
const MARGIN: Duration = Duration::from_secs(3600);

/// The settings of the fleet, if the file has one.
///
/// # Errors
/// All faults of `[fleet]`.
pub fn fleet_settings(config: &Config) -> Result<Option<FleetSettings>, Vec<Fault>> {
    let mut faults = Vec::new();
    let settings = compile(config, &RootCertificates::default(), &mut faults);
    if faults.is_empty() {
        Ok(settings)
    } else {
        Err(faults)
    }
}

/// What others may know of the fleet: that of an earlier configuration, whose `[fleet]` is the same.
pub(super) fn status(
    config: &Config,
    settings: Option<&FleetSettings>,
    earlier: Option<&Arc<FleetStatus>>,
) -> Option<Arc<FleetStatus>> {
    let fleet = config.fleet.as_ref()?;
    let settings = settings?;
    let new = || {
        FleetStatus::new(
            fleet.stale_revocations.value,
            fleet.max_revocation_age,
            settings.limits_secret(),
            settings.timeout,
        )
    };
    Some(earlier.map_or_else(new, Arc::clone))
}

pub(super) fn compile(
    config: &Config,
    roots: &RootCertificates,
    faults: &mut Vec<Fault>,
) -> Option<FleetSettings> {
    let fleet = config.fleet.as_ref()?;
    let known = faults.len();
    if config.revocations.is_none() && fleet.stale_revocations.value == StaleRevocations::Closed {
        let message = "expected [revocations] beside \"closed\", but found none";
        let help = "add [revocations]: without it, no token is revoked";
        faults.push(fleet.stale_revocations.fault(message).with_help(help));
    }
    let key = fleet_key(&fleet.key, faults);
    let previous = fleet
        .previous_key
        .as_ref()
        .and_then(|previous| fleet_key(previous, faults));
    let servers = servers(fleet, faults);
    let uses_tls = fleet.redis.iter().any(|url| is_tls(&url.value));
    let tls = roots
        .trusted(fleet.tls_ca.as_ref(), uses_tls)
        .and_then(|trusted| tls::client(trusted, None));
    let tls = match (tls, &fleet.tls_ca) {
        (Ok(tls), _) => Some(tls),
        (Err(error), Some(ca)) => {
            faults.push(ca.fault(error.to_string()));
            None
        }
        (Err(error), None) => {
            faults.push(fleet.key.fault(error.to_string()));
            None
        }
    };
    if let (Some(username), None) = (&fleet.username, &fleet.password) {
        let message = "expected password beside username, but found none";
        faults.push(username.fault(message));
    }
    let (key, tls) = key.zip(tls).filter(|_| faults.len() == known)?;
    Some(FleetSettings {
        redis: RedisSettings {
            servers,
            username: fleet
                .username
                .as_ref()
                .map(|username| username.value.clone()),
            password: fleet
                .password
                .as_ref()
                .map(|password| SecretString::from(password.value.expose())),
            tls: Arc::new(tls),
        },
        seal: Seal::new(&key, previous.as_ref()),
        prefix: fleet.prefix.value.clone(),
        retention: retention(config),
        timeout: fleet.timeout,
    })
}

// As long as any entry lives.
fn retention(config: &Config) -> Duration {
    let lifetimes = config
        .issuers
        .iter()
        .map(|issuer| issuer.max_token_lifetime + 2 * issuer.leeway);
    lifetimes.max().unwrap_or_default() + MARGIN
}

fn fleet_key(secret: &Spanned<Secret>, faults: &mut Vec<Fault>) -> Option<FleetKey> {
    let key = FleetKey::from_hex(secret.value.expose());
    if key.is_none() {
        // Never printed, valid or not.
        let message = "expected 64 hexadecimal digits, but found something else";
        faults.push(secret.fault(message).with_help("openssl rand -hex 32"));
    }
    key
}

fn servers(fleet: &config::Fleet, faults: &mut Vec<Fault>) -> Vec<RedisServer> {
    let mut servers = Vec::new();
    for url in &fleet.redis {
        match &url.value {
            RedisUrl::Unix(path) => servers.push(RedisServer::Unix(path.clone())),
            RedisUrl::Tcp { host, port, is_tls } => {
                let name = is_tls
                    .then(|| ServerName::try_from(host.clone()))
                    .transpose();
                match name {
                    Ok(tls_name) => servers.push(RedisServer::Tcp {
                        host: host.clone(),
                        port: *port,
                        tls_name,
                    }),
                    Err(error) => faults.push(url.fault(format!(
                        "expected a host that a certificate can name, but found {host:?}: {error}"
                    ))),
                }
            }
        }
    }
    servers
}

fn is_tls(url: &RedisUrl) -> bool {
    matches!(url, RedisUrl::Tcp { is_tls: true, .. })
}

#[cfg(test)]
mod tests {
    use crate::gateway::compile::{messages_of, report_of};

    const ROUTE: &str = "[[routes]]\npath = \"/a\"\npublic = true\nrespond = { status = 204 }\n";

    fn file(fleet: &str) -> String {
        let key = "ab".repeat(32);
        format!("[revocations]\n[fleet]\nkey = \"{key}\"\n{fleet}\n{ROUTE}")
    }

    #[test]
    fn every_form_of_a_server_compiles() {
        let urls = "redis = [\"redis://127.0.0.1:6379\", \"rediss://redis.internal\", \"redis://[::1]\", \"unix:///run/redis.sock\"]";
        let more = "password = \"secret\"\nusername = \"gate\"\nstale_revocations = \"closed\"";
        assert_eq!(messages_of(&file(&format!("{urls}\n{more}"))), [""; 0]);
    }

    #[test]
    fn servers_with_credentials_paths_or_other_schemes_are_refused() {
        for url in [
            "redis://user:hunter2@127.0.0.1",
            "redis://127.0.0.1/1",
            "redis://127.0.0.1:0",
            "http://127.0.0.1",
            "valkey://127.0.0.1",
            "127.0.0.1:6379",
            "redis://",
        ] {
            let report = report_of(&file(&format!("redis = \"{url}\"")));
            assert_eq!(report.len(), 1, "{url}: {report:?}");
            assert!(report[0].contains("fleet.redis"), "{report:?}");
            assert!(!report[0].contains("hunter2"), "{report:?}");
        }
    }

    #[test]
    fn key_that_is_not_64_hexadecimal_digits_is_refused_and_not_printed() {
        for key in ["hunter2", &"0g".repeat(32), &"ab".repeat(33)] {
            let toml =
                format!("[revocations]\n[fleet]\nredis = \"redis://a\"\nkey = \"{key}\"\n{ROUTE}");
            let report = report_of(&toml);
            assert_eq!(report.len(), 1, "{report:?}");
            assert!(report[0].contains("64 hexadecimal digits"), "{report:?}");
            assert!(!report[0].contains(key), "{report:?}");
        }
    }

    #[test]
    fn closed_needs_revocations_and_a_username_a_password() {
        let key = "ab".repeat(32);
        let toml = format!(
            "[fleet]\nredis = \"redis://a\"\nkey = \"{key}\"\nstale_revocations = \"closed\"\nusername = \"gate\"\n{ROUTE}"
        );
        assert_eq!(
            messages_of(&toml),
            [
                "fleet.stale_revocations: expected [revocations] beside \"closed\", but found none",
                "fleet.username: expected password beside username, but found none",
            ]
        );
    }
}
