//! The metadata of protected resources (RFC 9728 §3).
//!
//! 1. Everything in it comes from the file. The `Host` of a request selects a document, and nothing
//!    of the request gets into one.
//! 2. Anybody may read it, scripts of every page included: it says where to get a token.

use std::collections::HashMap;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::policy::route_table::RouteTable;

/// The methods of the metadata.
pub(super) const METHODS: &str = "GET, HEAD";

/// The metadata of all resources, by path.
#[derive(Debug, Default)]
pub struct ResourceDocuments {
    by_path: HashMap<Box<str>, Vec<ResourceDocument>>,
}

/// The metadata of one resource.
#[derive(Debug)]
pub struct ResourceDocument {
    /// The identifier of the resource.
    pub url: Box<str>,
    /// Its host.
    pub host: Box<str>,
    /// The host pattern whose routes serve that host; none if those for any host do.
    pub host_pattern: Option<Box<str>>,
    /// Whether it names an authorization server.
    pub names_authorization_server: bool,
    /// The document as JSON.
    pub body: Bytes,
    /// A tag that changes with the document.
    pub etag: HeaderValue,
}

impl ResourceDocuments {
    /// Adds a document at this path, which ends without a slash.
    pub(super) fn insert(&mut self, path: &str, document: ResourceDocument) {
        let same_path = self.by_path.entry(path.into()).or_default();
        same_path.push(document);
    }

    /// Whether a document is at this path, for some host.
    pub(super) fn is_at(&self, path: &str) -> bool {
        self.by_path
            .contains_key(path.strip_suffix('/').unwrap_or(path))
    }

    /// The document of the resource with this identifier.
    #[must_use]
    pub fn of(&self, url: &str) -> Option<&ResourceDocument> {
        let mut documents = self.by_path.values().flatten();
        documents.find(|document| *document.url == *url)
    }

    /// The document that a request for this host and path reads.
    ///
    /// A resource may have a path in common with one of another host. Where its routes serve more
    /// hosts than its own, so does its metadata: the gateway may be reached by an internal name.
    #[must_use]
    pub fn find(&self, routes: &RouteTable, host: &str, path: &str) -> Option<&ResourceDocument> {
        let same_path = self.by_path.get(path.strip_suffix('/').unwrap_or(path))?;
        if let Some(own) = same_path.iter().find(|document| *document.host == *host) {
            return Some(own);
        }
        let pattern = routes.host_pattern(host);
        let mut alike = same_path
            .iter()
            .filter(|document| document.host_pattern.as_deref() == pattern);
        alike.next().filter(|_| alike.next().is_none())
    }
}

impl ResourceDocument {
    /// The response to a GET or HEAD with these headers.
    pub(super) fn respond(&self, method: &Method, request: &HeaderMap) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let is_unchanged = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|tags| names_tag(tags, &self.etag));
        if is_unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else if *method != Method::HEAD {
            *response.body_mut() = self.body.clone();
        }
        let headers = response.headers_mut();
        if *method == Method::HEAD && !is_unchanged {
            // That of a GET (RFC 9110 §8.6).
            let length = HeaderValue::from(self.body.len());
            headers.insert(header::CONTENT_LENGTH, length);
        }
        if !is_unchanged {
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
        headers.insert(header::ETAG, self.etag.clone());
        // Short: a client that reads an old document asks for the wrong scopes.
        let caching = HeaderValue::from_static("public, max-age=300");
        headers.insert(header::CACHE_CONTROL, caching);
        allow_any_origin(headers);
        response
    }
}

/// The response to a preflight for a document.
pub(super) fn respond_to_preflight() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_any_origin(headers);
    let methods = HeaderValue::from_static(METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("MCP-Protocol-Version");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    let max_age = HeaderValue::from_static("7200");
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
    response
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
}

// A weak tag is as good as a strong one here (RFC 9110 §13.1.2).
fn names_tag(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    tags.as_bytes().split(|byte| *byte == b',').any(|tag| {
        let tag = tag.trim_ascii();
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        tag == b"*" || tag == etag.as_bytes()
    })
}
