//! `[cors]` and `cors` of routes.

use std::sync::Arc;

use http::HeaderValue;

use super::header_name;
use crate::config::{self, Fault, RouteCors};
use crate::policy::cors::{AllowedHeaders, CorsPolicy, joined};

/// Compiles a table; none where there is none, or where it is faulty.
pub(super) fn compile(
    written: Option<&config::Cors>,
    faults: &mut Vec<Fault>,
) -> Option<Arc<CorsPolicy>> {
    let written = written?;
    let before = faults.len();
    let names = written.headers.iter().chain(&written.expose);
    faults.extend(names.filter_map(|name| header_name(name).err().map(|fault| *fault)));
    let origins = written.origins.iter().map(|origin| origin.value.as_str());
    let mut policy = CorsPolicy::for_origins(origins, written.credentials)
        .map_err(|(index, error)| faults.push(written.origins[index].fault(error.to_string())))
        .ok()?;
    if faults.len() > before {
        return None;
    }
    let headers = written.headers.iter().map(|name| name.value.as_str());
    let expose: Vec<_> = written
        .expose
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    policy.headers = AllowedHeaders::parse(headers).ok()?;
    policy.expose = (!expose.is_empty()).then(|| joined(&expose));
    policy.max_age = HeaderValue::from(written.max_age.as_secs());
    Some(Arc::new(policy))
}

/// The policy of a route.
pub(super) fn of_route(
    written: &config::Route,
    inherited: Option<&Arc<CorsPolicy>>,
    faults: &mut Vec<Fault>,
) -> Option<Arc<CorsPolicy>> {
    match &written.cors {
        RouteCors::Inherited => inherited.cloned(),
        RouteCors::Off => None,
        RouteCors::Own(own) => compile(Some(own), faults),
    }
}
