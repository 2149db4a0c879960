//! `[issuers.*]`.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::authorization_server::{AuthorizationServer, egress_proxy};
use super::claims::RuleParameters;
use super::{RootCertificates, claims, introspection, tenants};
use crate::clock::Backoff;
use crate::config::{self, Config, Fault, KeySource, Spanned};
use crate::files::{self, MAX_NAMED};
use crate::http_client::EgressProxy;
use crate::oauth::claims::{AudienceCheck, ClaimRule, Expectation, ExpectedAudience, Revocable};
use crate::oauth::jose::{Algorithm, Jwks};
use crate::oauth::scope::GrantedWildcards;
use crate::values::Validation;
use crate::verify::jwt::KeySet;
use crate::verify::{
    AcceptedTenants, CacheLimit, EndpointName, Epoch, Issuer, IssuerKeys, IssuerSettings, KeyRing,
    PublishedTenantKeys, RefreshPolicy, Tenancy, TenantKeys, TenantTemplates, Tenants,
};

/// The shortest lifetime of a JWKS, whatever `Cache-Control` says.
const MIN_LIFETIME: Duration = Duration::from_secs(60);
/// The longest lifetime of a JWKS, whatever `Cache-Control` says.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// The maximum bounds how long a recovered issuer goes unnoticed; tokens with its new keys get 503.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    max: Duration::from_secs(2),
};

/// Compiles each issuer, unless `same` has it already. A faulty one is left out.
///
/// `by_route` are the names of those whose audience is judged by routes.
pub(super) fn compile(
    config: &Config,
    by_route: &HashSet<&str>,
    roots: &RootCertificates,
    epoch: &Epoch,
    faults: &mut Vec<Fault>,
    same: impl Fn(usize) -> Option<Arc<Issuer>>,
) -> Vec<Arc<Issuer>> {
    let proxy = egress_proxy(config).map(Arc::new);
    let mut compiled = Vec::new();
    for (index, issuer) in config.issuers.iter().enumerate() {
        if let Some(same) = same(index) {
            compiled.push(same);
            continue;
        }
        let audience_check = if by_route.contains(issuer.name.value.as_str()) {
            AudienceCheck::ByRoute
        } else {
            AudienceCheck::WithClaims
        };
        let has_revocations = config.revocations.is_some();
        let expected = expectation(issuer, audience_check, has_revocations);
        match expected
            .and_then(|expected| compile_one(issuer, expected, roots, proxy.as_ref(), epoch))
        {
            Ok(issuer) => compiled.push(Arc::new(issuer)),
            Err(fault) => {
                faults.extend(
                    issuer
                        .files()
                        .filter_map(|file| file.unreadable_beside(&fault)),
                );
                let others = faults_of_claims(slice::from_ref(issuer));
                faults.extend(others.filter(|other| *other != *fault));
                faults.push(*fault);
            }
        }
    }
    compiled
}

/// Refuses issuers of one route that share an `iss` or whose token prefixes overlap: it must be
/// clear which issuer judges a token.
pub(super) fn refuse_ambiguous(config: &Config, faults: &mut Vec<Fault>) {
    // Many routes accept the same issuers: only the first of them is reported.
    let mut alike: BTreeMap<Vec<&str>, Vec<&config::Route>> = BTreeMap::new();
    for route in config
        .routes
        .iter()
        .filter(|route| !matches!(route.access, config::Access::Public))
    {
        let mut names: Vec<_> = route
            .issuers
            .iter()
            .map(|name| name.value.as_str())
            .collect();
        names.sort_unstable();
        alike.entry(names).or_default().push(route);
    }
    for (names, routes) in alike {
        let Some(first) = routes.first() else {
            continue;
        };
        let is_accepted = |issuer: &&config::Issuer| {
            names.is_empty() || names.binary_search(&issuer.name.value.as_str()).is_ok()
        };
        let accepted: Vec<_> = config.issuers.iter().filter(is_accepted).collect();
        let others = match routes.len() - 1 {
            0 => String::new(),
            1 => ", and of one more route".to_owned(),
            more => format!(", and of {more} more routes"),
        };
        faults.extend(overlapping_prefixes(&accepted, first, &others));
        faults.extend(duplicate_issuers(&accepted, first, &others));
    }
}

