//! The limits of one route.

use std::sync::Arc;

/// The limits that the requests of a route count in.
#[derive(Debug)]
pub struct RouteLimits {
    /// Indices of those by address or route, in [`super::Snapshot::limits`].
    pub before_token: Box<[usize]>,
    /// Indices of those that need a verified token.
    pub after_token: Box<[usize]>,
    /// Whether one of them is by address.
    pub needs_address: bool,
    /// The route, for limits by route: hosts, methods and paths as they are written.
    pub route: Arc<str>,
}
