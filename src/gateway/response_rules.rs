//! What the configuration changes in the headers of responses, those of refusals included.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::policy::cors::{self, CorsPolicy};

/// The rules for the responses of one route, or of requests without one.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    /// Which pages of other origins may read the responses; none to leave CORS to the upstream.
    pub cors: Option<Arc<CorsPolicy>>,
    /// Headers that get a value, or are removed.
    pub headers: Box<[(HeaderName, Option<HeaderValue>)]>,
}

/// Room for the headers that an upstream usually sends, and for those that are added. A header map
/// that grows is hashed again.
const CAPACITY: usize = 12;

impl ResponseRules {
    /// Makes room for the headers of a response, if these rules add to them.
    #[inline]
    pub(super) fn reserve(&self, response: &mut HeaderMap) {
        if self.cors.is_some() || !self.headers.is_empty() {
            response.reserve(CAPACITY);
        }
    }

    /// Applies them to a response; `is_forwarded` says that it is the upstream's.
    pub(super) fn apply(
        &self,
        origin: Option<&HeaderValue>,
        is_forwarded: bool,
        response: &mut HeaderMap,
    ) {
        if let Some(policy) = &self.cors {
            if is_forwarded {
                cors::remove_headers(response);
            }
            policy.add_headers(origin, response);
        }
        for (name, value) in &self.headers {
            match value {
                Some(value) => _ = response.insert(name, value.clone()),
                None => _ = response.remove(name),
            }
        }
    }
}