fn overlapping_prefixes(
    accepted: &[&config::Issuer],
    route: &config::Route,
    others: &str,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let asked: Vec<_> = accepted
        .iter()
        .filter(|issuer| issuer.introspection.is_some())
        .collect();
    for (index, issuer) in asked.iter().enumerate() {
        let prefix = &issuer.token_prefix;
        let is_alike = |other: &&&&config::Issuer| {
            let other = &other.token_prefix.value;
            prefix.value.starts_with(other.as_str()) || other.starts_with(&prefix.value)
        };
        if let Some(other) = asked[..index].iter().find(is_alike) {
            let message = format!(
                "expected prefixes that distinguish the opaque tokens of two issuers of one route, but found {:?} for \
                 {:?} and {:?} for {:?}",
                other.token_prefix.value, other.name.value, prefix.value, issuer.name.value
            );
            let help = format!(
                "give both a token_prefix that the other's does not begin with, or name one of them in the issuers of \
                 {:?}{others}",
                route.first_path().value
            );
            let fault = if prefix.is_written() {
                prefix.fault(message)
            } else {
                issuer.name.fault(message)
            };
            faults.push(fault.with_help(help));
        }
    }
    faults
}

fn duplicate_issuers(
    accepted: &[&config::Issuer],
    route: &config::Route,
    others: &str,
) -> Vec<Fault> {
    let place = route.issuers.first().unwrap_or(route.first_path());
    let fault = |iss: &str, one: &str, other: &str| {
        let message = format!(
            "expected issuers that go by different names, but found {iss:?} for both {one:?} and {other:?}"
        );
        let help = format!("name one of them in the issuers of the route{others}");
        place.fault(message).with_help(help)
    };
    let mut faults = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let templates = |issuer: &&config::Issuer| tenants::templates(issuer).ok().flatten();
    let templates: Vec<_> = accepted.iter().map(templates).collect();
    for (index, (issuer, own)) in accepted.iter().zip(&templates).enumerate() {
        let name = &issuer.name.value;
        for iss in issuer.issuer.iter().filter(|_| issuer.tenants.is_none()) {
            if let Some(other) = owners.insert(&iss.value, name) {
                faults.push(fault(&iss.value, other, name));
            }
        }
        for (other, of_other) in accepted.iter().zip(&templates).take(index) {
            let shared = match (of_other, own) {
                // The names themselves, as above.
                (None, None) => None,
                (Some(templates), None) => tenants::literal_tenant(templates, issuer),
                (None, Some(templates)) => tenants::literal_tenant(templates, other),
                (Some(of_other), Some(own)) => tenants::shared_iss(of_other, own),
            };
            faults.extend(shared.map(|iss| fault(&iss, &other.name.value, name)));
        }
    }
    faults
}

fn compile_one(
    issuer: &config::Issuer,
    expectation: Expectation,
    roots: &RootCertificates,
    proxy: Option<&Arc<EgressProxy>>,
    epoch: &Epoch,
) -> Result<Issuer, Box<Fault>> {
    let templates = tenants::templates(issuer)?;
    let server = AuthorizationServer::new(issuer, roots, proxy)?;
    if let Some(templates) = templates {
        return compile_with_tenants(issuer, expectation, templates, &server, epoch);
    }
    let keys = match &issuer.keys {
        Some(source) => Some(keys(
            issuer,
            source,
            &expectation.issuer_name,
            &server,
            epoch,
        )?),
        None => None,
    };
    let introspection = match &issuer.introspection {
        Some(asked) => {
            let introspection =
                introspection::compile(issuer, asked, &server, keys.as_ref(), &expectation)?;
            Some(Arc::new(introspection))
        }
        None => None,
    };
    let settings = settings(issuer, expectation, Tenancy::Single);
    Ok(Issuer::new(settings, keys, introspection))
}

