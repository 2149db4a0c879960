//! Compiles gateway.toml to a [`Snapshot`]: parses patterns and scopes, reads files, and checks
//! that the parts fit together.
//!
//! It touches no network, and reports all faults of the file at once.

mod admin;
mod authorization_server;
mod claims;
mod cors;
mod fingerprints;
mod fixed_response;
mod fleet;
mod header_rules;
mod introspection;
mod issuers;
mod limits;
mod mcp;
mod paths;
mod request_headers;
mod resources;
mod response_headers;
mod routes;
mod scopes;
mod security_events;
mod tenants;
mod token_sources;
mod upstreams;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;

pub(super) use fingerprints::Fingerprints;

pub use authorization_server::egress_proxy;
pub use fleet::fleet_settings;

use super::networks::Networks;
use super::resource_metadata::ResourceDocuments;
use super::respond::ChallengeSettings;
use super::response_rules::ResponseRules;
use super::snapshot::{Forwarding, Snapshot};
use crate::config::{self, Config, Fault, Spanned};
use crate::fleet::FleetStatus;
use crate::oauth::claims::RuleSet;
use crate::policy::host::HostPattern;
use crate::policy::resource::Resource;
use crate::policy::route_table::RouteTable;
use crate::rate_limits::Limit;
use crate::revocation::Revocations;
use crate::telemetry::{RequestLog, SampleRatio};
use crate::transport::tls::{self, TlsError, TrustedCertificates};
use crate::upstream::headers::X_REQUEST_ID;
use crate::verify::{CacheBudget, Epoch, Issuer, TokenCache, Verifier};

/// Compiles a configuration.
///
/// # Errors
/// All faults that reading the file did not find.
pub fn compile(config: &Config) -> Result<Snapshot, Vec<Fault>> {
    compile_after(config, None)
}

/// Compiles a configuration that replaces `earlier`. Unchanged issuers and upstreams are kept, with
/// their keys, cached tokens and connections.
///
/// # Errors
/// All faults that reading the file did not find.
pub fn compile_after(config: &Config, earlier: Option<&Snapshot>) -> Result<Snapshot, Vec<Fault>> {
    let mut faults = Vec::new();
    let roots = RootCertificates::default();
    let (cache, epoch) = token_cache(config, earlier);
    let revocations = revocations(config, earlier, &epoch);
    let resources = resources::compile(config, &mut faults);
    let unrouted_response = unrouted_response(config, &mut faults);
    let (table, mut forwarding) =
        routes::compile(config, &resources, &unrouted_response, &mut faults);
    let by_route = resources::issuers_of_resources(config, table.as_ref());
    let fingerprints = Fingerprints::of(config, &by_route);
    let issuers = issuers::compile(config, &by_route, &roots, &epoch, &mut faults, |index| {
        fingerprints.issuers[index]
            .find(&earlier?.fingerprints.issuers, earlier?.verifier.issuers())
    });
    issuers::refuse_ambiguous(config, &mut faults);
    adopt_tenants(&issuers, earlier);
    let upstreams = upstreams::compile(config, &roots, &mut faults, |index| {
        fingerprints.upstreams[index].find(&earlier?.fingerprints.upstreams, &earlier?.upstreams)
    });
    let (fleet, limits) = shared_limits(config, earlier, &roots, &mut faults);
    let admin_hosts = admin::known_hosts(config, &mut faults);
    let resource_documents = table
        .as_ref()
        .and_then(|table| own_responses(config, table, &resources, &forwarding, &mut faults));
    let Some(mut routes) = table.filter(|_| faults.is_empty()) else {
        return Err(faults);
    };

    let rules = remember_rules(&mut routes, earlier);
    Ok(Snapshot {
        has_cors: unrouted_response.cors.is_some()
            || forwarding.iter().any(|route| route.response.cors.is_some()),
        reserved: request_headers::reserve(config, &mut forwarding, &reserved_headers(config)),
        routes,
        forwarding,
        unrouted_response,
        resource_documents,
        security_events: security_events::compile(config, earlier),
        verifier: Verifier::new(issuers, cache, epoch, config.server.max_token_size, rules)
            .with_revocations(revocations),
        admin_token: admin::token(config),
        upstreams,
        limits,
        challenge: challenge(&config.challenge),
        path_parameters: config.server.path_parameters,
        trusted_proxies: Networks::trusted_proxies(config),
        external_scheme: external_scheme(config),
        body_idle_timeout: config.server.body_idle_timeout,
        request_log: request_log(&config.log),
        request_ids: config.server.request_id,
        admin_hosts,
        traces: traces(&config.telemetry),
        fleet,
        fingerprints,
    })
}

