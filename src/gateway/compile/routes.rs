//! `[[routes]]`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::claims::RuleParameters;
use super::paths::{self, paths, segments_to_strip};
use super::scopes::scope_requirement;
use super::{
    claims, cors, fixed_response, host_pattern, limits, mcp, request_headers, resources,
    response_headers, tenants, token_sources,
};
use crate::config::{self, Access, Config, Fault, Spanned};
use crate::gateway::fixed_response::FixedResponse;
use crate::gateway::networks::Networks;
use crate::gateway::response_rules::ResponseRules;
use crate::gateway::route_limits::RouteLimits;
use crate::gateway::snapshot::{Declaration, Forwarding, NO_UPSTREAM};
use crate::policy::claim_rules::ClaimRules;
use crate::policy::methods::Methods;
use crate::policy::pattern::RoutePattern;
use crate::policy::requirement::Requirement;
use crate::policy::resource::Resource;
use crate::policy::route::Route;
use crate::policy::route_table::{Overlap, RouteTable};
use crate::policy::step_up::StepUp;
use crate::policy::token_sources::TokenSources;
use crate::upstream::{BodyLimit, LimitSource};
use crate::values::ForwardToken;

/// Compiles all routes. There is no table if one is faulty.
pub(super) fn compile(
    config: &Config,
    resources: &[Arc<Resource>],
    unrouted_response: &ResponseRules,
    faults: &mut Vec<Fault>,
) -> (Option<RouteTable>, Vec<Forwarding>) {
    let before = faults.len();
    faults.extend(missing_routes(config, &[]));
    let mut routes = Vec::new();
    let mut forwarding = Vec::new();
    let named = config.upstreams.iter().enumerate();
    let issuers: HashSet<_> = config
        .issuers
        .iter()
        .map(|issuer| issuer.name.value.as_str())
        .collect();
    let upstreams: Upstreams<'_> = named
        .map(|(index, upstream)| (upstream.name.value.as_str(), index))
        .collect();
    let mut sources = Vec::new();
    for (index, written) in config.routes.iter().enumerate() {
        let paths = paths(written, faults);
        // Undeclared names were refused when the file was read; here they would match no issuer.
        let undeclared = written
            .issuers
            .iter()
            .filter(|name| !issuers.contains(name.value.as_str()));
        faults.extend(
            undeclared.map(|name| name.fault("expected a declared issuer, but found none")),
        );
        let shared = shared_by_paths(written, config, unrouted_response, &upstreams, faults);
        for_each_path(paths, faults, |number, path, faults| {
            let place = Declaration {
                route: index,
                path: number,
            };
            forwarding.extend(or_fault(
                faults,
                compile_forwarding(written, place, &path, config, &shared),
            ));
            if let Some(route) = compile_route(written, path, config, faults) {
                routes.push(route);
                sources.push((written, &written.path[number]));
            }
        });
    }
    resources::assign(&mut routes, resources, &sources, faults);
    mcp::accept_pages_of_resources(&mut routes, &sources);
    if faults.len() > before {
        return (None, forwarding);
    }
    match RouteTable::build(routes) {
        Ok(table) => (Some(table), forwarding),
        Err(overlaps) => {
            faults.extend(
                overlaps
                    .iter()
                    .map(|overlap| overlap_fault(overlap, &sources)),
            );
            (None, forwarding)
        }
    }
}

/// The indices of the upstreams by name.
type Upstreams<'c> = HashMap<&'c str, usize>;

/// What all paths of a declared route have in common.
struct SharedByPaths<'c> {
    response: ResponseRules,
    token_from: Option<TokenSources>,
    set_headers: Box<[(HeaderName, HeaderValue)]>,
    respond: Option<Box<FixedResponse>>,
    limits: Option<Arc<RouteLimits>>,
    upstreams: &'c Upstreams<'c>,
}

fn shared_by_paths<'c>(
    written: &config::Route,
    config: &Config,
    unrouted_response: &ResponseRules,
    upstreams: &'c Upstreams<'c>,
    faults: &mut Vec<Fault>,
) -> SharedByPaths<'c> {
    let headers = response_headers::compile(written.response_headers.as_ref(), faults);
    let token_from = token_sources::compile(written, config, faults);
    SharedByPaths {
        response: ResponseRules {
            cors: cors::of_route(written, unrouted_response.cors.as_ref(), faults),
            is_private: token_from
                .as_ref()
                .is_some_and(|sources| sources.cookie.is_some()),
            headers: response_headers::merged(&unrouted_response.headers, headers),
        },
        token_from,
        set_headers: request_headers::set_headers(request_headers::compile(written, faults)),
        respond: fixed_response::compile(written.respond.as_ref(), faults),
        limits: limits::of_route(written, config, faults),
        upstreams,
    }
}

