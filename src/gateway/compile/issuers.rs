//! `[issuers.*]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Trust;
use crate::config::{self, Config, Fault, KeySource};
use crate::net::tls;
use crate::oauth::claims::{Expectation, ExpectedAudience, ExpiryUnit};
use crate::oauth::jose::{Algorithm, Jwks};
use crate::oauth::scope::GrantedWildcards;
use crate::verify::jwt::KeySet;
use crate::verify::{Discovery, Epoch, Fetcher, Issuer, KeyRing, KeyTiming, Keys};

/// No key set is kept for less, whatever `Cache-Control` says.
const SHORTEST_REFRESH: Duration = Duration::from_secs(60);
/// No key set is kept for longer, whatever `Cache-Control` says.
const LONGEST_REFRESH: Duration = Duration::from_secs(3600);
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// Compiles every issuer; one that is faulty is left out.
pub(super) fn compile(
    issuers: &[config::Issuer],
    trust: &Trust,
    epoch: &Epoch,
    faults: &mut Vec<Fault>,
) -> Vec<Arc<Issuer>> {
    let mut compiled = Vec::new();
    for issuer in issuers {
        match compile_one(issuer, trust, epoch) {
            Ok(issuer) => compiled.push(Arc::new(issuer)),
            Err(fault) => faults.push(*fault),
        }
    }
    compiled
}

/// A token goes to the one issuer that its `iss` names, so no route may have two that go by the same name.
pub(super) fn refuse_ambiguous(config: &Config, faults: &mut Vec<Fault>) {
    for route in config.routes.iter().filter(|route| !matches!(route.access, config::Access::Public)) {
        let accepted = |issuer: &&config::Issuer| {
            route.issuers.is_empty() || route.issuers.iter().any(|name| name.value == issuer.name.value)
        };
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for issuer in config.issuers.iter().filter(accepted) {
            for iss in &issuer.issuer {
                if let Some(other) = owners.insert(&iss.value, &issuer.name.value) {
                    let message = format!(
                        "expected issuers that go by different names, but found {:?} for both {:?} and {:?}",
                        iss.value, other, issuer.name.value
                    );
                    let place = route.issuers.first().unwrap_or(&route.path);
                    faults.push(place.fault(message).with_help("name one of them in the route's issuers"));
                }
            }
        }
    }
}

fn compile_one(issuer: &config::Issuer, trust: &Trust, epoch: &Epoch) -> Result<Issuer, Box<Fault>> {
    let name: Arc<str> = issuer.name.value.as_str().into();
    // The names were checked when the file was read.
    let algorithms: Vec<_> = issuer.algorithms.iter().filter_map(|name| Algorithm::from_name(&name.value)).collect();
    let keys = match &issuer.keys {
        KeySource::File(path) => {
            let document = std::fs::read(&path.value).map_err(|error| {
                path.fault(format!("expected a JWK set in {}, but found none: {error}", path.value.display()))
            })?;
            let jwks =
                Jwks::parse(&document).map_err(|error| path.fault(format!("expected a JWK set, but found {error}")))?;
            Keys::Fixed(Arc::new(KeySet::new(&jwks, &algorithms)))
        }
        KeySource::SharedSecret(secret) => {
            let keys = KeySet::shared_secret(secret.value.expose().as_bytes(), &algorithms)
                .map_err(|error| secret.fault(error.to_string()))?;
            Keys::Fixed(Arc::new(keys))
        }
        KeySource::Uri(url) => {
            let discovery = Discovery::known(url.value.to_string());
            Keys::Published(Arc::new(ring(issuer, &name, discovery, algorithms, trust, epoch)?))
        }
        KeySource::Discovered => {
            let first = issuer.issuer.first().map(|iss| iss.value.clone()).unwrap_or_default();
            let discovery = match &issuer.discovery {
                config::Discovery::At(url) => Discovery::at(first, url.to_string()),
                config::Discovery::WellKnown | config::Discovery::Off => Discovery::well_known(first),
            };
            Keys::Published(Arc::new(ring(issuer, &name, discovery, algorithms, trust, epoch)?))
        }
    };
    let expectation = expectation(issuer, &name);
    let token_types = texts(&issuer.token_types);
    Ok(Issuer { name, expectation, token_types, keys, cache_max_age: issuer.cache_max_age })
}

fn ring(
    issuer: &config::Issuer,
    name: &Arc<str>,
    discovery: Discovery,
    algorithms: Vec<Algorithm>,
    trust: &Trust,
    epoch: &Epoch,
) -> Result<KeyRing, Box<Fault>> {
    let ca = issuer.tls_ca.as_ref();
    let fetcher =
        trust.roots(ca, discovery.uses_tls()).and_then(|roots| tls::client(roots, None)).map_err(|error| match ca {
            Some(ca) => ca.fault(error.to_string()),
            None => issuer.name.fault(error.to_string()),
        })?;
    let fetcher = Fetcher::new(fetcher, issuer.connect_timeout, issuer.timeout)
        .map_err(|error| issuer.name.fault(format!("cannot make an HTTP client: {error}")))?;
    let timing = KeyTiming {
        refresh: issuer.jwks_refresh,
        shortest: SHORTEST_REFRESH,
        longest: LONGEST_REFRESH,
        max_stale: issuer.jwks_max_stale,
        cooldown: issuer.unknown_key_cooldown,
        first_retry: FIRST_RETRY,
        longest_retry: LONGEST_RETRY,
    };
    Ok(KeyRing::new(Arc::clone(name), discovery, fetcher, algorithms, timing, epoch.clone()))
}

fn expectation(issuer: &config::Issuer, name: &Arc<str>) -> Expectation {
    Expectation {
        issuer_name: Arc::clone(name),
        issuers: texts(&issuer.issuer),
        issuer_required: true,
        audience: match &issuer.audience {
            config::Audience::Any(_) => ExpectedAudience::Any,
            config::Audience::OneOf(names) => {
                ExpectedAudience::OneOf { names: texts(names), required: issuer.audience_required }
            }
        },
        required_claims: texts(&issuer.required_claims),
        scope_claims: texts(&issuer.scope_claims),
        expiry_unit: match issuer.expiry_unit {
            config::ExpiryUnit::Seconds => ExpiryUnit::Seconds,
            config::ExpiryUnit::Milliseconds => ExpiryUnit::Milliseconds,
        },
        expiry_required: true,
        accept_unbounded_expiry: issuer.accept_unbounded_expiry,
        leeway: issuer.leeway,
        granted_wildcards: if issuer.granted_wildcards {
            GrantedWildcards::Honoured
        } else {
            GrantedWildcards::Literal
        },
        ignore_cnf: issuer.insecure_ignore_cnf,
    }
}

fn texts(placed: &[config::Placed<String>]) -> Vec<String> {
    placed.iter().map(|text| text.value.clone()).collect()
}
