//! Claims of the token as headers of the upstream request: `claim_headers` of a route.
//!
//! The upstream identifies the client by these headers. A claim that a header cannot express
//! exactly is omitted. The client's own header of that name is always removed first.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};

use crate::oauth::claims::{ActiveToken, ClaimReference, InexactClaim};
use crate::telemetry::Throttle;
use crate::values::ClaimFormat;

/// How often an omitted header is logged at most: any token may cause one with each request.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// One of `claim_headers`.
#[derive(Debug)]
pub struct ClaimHeader {
    name: HeaderName,
    claim: ClaimReference,
    format: ClaimFormat,
    omitted: Throttle,
}

/// A header that a request went without.
#[derive(Clone, Debug)]
pub struct OmittedClaim {
    /// The header.
    pub header: HeaderName,
    /// The claim.
    pub claim: String,
    /// What a header cannot express.
    pub found: InexactClaim,
}

impl ClaimHeader {
    /// A header that has the value of a claim.
    #[must_use]
    pub fn new(name: HeaderName, claim: ClaimReference, format: ClaimFormat) -> Self {
        Self {
            name,
            claim,
            format,
            omitted: Throttle::new(LOG_INTERVAL),
        }
    }

    /// The header that it sets.
    pub(super) fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Logs, at most once per [`LOG_INTERVAL`], that a request of `route` went without this header.
    pub(super) fn log_omitted(&self, route: &str, found: InexactClaim, now: Instant) {
        if let Some(earlier) = self.omitted.admit(now) {
            // Never the value: it may name a person.
            let (header, claim, requests) = (self.name.as_str(), self.claim.as_str(), earlier + 1);
            tracing::warn!(route, header, claim, %found, requests, "claim header omitted");
        }
    }

    /// The same for `scopegate explain`.
    pub(super) fn omitted(&self, found: InexactClaim) -> OmittedClaim {
        OmittedClaim {
            header: self.name.clone(),
            claim: self.claim.to_string(),
            found,
        }
    }

    /// The value for this token, if it has the claim.
    ///
    /// # Errors
    /// A header cannot express the claim's value.
    pub(super) fn value(&self, token: &ActiveToken) -> Result<Option<HeaderValue>, InexactClaim> {
        let value = match self.format {
            ClaimFormat::Text => token
                .claim_as_text(&self.claim)?
                .map(|text| HeaderValue::from_bytes(text.as_bytes())),
            ClaimFormat::Json => token.claim_as_json(&self.claim)?.map(HeaderValue::try_from),
        };
        // Defence in depth: claims with control characters were refused above.
        value.transpose().map_err(|_| InexactClaim::Control)
    }
}
