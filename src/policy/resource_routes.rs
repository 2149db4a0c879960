//! Which resource a route belongs to.
//!
//! It is the one with the longest path that the path of the route begins with, segment by segment,
//! if the route serves the host of the resource. The `Host` of a request plays no part.

use std::sync::Arc;

use super::resource::Resource;
use super::route::Route;

/// A route that serves two resources of different hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeveralResources {
    /// The index of the route.
    pub route: usize,
    /// The URLs of the resources.
    pub urls: [Box<str>; 2],
}

/// Gives each route the resource that it belongs to.
///
/// # Errors
/// The routes that belong to several.
pub fn assign(
    routes: &mut [Route],
    resources: &[Arc<Resource>],
) -> Result<(), Vec<SeveralResources>> {
    let mut faults = Vec::new();
    let owners: Vec<_> = resources
        .iter()
        .map(|resource| owner(routes, &resource.host))
        .collect();
    for (index, route) in routes.iter_mut().enumerate() {
        let serves = |owner: &Option<Box<str>>| match owner {
            Some(owner) => route.hosts.iter().any(|host| host.name == *owner),
            None => route.hosts.is_empty(),
        };
        let mut below: Vec<_> = resources
            .iter()
            .zip(&owners)
            .filter(|(resource, owner)| resource.covers(&route.path) && serves(owner))
            .map(|(resource, _)| resource)
            .collect();
        below.sort_by_key(|resource| std::cmp::Reverse(resource.segments.len()));
        let Some(longest) = below.first() else {
            continue;
        };
        // At one host, no two are as long. At two, the host of a request would have to decide.
        let other = below[1..]
            .iter()
            .find(|other| other.host != longest.host && !route.requirement.is_public());
        if let Some(other) = other {
            faults.push(SeveralResources {
                route: index,
                urls: [longest.url.clone(), other.url.clone()],
            });
        }
        route.resource = Some(Arc::clone(longest));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

// The host pattern whose routes serve this host; none if those for any host do.
fn owner(routes: &[Route], host: &str) -> Option<Box<str>> {
    let patterns = routes.iter().flat_map(|route| &route.hosts);
    patterns
        .filter(|pattern| pattern.matches(host))
        .max_by_key(|pattern| (!pattern.is_wildcard(), pattern.name.len()))
        .map(|pattern| pattern.name.clone())
}

#[cfg(test)]
mod tests;