fn shared_limits(
    config: &Config,
    earlier: Option<&Snapshot>,
    roots: &RootCertificates,
    faults: &mut Vec<Fault>,
) -> (Option<Arc<FleetStatus>>, Vec<Arc<Limit>>) {
    let settings = fleet::compile(config, roots, faults);
    let fleet = earlier.and_then(|earlier| earlier.fleet.as_ref());
    let fleet = fleet::status(config, settings.as_ref(), fleet);
    let sharing = fleet.as_ref().map(|fleet| fleet.limits());
    let earlier = earlier.map(|earlier| &*earlier.limits);
    let limits = limits::compile(config, earlier, sharing, faults);
    (fleet, limits)
}

fn challenge(written: &config::Challenge) -> ChallengeSettings {
    ChallengeSettings {
        realm: written.realm.clone(),
        describe: written.describe,
        scope_when_unauthenticated: written.scope_when_unauthenticated,
    }
}

// Checks what the gateway responds to itself, and returns the metadata of resources.
fn own_responses(
    config: &Config,
    table: &RouteTable,
    resources: &[Arc<Resource>],
    forwarding: &[Forwarding],
    faults: &mut Vec<Fault>,
) -> Option<Box<ResourceDocuments>> {
    let declaration = |index: usize| forwarding[index].declaration;
    resources::refuse_missing_audiences(config, table, declaration, faults);
    let documents = resources::documents(config, table, resources, declaration, faults);
    security_events::check(config, table, declaration, documents.as_deref(), faults);
    documents
}

fn traces(written: &config::Telemetry) -> Option<SampleRatio> {
    let endpoint = written.otlp_endpoint.as_ref();
    endpoint.map(|_| SampleRatio::new(written.sample_ratio))
}

fn external_scheme(config: &Config) -> Option<HeaderValue> {
    let url = config.server.external_url.as_ref()?;
    let is_https = url.value.scheme() == "https";
    Some(HeaderValue::from_static(if is_https {
        "https"
    } else {
        "http"
    }))
}

fn request_log(written: &config::Log) -> RequestLog {
    RequestLog {
        is_on: written.access,
        client_id: written.client_id,
        subject: written.subject.value,
        path: written.path.value,
        refusals_per_second: written.refusals_per_second,
    }
}

/// The faults of a file, as `check` prints them.
#[cfg(test)]
fn report_of(toml: &str) -> Vec<String> {
    let report = match config::parse("gateway.toml", toml) {
        Ok((config, source)) => source.report(compile(&config).err().unwrap_or_default()),
        Err(report) => report,
    };
    report.lines().collect()
}

/// As [`report_of`], without lines and remedies.
#[cfg(test)]
fn messages_of(toml: &str) -> Vec<String> {
    let read = config::parse("gateway.toml", toml);
    let (config, _) = read.unwrap_or_else(|report| panic!("{report}"));
    let faults = compile(&config).err().unwrap_or_default();
    let text = |fault: Fault| format!("{}: {}", fault.key, fault.message);
    faults.into_iter().map(text).collect()
}

// The rules for responses to requests that belong to no route.
fn unrouted_response(config: &Config, faults: &mut Vec<Fault>) -> ResponseRules {
    ResponseRules {
        cors: cors::compile(config.cors.as_ref(), faults),
        is_private: false,
        headers: response_headers::compile(config.server.response_headers.as_ref(), faults).into(),
    }
}

// An earlier configuration's cache is kept unless its size changes.
fn token_cache(config: &Config, earlier: Option<&Snapshot>) -> (Arc<TokenCache>, Epoch) {
    let budget = cache_budget(config);
    match earlier.map(|earlier| earlier.verifier.cache_and_epoch()) {
        Some((cache, epoch)) if cache.budget() == budget => (cache, epoch),
        Some((_, epoch)) => (Arc::new(TokenCache::new(budget)), epoch),
        None => (Arc::new(TokenCache::new(budget)), Epoch::default()),
    }
}

