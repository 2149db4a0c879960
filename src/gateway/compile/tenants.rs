//! `tenants` of issuers: templates, names, and where the keys of each tenant are.

use std::collections::HashSet;
use std::sync::Arc;

use url::Url;

use crate::config::{self, Discovery, Fault, KeySource, Spanned, Tenants};
use crate::oauth::tenant::{TenantName, TenantTemplate};
use crate::verify::{AcceptedTenants, TenantKeysPlace, TenantTemplates};

const LIST_OR_ANY: &str =
    "list the tenants in tenants, or set tenants = \"any\" to accept every tenant of this server";

/// The templates of an issuer with tenants; `None` if it has none.
pub(super) fn templates(issuer: &config::Issuer) -> Result<Option<TenantTemplates>, Box<Fault>> {
    let Some(tenants) = &issuer.tenants else {
        for iss in &issuer.issuer {
            refuse_parameters(iss, &iss.value, "issuer")?;
        }
        if let Some(KeySource::Uri(url)) = &issuer.keys {
            refuse_parameters(url, &written(&url.value), "jwks_uri")?;
        }
        if let Discovery::At(url) = &issuer.discovery {
            refuse_parameters(&issuer.name, &written(url), "discovery")?;
        }
        return Ok(None);
    };
    let mut issuers: Vec<TenantTemplate> = Vec::new();
    for written in &issuer.issuer {
        let template = template(written, &written.value)?.ok_or_else(|| {
            let message = format!(
                "expected a URL with a parameter for the tenant, but found {:?}",
                written.value
            );
            let help = "write the segment of the tenant as a parameter, such as {tenant}, or remove tenants";
            written.fault(message).with_help(help)
        })?;
        if let Some(first) = issuers.first() {
            check_parameter(written, &template, first.parameter())?;
        }
        if let Some(url) = issuers
            .iter()
            .find_map(|one| one.shared_with(&template, || None))
        {
            let message = format!(
                "expected issuers of which each URL fits one, but found {url:?}, which fits two"
            );
            return Err(Box::new(written.fault(message)));
        }
        issuers.push(template);
    }
    let accepted = match tenants {
        Tenants::Any(_) => AcceptedTenants::Any,
        Tenants::Listed(names) => AcceptedTenants::Listed(listed(names, issuer.max_tenants)?),
    };
    Ok(Some(TenantTemplates { issuers, accepted }))
}

/// The parameter that stands for the tenants of an issuer, if it has some.
pub(super) fn parameter(issuer: &config::Issuer) -> Option<Arc<str>> {
    issuer.tenants.as_ref()?;
    let first = TenantTemplate::parse(&issuer.issuer.first()?.value).ok()??;
    Some(Arc::clone(first.parameter()))
}

/// The parameters that stand for the tenants of the issuers that a route accepts.
pub(super) fn parameters_of_route(
    route: &config::Route,
    issuers: &[config::Issuer],
) -> Vec<Arc<str>> {
    let is_accepted = |issuer: &&config::Issuer| route.takes_issuer(&issuer.name.value);
    let mut parameters: Vec<_> = issuers
        .iter()
        .filter(is_accepted)
        .filter_map(parameter)
        .collect();
    parameters.sort_unstable();
    parameters.dedup();
    parameters
}

/// A name of an issuer without tenants that is also the `iss` of a tenant, if there is one.
pub(super) fn literal_tenant(
    templates: &TenantTemplates,
    issuer: &config::Issuer,
) -> Option<String> {
    let mut names = issuer.issuer.iter().map(|iss| &iss.value);
    names
        .find(|iss| templates.tenant_of(iss).is_some())
        .cloned()
}

/// An `iss` of a tenant of both, if there is one.
pub(super) fn shared_iss(one: &TenantTemplates, other: &TenantTemplates) -> Option<String> {
    let pairs = one.issuers.iter().flat_map(|template| {
        let others = other.issuers.iter();
        others.map(move |other| (template, other))
    });
    let urls = pairs.filter_map(|(template, of_other)| {
        template.shared_with(of_other, || shared_tenant(&one.accepted, &other.accepted))
    });
    let mut urls = urls.filter(|url| {
        [one, other]
            .iter()
            .all(|templates| templates.tenant_of(url).is_some())
    });
    urls.next()
}