fn compile_with_tenants(
    issuer: &config::Issuer,
    expectation: Expectation,
    templates: TenantTemplates,
    server: &AuthorizationServer,
    epoch: &Epoch,
) -> Result<Issuer, Box<Fault>> {
    let source = issuer.keys.as_ref().unwrap_or(&KeySource::Discovered);
    let keys = match source {
        KeySource::Discovered | KeySource::Uri(_) => {
            TenantKeys::Published(Box::new(PublishedTenantKeys {
                place: tenants::keys_place(issuer, source, &templates)?,
                http: server.http.clone(),
                algorithms: algorithms(issuer),
                policy: RefreshPolicy {
                    // A token has named these tenants. One that is gone must not be fetched often.
                    backoff: match &templates.accepted {
                        AcceptedTenants::Listed(_) => BACKOFF,
                        AcceptedTenants::Any => Backoff {
                            max: BACKOFF.max.max(issuer.unknown_key_cooldown),
                            ..BACKOFF
                        },
                    },
                    ..refresh_policy(issuer)
                },
                epoch: epoch.clone(),
            }))
        }
        // Only of `explain --jwks`: the file refuses them beside tenants.
        KeySource::File(path) => {
            TenantKeys::Fixed(Arc::new(KeySet::new(&keys_in(path)?, &algorithms(issuer))))
        }
        KeySource::SharedSecret(secret) => {
            let message = "expected keys of each tenant, but found a shared secret";
            return Err(Box::new(secret.fault(message)));
        }
    };
    let settings = settings(issuer, expectation, Tenancy::Template(templates));
    let settings = Arc::new(settings);
    let (max, cooldown) = (issuer.max_tenants, issuer.unknown_key_cooldown);
    let tenants = Tenants::new(Arc::clone(&settings), keys, max, cooldown);
    Ok(Issuer::with_tenants(settings, tenants))
}

fn settings(issuer: &config::Issuer, expectation: Expectation, tenancy: Tenancy) -> IssuerSettings {
    IssuerSettings {
        name: Arc::clone(&expectation.issuer_name),
        expectation,
        token_types: texts(&issuer.token_types),
        verifies_signatures: issuer.validation.value != Validation::Introspection,
        introspects_jwts: issuer.introspects_jwts(),
        token_prefix: issuer.token_prefix.value.clone(),
        cache_max_age: issuer.cache_max_age,
        cache_limit: cache_limit(issuer),
        tenancy,
    }
}

/// How much of the cache its tokens may use.
pub(super) fn cache_limit(issuer: &config::Issuer) -> CacheLimit {
    let entries = issuer.cache_entries as u64;
    match issuer.cache_bytes {
        Some(bytes) => CacheLimit::Bytes {
            bytes: bytes as u64,
            entries,
        },
        None => CacheLimit::Entries(entries),
    }
}

fn keys(
    issuer: &config::Issuer,
    source: &KeySource,
    name: &Arc<str>,
    server: &AuthorizationServer,
    epoch: &Epoch,
) -> Result<IssuerKeys, Box<Fault>> {
    let algorithms = algorithms(issuer);
    let endpoint = match source {
        KeySource::File(path) => {
            let jwks = keys_in(path)?;
            return Ok(IssuerKeys::Fixed(Arc::new(KeySet::new(&jwks, &algorithms))));
        }
        KeySource::SharedSecret(secret) if secret.value.is_missing() => {
            return Err(Box::new(
                secret.fault("expected a secret, but found none here"),
            ));
        }
        KeySource::SharedSecret(secret) => {
            let keys = KeySet::shared_secret(secret.value.expose().as_bytes(), &algorithms);
            return Ok(IssuerKeys::Fixed(Arc::new(
                keys.map_err(|error| secret.fault(error.to_string()))?,
            )));
        }
        KeySource::Uri(url) => server.endpoint(Some(url), EndpointName::Jwks),
        KeySource::Discovered => server.endpoint(None, EndpointName::Jwks),
    };
    let policy = refresh_policy(issuer);
    let (name, http) = (Arc::clone(name), server.http.clone());
    Ok(IssuerKeys::Published(Arc::new(KeyRing::new(
        name,
        endpoint,
        http,
        algorithms,
        policy,
        epoch.clone(),
    ))))
}

fn algorithms(issuer: &config::Issuer) -> Vec<Algorithm> {
    let algorithms = issuer.algorithms.iter();
    algorithms.map(|algorithm| algorithm.value).collect()
}

fn refresh_policy(issuer: &config::Issuer) -> RefreshPolicy {
    RefreshPolicy {
        default_lifetime: issuer.jwks_refresh,
        min_lifetime: MIN_LIFETIME,
        max_lifetime: MAX_LIFETIME,
        max_stale: issuer.jwks_max_stale,
        unknown_key_cooldown: issuer.unknown_key_cooldown,
        backoff: BACKOFF,
    }
}

