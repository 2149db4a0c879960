//! `[[resources]]`.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{self, Audience, Config, Fault, Spanned, Tenants};
use crate::gateway::resource_metadata::{ResourceDocument, ResourceDocuments};
use crate::gateway::snapshot::Declaration;
use crate::oauth::scope::check_scope_token;
use crate::oauth::tenant::{TenantName, TenantTemplate};
use crate::policy::path::NormalPath;
use crate::policy::requirement::Requirement;
use crate::policy::resource::Resource;
use crate::policy::resource_routes;
use crate::policy::route::Route;
use crate::policy::route_table::RouteTable;
use crate::values::PathParameters;

/// The member that names the authorization servers.
const SERVERS: &str = "authorization_servers";

/// Compiles each resource. A faulty one is left out.
pub(super) fn compile(config: &Config, faults: &mut Vec<Fault>) -> Vec<Arc<Resource>> {
    let mut compiled: Vec<(Arc<Resource>, &config::Resource)> = Vec::new();
    for written in &config.resources {
        faults.extend(unusable_scopes(written));
        let resource = match compile_one(written) {
            Ok(resource) => resource,
            Err(fault) => {
                faults.push(*fault);
                continue;
            }
        };
        let is_alike = |(other, _): &&(Arc<Resource>, _)| resource.is_at_the_place_of(other);
        if let Some((_, other)) = compiled.iter().find(is_alike) {
            let message = format!(
                "expected a host and path of its own, but found those of {} ({:?})",
                other.url.key(),
                other.url.value.identifier
            );
            let help = "remove one of them: routes know no scheme, no port and no trailing slash";
            faults.push(written.url.fault(message).with_help(help));
            continue;
        }
        compiled.push((Arc::new(resource), written));
    }
    compiled.into_iter().map(|(resource, _)| resource).collect()
}

fn compile_one(written: &config::Resource) -> Result<Resource, Box<Fault>> {
    let url = &written.url.value.url;
    let audiences = written.audiences.iter().map(|name| name.value.clone());
    Resource::new(
        &written.url.value.identifier,
        &url.origin().ascii_serialization(),
        url.host_str().unwrap_or_default(),
        url.path(),
        audiences,
    )
    .map_err(|error| Box::new(written.url.fault(error.to_string())))
}

fn unusable_scopes(written: &config::Resource) -> impl Iterator<Item = Fault> {
    written.scopes.iter().filter_map(|scope| {
        let error = check_scope_token(&scope.value).err()?;
        let message = format!(
            "expected one scope-token, but found {:?} ({error})",
            scope.value
        );
        Some(scope.fault(message))
    })
}

/// Gives each route its resource.
pub(super) fn assign(
    routes: &mut [Route],
    resources: &[Arc<Resource>],
    declared: &[(&config::Route, &Spanned<String>)],
    faults: &mut Vec<Fault>,
) {
    let several = resource_routes::assign(routes, resources)
        .err()
        .unwrap_or_default();
    faults.extend(several.into_iter().map(|several| {
        let (_, path) = declared[several.route];
        let [one, other] = several.urls;
        let message = format!(
            "expected a route below one resource, but found it below {one:?} and {other:?}"
        );
        path.fault(message)
            .with_help("set host to that of one of them, and add a route for the other")
    }));
}

/// The names of the issuers whose tokens a route with a resource accepts.
pub(super) fn issuers_of_resources<'c>(
    config: &'c Config,
    routes: Option<&RouteTable>,
) -> HashSet<&'c str> {
    let routes = routes.map(RouteTable::routes).unwrap_or_default();
    let with_resource = routes
        .iter()
        .filter(|route| route.resource.is_some() && !route.requirement.is_public());
    with_resource
        .flat_map(|route| accepted(config, route))
        .map(|issuer| issuer.name.value.as_str())
        .collect()
}

fn accepted<'c>(config: &'c Config, route: &Route) -> impl Iterator<Item = &'c config::Issuer> {
    config
        .issuers
        .iter()
        .filter(|issuer| route.accepts_issuer(&issuer.name.value))
}

/// Refuses issuers without an audience whose tokens a route without a resource accepts.
pub(super) fn refuse_missing_audiences(
    config: &Config,
    routes: &RouteTable,
    declaration: impl Fn(usize) -> Declaration,
    faults: &mut Vec<Fault>,
) {
    let is_unset = |issuer: &&config::Issuer| matches!(issuer.audience, Audience::OfResources);
    for issuer in config.issuers.iter().filter(is_unset) {
        let by_issuer = routes.routes().iter().position(|route| {
            route.resource.is_none()
                && !route.requirement.is_public()
                && route.accepts_issuer(&issuer.name.value)
        });
        let Some(index) = by_issuer else { continue };
        let Declaration { route, path } = declaration(index);
        let path = &config.routes[route].path[path];
        let message = format!("expected {}, but found nothing", config::AUDIENCE);
        let help = format!(
            "{:?} at {} accepts its tokens and belongs to no resource",
            path.value,
            path.key()
        );
        faults.push(issuer.name.fault(message).with_help(help));
    }
}

