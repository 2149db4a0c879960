//! Weak choices: valid configuration that is probably not intended. Each warning says what the
//! configuration means, and what to change.
//!
//! Nobody reads a warning that never goes away. So common and sound choices get none: public reads
//! beside protected writes, `files.*` as a scope, a granted `*`.

mod claim_rules;
mod cors;
mod development;
mod fleet;
mod header_rules;
mod iss;
mod issuers;
mod mcp;
mod no_effect;
mod other_spellings;
mod paths;
mod resources;
mod respond;
mod revocations;
mod routes;
mod security_events;
mod tenants;
mod token_sources;
mod typos;
mod unused_keys;

use crate::config::{Admin, Config, Fault, Source};
use crate::gateway::Snapshot;

/// The warnings about a file, as `check` prints them.
#[cfg(test)]
fn report_of(toml: &str, weak_choices: impl FnOnce(&Config) -> Vec<Fault>) -> Vec<String> {
    let (config, source) =
        crate::config::parse("gateway.toml", toml).unwrap_or_else(|report| panic!("{report}"));
    let found = source.report(weak_choices(&config));
    found.lines().collect()
}

/// Every weak choice of the file, which compiles to this snapshot.
pub(super) fn weak_choices(config: &Config, source: &Source, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = source.warnings().to_vec();
    found.extend(typos::weak_choices(config));
    found.extend(other_spellings::weak_choices(config));
    found.extend(development::weak_choices(config));
    found.extend(config.admin.as_ref().and_then(any_admin_host));
    for issuer in &config.issuers {
        found.extend(issuers::weak_choices(
            issuer,
            &config.routes,
            config.development.is_some(),
        ));
    }
    found.extend(iss::weak_choices(config));
    found.extend(fleet::weak_choices(config));
    found.extend(revocations::weak_choices(config));
    found.extend(tenants::weak_choices(config));
    found.extend(routes::weak_choices(config));
    found.extend(claim_rules::weak_choices(config));
    found.extend(cors::weak_choices(config));
    found.extend(header_rules::weak_choices(config));
    found.extend(token_sources::weak_choices(config));
    found.extend(respond::weak_choices(config));
    found.extend(no_effect::weak_choices(config));
    found.extend(unused_keys::weak_choices(config));
    found.extend(mcp::weak_choices(config, snapshot));
    found.extend(paths::weak_choices(config, snapshot));
    found.extend(resources::weak_choices(config, snapshot));
    found.extend(security_events::weak_choices(config, snapshot));
    found
}

/// Notes: sound choices with an effect that may surprise.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    let mut notes = paths::notes(config, snapshot);
    notes.extend(resources::notes(config, snapshot));
    notes.extend(mcp::notes(config));
    notes.extend(security_events::notes(config, snapshot));
    notes
}

fn any_admin_host(admin: &Admin) -> Option<Fault> {
    let address = admin.listen.value;
    if admin.hosts.is_some() || address.ip().is_loopback() {
        return None;
    }
    let message = format!(
        "{address} is not a loopback address and hosts is not set, so any Host is accepted"
    );
    let help = "set hosts to the names that clients use, or to [] for IP addresses only: a web page could read the metrics \
                by DNS rebinding";
    Some(admin.listen.fault(message).with_help(help))
}