fn keys_in(path: &Spanned<PathBuf>) -> Result<Jwks, Box<Fault>> {
    let unusable = |found: String| {
        path.fault(format!(
            "expected a JWK set in {}, but found {found}",
            path.value.display()
        ))
    };
    let document =
        files::read(&path.value, MAX_NAMED).map_err(|error| unusable(error.to_string()))?;
    Ok(Jwks::parse(&document).map_err(|error| unusable(format!("none: {error}")))?)
}

/// The faults of key files, whatever other faults the issuers have.
pub(super) fn faults_of_keys(issuers: &[config::Issuer]) -> impl Iterator<Item = Fault> {
    issuers.iter().filter_map(|issuer| match &issuer.keys {
        Some(KeySource::File(path)) => keys_in(path).err().map(|fault| *fault),
        Some(KeySource::Discovered | KeySource::Uri(_) | KeySource::SharedSecret(_)) | None => None,
    })
}

/// The faults of tenants and their templates, whatever other faults the issuers have.
pub(super) fn faults_of_tenants(issuers: &[config::Issuer]) -> impl Iterator<Item = Fault> {
    let faults = issuers
        .iter()
        .filter_map(|issuer| tenants::templates(issuer).err());
    faults.map(|fault| *fault)
}

/// The faults of claims that issuers name, whatever other faults they have.
pub(super) fn faults_of_claims(issuers: &[config::Issuer]) -> impl Iterator<Item = Fault> {
    issuers.iter().flat_map(|issuer| {
        let compiled = claims::scope_claims(issuer).err();
        let audience = claims::references(&issuer.audience_claims).err();
        let (_, mut faults) = claims::rules(&issuer.claims, &RuleParameters::of_issuer(issuer));
        faults.extend(
            [compiled, audience]
                .into_iter()
                .flatten()
                .map(|fault| *fault),
        );
        faults
    })
}

fn unbounded_expiry(issuer: &config::Issuer) -> Box<Fault> {
    let message = "expected false beside [revocations], but found true: a revocation is remembered for \
                   max_token_lifetime, and a token without an end would pass again";
    let help = "remove it; such a token then ends at iat + max_token_lifetime, if its exp is within ten years";
    Box::new(
        issuer
            .accept_unbounded_expiry
            .fault(message)
            .with_help(help),
    )
}

fn claim_rules(issuer: &config::Issuer) -> Result<Vec<ClaimRule>, Box<Fault>> {
    let (rules, faults) = claims::rules(&issuer.claims, &RuleParameters::of_issuer(issuer));
    faults
        .into_iter()
        .next()
        .map_or(Ok(rules), |fault| Err(Box::new(fault)))
}

fn expectation(
    issuer: &config::Issuer,
    audience_check: AudienceCheck,
    has_revocations: bool,
) -> Result<Expectation, Box<Fault>> {
    if has_revocations && issuer.accept_unbounded_expiry.value {
        return Err(unbounded_expiry(issuer));
    }
    Ok(Expectation {
        issuer_name: issuer.name.value.as_str().into(),
        issuers: texts(&issuer.issuer),
        issuer_required: issuer.require_issuer,
        audience: match &issuer.audience {
            config::Audience::Any(_) => ExpectedAudience::Any,
            config::Audience::OneOf(names) => ExpectedAudience::OneOf {
                names: texts(names),
                required: issuer.audience_required,
            },
            config::Audience::OfResources => ExpectedAudience::OneOf {
                names: Vec::new(),
                required: true,
            },
        },
        required_claims: texts(&issuer.required_claims),
        scope_claims: claims::scope_claims(issuer)?,
        claim_rules: claim_rules(issuer)?,
        tenant: None,
        audience_claims: claims::references(&issuer.audience_claims)?.into(),
        audience_check,
        expiry_unit: issuer.expiry_unit,
        expiry_required: true,
        accept_unbounded_expiry: issuer.accept_unbounded_expiry.value,
        revocable: has_revocations.then_some(Revocable {
            max_token_lifetime: issuer.max_token_lifetime,
            skew: issuer.revocation_skew,
            iat_required: issuer.iat_required,
        }),
        leeway: issuer.leeway,
        granted_wildcards: if issuer.granted_wildcards {
            GrantedWildcards::Honoured
        } else {
            GrantedWildcards::Literal
        },
        refuse_id_tokens: issuer.refuse_id_tokens,
        ignore_cnf: issuer.insecure_ignore_cnf,
    })
}

fn texts(spanned: &[config::Spanned<String>]) -> Vec<String> {
    spanned.iter().map(|text| text.value.clone()).collect()
}