/// The metadata of all resources; none without one.
pub(super) fn documents(
    config: &Config,
    routes: &RouteTable,
    resources: &[Arc<Resource>],
    declaration: impl Fn(usize) -> Declaration,
    faults: &mut Vec<Fault>,
) -> Option<Box<ResourceDocuments>> {
    if resources.is_empty() {
        return None;
    }
    let mut documents = ResourceDocuments::default();
    for (written, resource) in config.resources.iter().zip(resources) {
        let Ok(url) = Url::parse(&resource.metadata_url) else {
            continue;
        };
        let Ok(path) = NormalPath::parse(url.path(), PathParameters::Allow) else {
            continue;
        };
        faults.extend(hidden_routes(config, routes, resource, &path, &declaration));
        let document = document(config, routes, written, resource);
        let body = Bytes::from(document.to_string());
        documents.insert(
            path.as_str().trim_end_matches('/'),
            ResourceDocument {
                url: resource.url.clone(),
                host: resource.host.clone(),
                host_pattern: routes.host_pattern(&resource.host).map(Box::from),
                names_authorization_server: document.get(SERVERS).is_some(),
                etag: etag(&body),
                body,
            },
        );
    }
    Some(Box::new(documents))
}

// The gateway answers this path itself, so a route for it would never be used.
fn hidden_routes(
    config: &Config,
    routes: &RouteTable,
    resource: &Resource,
    path: &NormalPath<'_>,
    declaration: &impl Fn(usize) -> Declaration,
) -> Vec<Fault> {
    let same_path = routes.same_path(&resource.host, path).iter();
    let is_literal = |index: &&usize| routes.routes()[**index].path.parameters().len() == 0;
    let fault = |index: &usize| {
        let Declaration { route, path } = declaration(*index);
        let message = format!(
            "expected a path that the gateway does not answer itself, but found the metadata of {:?}",
            resource.url
        );
        let fault = config.routes[route].path[path].fault(message);
        fault.with_help("remove the route, or the entry of [[resources]]")
    };
    same_path.filter(is_literal).map(fault).collect()
}

// Members without a value are left out (RFC 9728 §3.2).
fn document(
    config: &Config,
    routes: &RouteTable,
    written: &config::Resource,
    resource: &Arc<Resource>,
) -> Value {
    let below: Vec<_> = routes
        .routes()
        .iter()
        .filter(|route| {
            !route.requirement.is_public()
                && route
                    .resource
                    .as_ref()
                    .is_some_and(|of_route| Arc::ptr_eq(of_route, resource))
        })
        .collect();
    let servers = authorization_servers(config, &below);
    let scopes = if written.scopes.is_empty() {
        scopes_of(&below)
    } else {
        written
            .scopes
            .iter()
            .map(|scope| scope.value.clone())
            .collect()
    };
    let mut members = Map::new();
    members.insert("resource".to_owned(), json!(resource.url));
    if !servers.is_empty() {
        members.insert(SERVERS.to_owned(), json!(servers));
    }
    if !scopes.is_empty() {
        members.insert("scopes_supported".to_owned(), json!(scopes));
    }
    members.insert("bearer_methods_supported".to_owned(), json!(["header"]));
    if let Some(name) = &written.name {
        members.insert("resource_name".to_owned(), json!(name.value));
    }
    if let Some(url) = &written.documentation {
        members.insert(
            "resource_documentation".to_owned(),
            json!(url.value.as_str()),
        );
    }
    Value::Object(members)
}

// The first `issuer` is the identifier that discovery uses; the others are former names of the same
// server. One that is no URL has no metadata (RFC 8414 §2), so no client could use it. Tenants are
// servers of their own; if all are accepted, there is no list of them.
fn authorization_servers(config: &Config, below: &[&Route]) -> Vec<String> {
    let is_accepted = |issuer: &&config::Issuer| {
        let name = &issuer.name.value;
        below.iter().any(|route| route.accepts_issuer(name))
    };
    let mut servers: Vec<String> = Vec::new();
    for issuer in config.issuers.iter().filter(is_accepted) {
        for identifier in identifiers(issuer) {
            if is_identifier(&identifier) && !servers.contains(&identifier) {
                servers.push(identifier);
            }
        }
    }
    servers
}

fn identifiers(issuer: &config::Issuer) -> Vec<String> {
    let Some(identifier) = issuer.issuer.first().map(|iss| &iss.value) else {
        return Vec::new();
    };
    match (&issuer.tenants, TenantTemplate::parse(identifier)) {
        (Some(Tenants::Listed(names)), Ok(Some(template))) => names
            .iter()
            .filter_map(|name| TenantName::parse(&name.value).ok())
            .map(|name| template.filled(&name))
            .collect(),
        (Some(Tenants::Listed(_) | Tenants::Any(_)) | None, _) => vec![identifier.clone()],
    }
}

/// Whether clients can find an authorization server by this identifier (RFC 8414 §2).
fn is_identifier(iss: &str) -> bool {
    !iss.contains(['{', '}'])
        && Url::parse(iss).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.query().is_none()
                && url.fragment().is_none()
        })
}

// A refresh token is nothing that an API requires, so clients must not take it for a scope of one.
fn scopes_of(below: &[&Route]) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for route in below {
        let Requirement::Token { any_of } = &route.requirement else {
            continue;
        };
        for scope in any_of.iter().flat_map(|set| set.fixed_scopes()) {
            let is_new = !scopes.iter().any(|known| known == scope);
            if is_new && !scope.contains('*') && scope != "offline_access" {
                scopes.push(scope.to_owned());
            }
        }
    }
    scopes
}

fn etag(body: &[u8]) -> HeaderValue {
    let hash = digest::digest(&digest::SHA256, body);
    let hexadecimal: String = hash.as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{hexadecimal}\""))
        .expect("quotes and hexadecimal digits are allowed in a header")
}

#[cfg(test)]
mod tests;
