//! Whether a request was meant for the admin listener: that is what its Host says.
//!
//! A page in the browser of an operator could otherwise read what the listener tells, by DNS rebinding.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, Version};
use http_body_util::Full;

use super::{Admin, text};
use crate::clock;
use crate::gateway::{self, Inadmissible};

/// What probes and Prometheus ask for, under names that nobody told us where `hosts` is not set.
const FOR_ANY_HOST: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// How often it is logged that requests are refused: anyone who can reach the listener could fill the log.
pub(super) const LOGGED_EACH: Duration = Duration::from_secs(60);

impl Admin {
    /// Refuses a request that was meant for another host.
    pub(super) fn misdirected(&self, parts: &Parts) -> Option<Response<Full<Bytes>>> {
        let host = match gateway::host(parts) {
            Ok(host) => host,
            // Load balancers may still ask so (RFC 1945), and no browser does.
            Err(Inadmissible::NoHost) if parts.version == Version::HTTP_10 => return None,
            Err(error) => return Some(text(StatusCode::BAD_REQUEST, format!("{error}\n"))),
        };
        let snapshot = self.publisher.load();
        let known = &snapshot.admin_hosts;
        if known.contains(&host) || !known.are_listed() && FOR_ANY_HOST.contains(&parts.uri.path())
        {
            return None;
        }
        if self.misdirected.admit(clock::now()).is_some() {
            tracing::warn!(%host, "admin request refused: its Host is not in admin.hosts");
        }
        let told = "expected an IP address, localhost or a name of admin.hosts as Host\n";
        Some(text(StatusCode::MISDIRECTED_REQUEST, told.to_owned()))
    }
}
