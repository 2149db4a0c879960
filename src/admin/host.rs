//! Refuses requests whose Host is not the admin listener's.
//!
//! Otherwise a page in an operator's browser could read the responses by DNS rebinding.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, Version};
use http_body_util::Full;

use super::{Admin, text_response};
use crate::clock;
use crate::gateway::{self, Inadmissible};

/// Paths for probes and Prometheus, which reach the listener by any name if `hosts` is not set.
const ANY_HOST_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// Bounds the log: anyone who can reach the listener can be refused.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl Admin {
    /// The refusal of a request for another host (421, RFC 9110 §15.5.20).
    pub(super) fn misdirected(&self, parts: &Parts) -> Option<Response<Full<Bytes>>> {
        let host = match gateway::host(parts) {
            Ok(host) => host,
            // Load balancers may still ask so (RFC 1945), and no browser does.
            Err(Inadmissible::NoHost) if parts.version == Version::HTTP_10 => return None,
            Err(error) => {
                return Some(text_response(StatusCode::BAD_REQUEST, format!("{error}\n")));
            }
        };
        let snapshot = self.shared_snapshot.load();
        let known = &snapshot.admin_hosts;
        if known.contains(&host)
            || !known.are_listed() && ANY_HOST_PATHS.contains(&parts.uri.path())
        {
            return None;
        }
        if self.misdirected.admit(clock::now()).is_some() {
            tracing::warn!(%host, "admin request rejected: Host is not in admin.hosts");
        }
        let expected = "expected an IP address, localhost or a name of admin.hosts as Host\n";
        Some(text_response(
            StatusCode::MISDIRECTED_REQUEST,
            expected.to_owned(),
        ))
    }
}
