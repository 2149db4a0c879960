//! `[[resources]]`: protected resources (RFC 9728).

use serde_json::json;
use toml::de::DeValue;
use url::{Host, Url};

use super::addresses::{self, read_url};
use super::declare::table;
use super::mismatch::{Mismatch, expected};
use super::read::Table;
use super::reference::{Description, key};
use super::report::Spanned;
use super::scalars::text;
use super::value_type::{ValueType, value_type};

table! {
    /// A protected resource (RFC 9728). It applies to the routes below its URL, which then accept
    /// tokens for this resource only. The gateway publishes its metadata, so that clients find the
    /// authorization servers and the scopes.
    pub struct Resource {
        fn read(table) -> Option<Self>;

        /// The identifier of the resource, which clients compare exactly: an https URL, or an http
        /// one on a loopback host, without query and fragment. It is the accepted `aud` of tokens
        /// for the routes below it. If its path is empty, `/` at the end makes no difference there.
        /// Example: `url = "https://api.example.com/mcp"`
        pub url: Spanned<ResourceUrl> = required(resource_url(), "the URL of the resource"),
        /// Accepted values of `aud` beside `url`. Without it, `url` alone is accepted.
        /// Example: `audiences = ["https://api.example.com"]`
        pub audiences: Vec<Spanned<String>> = list(text(), 1),
        /// Name of the resource for people (`resource_name`). Without it, the metadata has none.
        /// Example: `name = "Example tools"`
        pub name: Option<Spanned<String>> = optional(text()),
        /// Scopes that the metadata names. Without it, those of the routes below the URL, except
        /// scopes with parameters or wildcards.
        /// Example: `scopes = ["mcp.use", "mcp.admin"]`
        pub scopes: Vec<Spanned<String>> = list(text(), 1),
        /// URL of the documentation for developers (`resource_documentation`). Without it, the
        /// metadata has none.
        /// Example: `documentation = "https://docs.example.com/tools"`
        pub documentation: Option<Spanned<Url>> = optional(addresses::url()),
    }
}

/// The identifier of a resource, in its only spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceUrl {
    /// As it is written: clients compare it exactly.
    pub identifier: String,
    /// The same as a URL.
    pub url: Url,
}

const RESOURCE: &str = "^https?://[^?#]+$";

fn resource_url() -> impl ValueType<ResourceUrl> {
    value_type(read, || Description::pattern("URL", RESOURCE))
}

fn read(value: &DeValue<'_>) -> Result<ResourceUrl, Mismatch> {
    let url = read_url(value)?;
    let written = value.as_str().unwrap_or_default();
    if url.query().is_some() {
        return Err(expected("a URL without a query").with_help(
            "a query is no part of a route, so the resource is all requests below the path",
        ));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(expected("an https URL, or an http URL of a loopback host")
            .with_help("tokens and metadata must not travel over http"));
    }
    if url.port() == Some(0) {
        return Err(expected("a URL with a port that clients can use"));
    }
    // Clients and authorization servers compare identifiers as strings. A second spelling of the
    // same URL would be another audience to them.
    let canonical = url.as_str();
    let without_slash = canonical.strip_suffix('/').filter(|_| url.path() == "/");
    if written != canonical && Some(written) != without_slash {
        let proposed = without_slash.unwrap_or(canonical);
        return Err(expected("the usual spelling of a URL")
            .with_help(format!("did you mean {proposed:?}?")));
    }
    Ok(ResourceUrl {
        identifier: written.to_owned(),
        url,
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Reads all resources. Only a file that has some may omit the `audience` of an issuer.
pub(super) fn resources(table: &mut Table<'_>) -> Vec<Resource> {
    let key = key(
        "resources",
        "Protected resources (RFC 9728): their metadata, and the audience of the routes below them.",
    );
    table.rule(|| {
        json!({
            "if": {"required": ["resources"]},
            "else": {"properties": {"issuers": {"additionalProperties": {"required": ["audience"]}}}},
        })
    });
    table.tables(key, Resource::read)
}
