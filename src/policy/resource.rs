//! Protected resources: the routes below a URL accept tokens for that URL only (RFC 9728, RFC 8707).
//!
//! 1. The audience is judged for each request: one cached token may be for one route and not for
//!    another.
//! 2. A token without an audience is for no resource.

use super::host::{HostError, normal_host};
use super::pattern::{RoutePattern, RoutePatternError, Segment};
use crate::oauth::claims::{ActiveToken, ClaimsError};

/// A protected resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier.
    pub url: Box<str>,
    /// Its scheme, host and port.
    pub origin: Box<str>,
    /// The accepted audiences.
    pub audiences: Vec<String>,
    /// Where its metadata is (RFC 9728 §3.1).
    pub metadata_url: Box<str>,
    /// Its host, normalized.
    pub host: Box<str>,
    /// The segments of its path, without an empty last one.
    pub(super) segments: Vec<Segment>,
}

/// Why a path or a host is not that of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// No request has this path.
    #[error(transparent)]
    Path(#[from] RoutePatternError),
    /// No request has this host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// The well-known path of the metadata (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Resource {
    /// The resource of this identifier, which is the URL with this origin, host and path.
    ///
    /// # Errors
    /// See [`ResourceError`].
    pub fn new(
        identifier: &str,
        origin: &str,
        host: &str,
        path: &str,
        further_audiences: impl IntoIterator<Item = String>,
    ) -> Result<Self, ResourceError> {
        let mut segments = RoutePattern::parse(path)?.segments;
        if matches!(segments.last(), Some(Segment::Literal(last)) if last.is_empty()) {
            segments.pop();
        }
        let mut audiences = vec![identifier.to_owned()];
        if path == "/" {
            // `https://api.example.com` and `https://api.example.com/` are one URL.
            audiences.push(match identifier.strip_suffix('/') {
                Some(bare) => bare.to_owned(),
                None => format!("{identifier}/"),
            });
        }
        audiences.extend(further_audiences);
        let suffix = if path == "/" { "" } else { path };
        Ok(Self {
            url: identifier.into(),
            origin: origin.into(),
            audiences,
            metadata_url: format!("{origin}{WELL_KNOWN}{suffix}").into(),
            host: normal_host(host)?.into(),
            segments,
        })
    }

    /// Whether `path` begins with the path of the resource.
    #[must_use]
    pub fn covers(&self, path: &RoutePattern) -> bool {
        path.segments.starts_with(&self.segments)
    }

    /// Whether `path` is the path of the resource, a trailing slash aside.
    #[must_use]
    pub fn is_at(&self, path: &RoutePattern) -> bool {
        let is_empty =
            |segment: &Segment| matches!(segment, Segment::Literal(last) if last.is_empty());
        let segments = match path.segments.split_last() {
            Some((last, others)) if is_empty(last) => others,
            Some(_) | None => &path.segments,
        };
        *segments == *self.segments
    }

    /// Whether both are at the same host and path, a trailing slash aside.
    #[must_use]
    pub fn is_at_the_place_of(&self, other: &Self) -> bool {
        self.host == other.host && self.segments == other.segments
    }

    /// Whether the token was issued for this resource.
    ///
    /// # Errors
    /// What the token has as its audience instead.
    pub fn check_audience(&self, token: &ActiveToken) -> Result<(), ClaimsError> {
        token.check_audience(&self.audiences)
    }
}