// Entries survive every reload.
fn revocations(
    config: &Config,
    earlier: Option<&Snapshot>,
    epoch: &Epoch,
) -> Option<Arc<Revocations>> {
    let written = config.revocations.as_ref()?;
    let known = earlier.and_then(|earlier| earlier.verifier.revocations());
    Some(known.map_or_else(
        || Revocations::new(written.max_entries, epoch.clone()),
        Arc::clone,
    ))
}

// A reload must not use up the quota of new tenants.
fn adopt_tenants(issuers: &[Arc<Issuer>], earlier: Option<&Snapshot>) {
    let earlier = earlier.map_or(&[][..], |earlier| earlier.verifier.issuers());
    issuers
        .iter()
        .for_each(|issuer| issuer.adopt_tenants(earlier));
}

// Cached tokens remember the outcomes of the earlier rules. They still count if the rules are the same.
fn remember_rules(routes: &mut RouteTable, earlier: Option<&Snapshot>) -> Arc<RuleSet> {
    let rules = routes.routes().iter().flat_map(|route| route.claims.iter());
    let compiled = RuleSet::of(rules);
    let earlier = earlier.map(|earlier| earlier.verifier.rules());
    let rules = earlier
        .filter(|rules| ***rules == compiled)
        .map_or_else(|| Arc::new(compiled), Arc::clone);
    routes.remember(&rules);
    rules
}

// The names that no client may send on any route.
fn reserved_headers(config: &Config) -> Vec<HeaderName> {
    let set_by_routes = config.routes.iter().flat_map(|route| &route.claim_headers);
    let set_by_routes = set_by_routes.map(|claim| claim.header.value.clone());
    let set_by_gateway = config.server.request_id.then_some(X_REQUEST_ID);
    set_by_routes.chain(set_by_gateway).collect()
}

fn cache_budget(config: &Config) -> CacheBudget {
    CacheBudget::of(
        config.issuers.iter().map(issuers::cache_limit),
        config.server.workers,
    )
}

/// The faults of routes and key files, if the file has other faults as well: `known`.
#[must_use]
pub fn route_faults(config: &Config, known: &[Fault]) -> Vec<Fault> {
    let mut faults = routes::faults(config, known);
    cors::compile(config.cors.as_ref(), &mut faults);
    response_headers::compile(config.server.response_headers.as_ref(), &mut faults);
    faults.extend(issuers::faults_of_keys(&config.issuers));
    faults.extend(issuers::faults_of_claims(&config.issuers));
    faults.extend(issuers::faults_of_tenants(&config.issuers));
    faults.extend(security_events::faults(config));
    admin::known_hosts(config, &mut faults);
    limits::compile(config, None, None, &mut faults);
    faults
}

/// Parses a host pattern of a route or of the admin listener.
fn host_pattern(host: &Spanned<String>) -> Result<HostPattern, Box<Fault>> {
    let hint = || config::host_hint(&host.value, |proposed| HostPattern::parse(proposed).is_ok());
    HostPattern::parse(&host.value).map_err(|error| {
        let (message, found) = (error.to_string(), format!("{:?}", host.value));
        let message = if message.contains(&found) {
            message
        } else {
            format!("{message} in {found}")
        };
        Box::new(Fault {
            help: hint(),
            ..host.fault(message)
        })
    })
}

/// Parses the name of a header.
fn header_name(name: &Spanned<String>) -> Result<HeaderName, Box<Fault>> {
    HeaderName::from_bytes(name.value.as_bytes()).map_err(|_| {
        Box::new(name.fault(format!(
            "expected the name of a header, but found {:?}",
            name.value
        )))
    })
}

/// The root certificates that peers are verified by. The system's are read at most once, and only
/// if needed.
#[derive(Default)]
struct RootCertificates {
    system: OnceCell<RootCertStore>,
}

impl RootCertificates {
    /// The certificates in `ca`, else the system's; none if no peer uses TLS.
    fn trusted(
        &self,
        ca: Option<&Spanned<PathBuf>>,
        uses_tls: bool,
    ) -> Result<TrustedCertificates, TlsError> {
        match ca {
            Some(ca) => tls::trusted_from(&ca.value),
            None if !uses_tls => Ok(RootCertStore::empty().into()),
            None => Ok(self.system().into()),
        }
    }

    fn system(&self) -> RootCertStore {
        self.system.get_or_init(tls::system_roots).clone()
    }
}
