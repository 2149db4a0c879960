//! Weak choices of `[fleet]`: who can read along, and what is not shared.

use std::net::IpAddr;

use crate::config::{Config, Fault, Fleet, RedisUrl};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let Some(fleet) = &config.fleet else {
        return Vec::new();
    };
    let mut found = in_the_clear(fleet);
    match &config.revocations {
        None if config.limits.is_empty() && !introspects(config) => {
            let message = "without [revocations], [limits] and introspection, the gateways of the fleet share nothing";
            found.push(fleet.key.fault(message).with_help("add one of them"));
        }
        None => {}
        Some(revocations) if revocations.file.is_none() => {
            let message = "a gateway that restarts while Redis is away or empty has no revocations";
            let help = "set file in [revocations]";
            found.push(fleet.key.fault(message).with_help(help));
        }
        Some(_) => {}
    }
    found
}

fn introspects(config: &Config) -> bool {
    let mut issuers = config.issuers.iter();
    issuers.any(|issuer| issuer.introspection.is_some())
}

// What is stored is sealed, but the password is not, and who can write can make gateways stale.
fn in_the_clear(fleet: &Fleet) -> Vec<Fault> {
    let is_loopback = |host: &str| {
        host == "localhost"
            || host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback())
    };
    let urls = fleet.redis.iter().filter(
        |url| matches!(&url.value, RedisUrl::Tcp { host, is_tls: false, .. } if !is_loopback(host)),
    );
    let warn = |url: &crate::config::Spanned<RedisUrl>| {
        let message = format!("{} is not on loopback and has no TLS", url.value);
        let help =
            "write rediss://: others on the network could read the password and remove messages";
        url.fault(message).with_help(help)
    };
    urls.map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::weak_choices;
    use crate::cli::warnings::report_of;

    fn warnings(redis: &str, revocations: &str) -> Vec<String> {
        let key = "ab".repeat(32);
        let toml = format!("[fleet]\nredis = \"{redis}\"\nkey = \"{key}\"\n{revocations}");
        report_of(&toml, weak_choices)
    }

    #[test]
    fn servers_off_loopback_without_tls_are_warned_of() {
        let file = "[revocations]\nfile = \"a\"\n";
        for url in ["redis://10.0.0.1", "redis://redis.internal"] {
            assert_eq!(warnings(url, file).len(), 1, "{url}");
        }
        for url in [
            "rediss://10.0.0.1",
            "redis://127.0.0.1",
            "redis://[::1]",
            "redis://localhost",
            "unix:///r.sock",
        ] {
            assert_eq!(warnings(url, file), [""; 0], "{url}");
        }
    }

    #[test]
    fn fleet_without_revocations_or_their_file_is_warned_of() {
        assert!(warnings("redis://127.0.0.1", "")[0].contains("share nothing"));
        let limit = "[limits.a]\nrequests = 1\nper = \"1s\"\n";
        assert_eq!(warnings("redis://127.0.0.1", limit), [""; 0]);
        let found = warnings("redis://127.0.0.1", "[revocations]\n");
        assert!(found[0].contains("has no revocations"), "{found:?}");
    }
}
