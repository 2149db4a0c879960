//! Weak choices: what a file may say, and what somebody should have meant. Each says what it means and what to do.
//!
//! A warning that stands there for good is one that nobody reads, so what is usual and fine is not warned of: reading that
//! is open beside writing that is not, `files.*` as a scope, a granted `*`.

mod issuers;
mod paths;
mod routes;
mod words;

use std::collections::HashSet;

use crate::config::{Admin, Config, Fault, Source};
use crate::gateway::Snapshot;

/// Every weak choice of the file, which compiles to this snapshot.
pub(super) fn weak_choices(config: &Config, source: &Source, snapshot: &Snapshot) -> Vec<Fault> {
    let mut found = source.warnings().to_vec();
    found.extend(words::weak_choices(config));
    if let Some(development) = &config.development {
        let fault = development
            .listen
            .fault("development: anybody on this machine gets any token here");
        found.push(fault.with_help(
            "for trying things out only: remove [development] and its issuer before you go on",
        ));
    }
    found.extend(config.admin.as_ref().and_then(any_admin_host));
    for issuer in &config.issuers {
        found.extend(issuers::weak_choices(issuer, config.development.is_some()));
    }
    found.extend(routes::weak_choices(config));
    found.extend(paths::weak_choices(config, snapshot));
    let used: HashSet<_> = config
        .routes
        .iter()
        .map(|route| route.upstream.value.as_str())
        .collect();
    for upstream in config
        .upstreams
        .iter()
        .filter(|upstream| !used.contains(upstream.name.value.as_str()))
    {
        found.push(
            upstream
                .name
                .fault("no route leads to this upstream")
                .with_help("remove it, or add its routes"),
        );
    }
    found
}

/// What is no weak choice, and good to know.
pub(super) fn notes(config: &Config, snapshot: &Snapshot) -> Vec<Fault> {
    paths::notes(config, snapshot)
}

fn any_admin_host(admin: &Admin) -> Option<Fault> {
    let address = admin.listen.value;
    if admin.hosts.is_some() || address.ip().is_loopback() {
        return None;
    }
    let message = format!(
        "{address} is no loopback address and hosts is not set, so it answers whatever the Host is"
    );
    let help = "set hosts to the names that it is asked by, or to [] for IP addresses alone: a web page could read it (DNS \
                rebinding)";
    Some(admin.listen.fault(message).with_help(help))
}