/// A declared route, and one of its paths.
type DeclaredPath<'c> = (&'c config::Route, &'c Spanned<String>);

fn overlap_fault(overlap: &Overlap, declared: &[DeclaredPath<'_>]) -> Fault {
    let (first, second) = (declared[overlap.first], declared[overlap.second]);
    if std::ptr::eq(first.0, second.0) {
        let message = format!(
            "expected paths that differ in more than the names of parameters, but found {:?} again",
            first.1.value
        );
        return second.1.fault(message).with_help("remove one of them");
    }
    let message = format!(
        "expected a host, path and method that no other route has, but found that {} ({:?}) takes {} as well",
        first.0.place(),
        first.1.value,
        overlap.method
    );
    second
        .1
        .fault(message)
        .with_help("give one of them another host, path or methods")
}

/// Compiles something for each path. A fault of the first path is usually one of the others too, so
/// it is reported once.
fn for_each_path(
    paths: Vec<(usize, RoutePattern)>,
    faults: &mut Vec<Fault>,
    mut compile: impl FnMut(usize, RoutePattern, &mut Vec<Fault>),
) {
    let before = faults.len();
    for (number, path) in paths {
        let is_first_fault = faults.len() == before;
        let mut of_path = Vec::new();
        compile(number, path, &mut of_path);
        if is_first_fault {
            faults.append(&mut of_path);
        }
    }
}

/// A gateway without routes responds 404 to everything: the file is cut short, or a first draft.
fn missing_routes(config: &Config, known: &[Fault]) -> Option<Fault> {
    // Routes that could not be read, or have a misspelt key, count as declared.
    if !config.routes.is_empty() || known.iter().any(|fault| fault.key.starts_with("route")) {
        return None;
    }
    let message = "expected at least one [[routes]], but found none".to_owned();
    let help =
        "without a route every request gets 404; add one, with path, upstream, and scope or public"
            .to_owned();
    Some(Fault {
        key: "routes".to_owned(),
        span: None,
        message,
        help: Some(help),
    })
}

/// The faults of each route by itself, whatever other faults the file has.
pub(super) fn faults(config: &Config, known: &[Fault]) -> Vec<Fault> {
    let (mut faults, mut routes, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    faults.extend(missing_routes(config, known));
    let faulty: HashSet<_> = known
        .iter()
        .filter_map(|fault| route_key(&fault.key))
        .collect();
    for written in &config.routes {
        let before = faults.len();
        cors::of_route(written, None, &mut faults);
        token_sources::compile(written, config, &mut faults);
        response_headers::compile(written.response_headers.as_ref(), &mut faults);
        request_headers::compile(written, &mut faults);
        fixed_response::compile(written.respond.as_ref(), &mut faults);
        limits::of_route(written, config, &mut faults);
        let headers = written.claim_headers.iter().map(claims::header);
        faults.extend(headers.filter_map(|header| header.err().map(|fault| *fault)));
        let paths = paths(written, &mut faults);
        // A host or method that could not be read may be what distinguishes two routes.
        let is_whole = !faulty.contains(written.place()) && faults.len() == before;
        for_each_path(paths, &mut faults, |number, path, faults| {
            if let Some(prefix) = &written.strip_prefix {
                or_fault(faults, segments_to_strip(prefix, &path));
            }
            or_fault(faults, paths::rewrite(written, &path, config));
            let route = compile_route(written, path, config, faults);
            if let Some(route) = route.filter(|_| is_whole && faults.is_empty()) {
                routes.push(route);
                sources.push((written, &written.path[number]));
            }
        });
    }
    let overlaps = RouteTable::build(routes).err().unwrap_or_default();
    faults.extend(
        overlaps
            .iter()
            .map(|overlap| overlap_fault(overlap, &sources)),
    );
    faults
}

/// `routes[3]` of `routes[3].claim_headers.X-User`.
fn route_key(key: &str) -> Option<&str> {
    let route = key.split('.').next()?;
    route.starts_with("routes[").then_some(route)
}

fn compile_route(
    written: &config::Route,
    path: RoutePattern,
    config: &Config,
    faults: &mut Vec<Fault>,
) -> Option<Route> {
    let hosts: Vec<_> = written
        .host
        .iter()
        .filter_map(|host| or_fault(faults, host_pattern(host)))
        .collect();
    let methods = if written.methods.is_empty() {
        Some(Methods::all())
    } else {
        let names = written.methods.iter().map(|method| method.value.as_str());
        or_fault(
            faults,
            Methods::parse(names)
                .map_err(|error| Box::new(written.methods[0].fault(error.to_string()))),
        )
    };
    let any_of: Vec<_> = written
        .access
        .scopes()
        .iter()
        .filter_map(|set| or_fault(faults, scope_requirement(set, &path)))
        .collect();
    let requirement = match &written.access {
        Access::Public => Requirement::Public,
        Access::AnyToken | Access::Scope(_) | Access::AnyScope(_) => Requirement::Token { any_of },
    };
    let tenants = tenants::parameters_of_route(written, &config.issuers);
    let parameters = RuleParameters::of_route(&path, tenants.clone());
    let (rules, unusable) = claims::rules(&written.claims, &parameters);
    faults.extend(unusable);
    let rules = ClaimRules::new(rules, &path, tenants);
    let mcp = mcp::compile(written, &path, config, faults);
    let issuers = written
        .issuers
        .iter()
        .map(|name| Arc::from(name.value.as_str()))
        .collect();
    let is_enforced = config.unenforced_by(written).is_none();
    Some(Route {
        hosts,
        path,
        methods: methods?,
        requirement,
        claims: rules,
        mcp,
        issuers,
        resource: None,
        step_up: step_up(written),
        is_enforced,
    })
}

fn compile_forwarding(
    written: &config::Route,
    declaration: Declaration,
    path: &RoutePattern,
    config: &Config,
    shared: &SharedByPaths<'_>,
) -> Result<Forwarding, Box<Fault>> {
    let upstream = match &written.upstream {
        None => NO_UPSTREAM,
        // Undeclared names were refused when the file was read.
        Some(name) => *shared
            .upstreams
            .get(name.value.as_str())
            .ok_or_else(|| name.fault("expected a declared upstream, but found none"))?,
    };
    let hosts: Vec<_> = written
        .host
        .iter()
        .map(|host| host.value.as_str())
        .collect();
    Ok(Forwarding {
        declaration,
        upstream,
        respond: shared.respond.clone(),
        label: path.as_str().into(),
        host: Some(hosts.join(", ").into()).filter(|_| !hosts.is_empty()),
        allow_from: (!written.allow_from.is_empty()).then(|| Networks::new(&written.allow_from)),
        token_from: shared.token_from.clone(),
        limits: shared.limits.clone(),
        strip_segments: match &written.strip_prefix {
            Some(prefix) => segments_to_strip(prefix, path)?,
            None => 0,
        },
        rewrite: paths::rewrite(written, path, config)?.map(Box::new),
        forward_token: matches!(written.forward_token, ForwardToken::Keep),
        close_at_expiry: written.close_at_expiry,
        max_body_size: body_limit(written, config),
        response_timeout: written.response_timeout,
        is_mcp: written.mcp.is_some(),
        reserved: None,
        forwards_verified_only: false,
        set_headers: shared.set_headers.clone(),
        claim_headers: written
            .claim_headers
            .iter()
            .map(claims::header)
            .collect::<Result<_, _>>()?,
        response: shared.response.clone(),
    })
}

fn body_limit(written: &config::Route, config: &Config) -> Option<BodyLimit> {
    let of_server = config.server.max_body_size.bytes();
    let of_route = match written.max_body_size {
        Some(limit) => Some(limit.bytes()?),
        None => mcp::message_limit(written)
            .filter(|limit| of_server.is_none_or(|of_server| *limit < of_server)),
    };
    Some(BodyLimit {
        bytes: of_route.or(of_server)?,
        source: if of_route.is_some() {
            LimitSource::Route
        } else {
            LimitSource::Server
        },
    })
}

fn step_up(written: &config::Route) -> Option<Box<StepUp>> {
    let step_up = written.step_up.as_ref()?;
    let acr = step_up.acr.iter().map(|acr| acr.value.as_str().into());
    Some(Box::new(StepUp::new(acr.collect(), step_up.max_age)))
}

fn or_fault<T>(faults: &mut Vec<Fault>, outcome: Result<T, Box<Fault>>) -> Option<T> {
    outcome.map_err(|fault| faults.push(*fault)).ok()
}