fn shared_tenant(one: &AcceptedTenants, other: &AcceptedTenants) -> Option<TenantName> {
    match (one, other) {
        (AcceptedTenants::Any, AcceptedTenants::Any) => TenantName::parse("any-tenant").ok(),
        (AcceptedTenants::Listed(names), AcceptedTenants::Any)
        | (AcceptedTenants::Any, AcceptedTenants::Listed(names)) => names.iter().min().cloned(),
        (AcceptedTenants::Listed(names), AcceptedTenants::Listed(others)) => {
            names.intersection(others).min().cloned()
        }
    }
}

/// Where the keys of each tenant are.
pub(super) fn keys_place(
    issuer: &config::Issuer,
    source: &KeySource,
    templates: &TenantTemplates,
) -> Result<TenantKeysPlace, Box<Fault>> {
    if let KeySource::Uri(url) = source {
        let template = url_template(url, &url.value, templates)?;
        let shared = || TenantKeysPlace::Shared(url.value.to_string());
        return Ok(template.map_or_else(shared, TenantKeysPlace::OfTenant));
    }
    let Discovery::At(url) = &issuer.discovery else {
        return Ok(TenantKeysPlace::Discovered(None));
    };
    match url_template(&issuer.name, url, templates)? {
        Some(template) => Ok(TenantKeysPlace::Discovered(Some(template))),
        None => {
            let parameter = templates
                .issuers
                .first()
                .map(|one| one.parameter().to_string());
            let message = format!(
                "expected {{{}}} in the URL of discovery, but found none",
                parameter.unwrap_or_default()
            );
            let help = "each tenant has metadata of its own";
            Err(Box::new(issuer.name.fault(message).with_help(help)))
        }
    }
}

fn listed(names: &[Spanned<String>], max: usize) -> Result<HashSet<TenantName>, Box<Fault>> {
    if let Some(beyond) = names.get(max) {
        let message = format!(
            "expected at most {max} tenants (max_tenants), but found {}",
            names.len()
        );
        return Err(Box::new(beyond.fault(message)));
    }
    let mut listed = HashSet::new();
    for written in names {
        let name = TenantName::parse(&written.value).map_err(|error| {
            let found = crate::text::truncated(&written.value);
            Box::new(written.fault(format!("{error}, but found {found:?}")))
        })?;
        if !listed.insert(name) {
            let message = format!(
                "expected each tenant once, but found {:?} again",
                written.value
            );
            return Err(Box::new(written.fault(message)));
        }
    }
    Ok(listed)
}

// A reader of the file would take it for a template, and no token has such an `iss`.
fn refuse_parameters<T>(place: &Spanned<T>, text: &str, key: &str) -> Result<(), Box<Fault>> {
    let braces = text
        .split_once('{')
        .and_then(|(_, inner)| inner.split_once('}'));
    let Some((name, _)) = braces else {
        return Ok(());
    };
    let message = format!("expected tenants beside {{{name}}} in {key}, but found none");
    Err(Box::new(place.fault(message).with_help(LIST_OR_ANY)))
}

// Reading a URL has encoded the braces in its path.
fn written(url: &Url) -> String {
    url.as_str().replace("%7B", "{").replace("%7D", "}")
}

fn template<T>(place: &Spanned<T>, text: &str) -> Result<Option<TenantTemplate>, Box<Fault>> {
    TenantTemplate::parse(text).map_err(|error| Box::new(place.fault(error.to_string())))
}

fn url_template<T>(
    place: &Spanned<T>,
    url: &Url,
    templates: &TenantTemplates,
) -> Result<Option<TenantTemplate>, Box<Fault>> {
    let template = template(place, &written(url))?;
    if let Some((template, first)) = template.as_ref().zip(templates.issuers.first()) {
        check_parameter(place, template, first.parameter())?;
    }
    Ok(template)
}

fn check_parameter<T>(
    place: &Spanned<T>,
    template: &TenantTemplate,
    expected: &Arc<str>,
) -> Result<(), Box<Fault>> {
    let found = template.parameter();
    if found == expected {
        return Ok(());
    }
    let message = format!("expected {{{expected}}}, as in the first issuer, but found {{{found}}}");
    Err(Box::new(place.fault(message)))
}

#[cfg(test)]
mod tests;
