//! Claims of the token as headers of the request that goes upstream: `claim_headers` of a route.
//!
//! The upstream decides by these headers who the client is. A claim that its header cannot tell exactly is left out; the
//! client's own header of that name is removed before, as on every route.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, Inexact};

/// Any token may bring such a claim with any request: one line in so many seconds tells of all of them.
const SECONDS_BETWEEN_LINES: i64 = 60;

/// One of `claim_headers`.
#[derive(Debug)]
pub struct ClaimHeader {
    name: HeaderName,
    claim: String,
    format: ClaimFormat,
    left_out: LeftOut,
}

/// How a claim's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFormat {
    /// As one text.
    Text,
    /// As compact JSON.
    Json,
}

/// Why a header was left out of a request.
#[derive(Clone, Debug)]
pub struct LeftOutClaim {
    /// The header.
    pub header: HeaderName,
    /// The claim.
    pub claim: String,
    /// What the header cannot tell.
    pub found: Inexact,
}

/// How often it was left out since the last line of the log that tells so.
#[derive(Debug, Default)]
struct LeftOut {
    count: AtomicU64,
    next_line: AtomicI64,
}

impl ClaimHeader {
    /// A header that has the value of a claim.
    #[must_use]
    pub fn new(name: HeaderName, claim: String, format: ClaimFormat) -> Self {
        Self { name, claim, format, left_out: LeftOut::default() }
    }

    /// Sets it by what the token says. `route` is for the log.
    pub(super) fn set(&self, headers: &mut HeaderMap, token: &ActiveToken, route: &str, now: UnixTime) {
        match self.value(token) {
            Ok(Some(value)) => {
                headers.insert(self.name.clone(), value);
            }
            Ok(None) => {}
            Err(found) => {
                if let Some(requests) = self.left_out.is_due(now) {
                    // Never the value: it may name a person.
                    let (header, claim) = (self.name.as_str(), &*self.claim);
                    tracing::warn!(route, header, claim, %found, requests, "claim header left out");
                }
            }
        }
    }

    /// Why it would be left out, where it would.
    pub(super) fn left_out(&self, token: &ActiveToken) -> Option<LeftOutClaim> {
        let found = self.value(token).err()?;
        Some(LeftOutClaim { header: self.name.clone(), claim: self.claim.clone(), found })
    }

    fn value(&self, token: &ActiveToken) -> Result<Option<HeaderValue>, Inexact> {
        let value = match self.format {
            ClaimFormat::Text => token.claim_as_text(&self.claim)?.map(|text| HeaderValue::from_bytes(text.as_bytes())),
            ClaimFormat::Json => token.claim_as_json(&self.claim)?.map(HeaderValue::try_from),
        };
        // Either has control characters only if what is above is wrong.
        value.transpose().map_err(|_| Inexact::Control)
    }
}

impl LeftOut {
    // Counts one; says how many there were, where a line is due.
    fn is_due(&self, now: UnixTime) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let (now, next) = (now.as_seconds(), self.next_line.load(Ordering::Relaxed));
        let later = now.saturating_add(SECONDS_BETWEEN_LINES);
        // A clock that was set back must not silence it for longer.
        let is_due = now >= next || next > later;
        let is_first =
            is_due && self.next_line.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_first.then(|| self.count.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_due_once_a_minute_however_many_are_left_out() {
        let left_out = LeftOut::default();
        let at = |seconds: i64| left_out.is_due(UnixTime::from_seconds(1_800_000_000 + seconds));
        assert_eq!(at(0), Some(1));
        assert!((0..1000).all(|_| at(30).is_none()));
        assert_eq!((at(60), at(61)), (Some(1001), None));
        // The clock was set back.
        assert_eq!(at(-3600), Some(2));
    }
}
