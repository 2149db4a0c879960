//! What the configuration changes in the headers of responses, those of refusals included.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderValue};

use crate::policy::cors::{self, CorsPolicy};

/// The rules for the responses of one route, or of requests without one.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    /// Which pages of other origins may read the responses; none to leave CORS to the upstream.
    pub cors: Option<Arc<CorsPolicy>>,
}

impl ResponseRules {
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
    }
}
