//! `[admin]`.

use super::host_pattern;
use crate::config::{Config, Fault};
use crate::gateway::admin_token::AdminToken;
use crate::policy::known_hosts::KnownHosts;

/// The hosts that the admin listener accepts.
///
/// If none are listed, a listener on loopback accepts addresses and localhost only, against DNS
/// rebinding. A listener that others can reach may have any name.
pub(super) fn known_hosts(config: &Config, faults: &mut Vec<Fault>) -> KnownHosts {
    let Some(admin) = &config.admin else {
        return KnownHosts::listed(Vec::new());
    };
    let Some(hosts) = &admin.hosts else {
        let is_loopback = admin.listen.value.ip().is_loopback();
        return if is_loopback {
            KnownHosts::listed(Vec::new())
        } else {
            KnownHosts::unlisted()
        };
    };
    let parsed = hosts
        .iter()
        .filter_map(|host| host_pattern(host).map_err(|fault| faults.push(*fault)).ok());
    KnownHosts::listed(parsed.collect())
}

/// The token that changes need, if there is one here.
pub(super) fn token(config: &Config) -> Option<AdminToken> {
    let token = config.admin.as_ref()?.token.as_ref()?;
    let is_usable = !token.value.is_missing() && !token.value.expose().is_empty();
    is_usable.then(|| AdminToken::new(token.value.expose()))
}
