//! What `response_headers` changes in the response to a request.

use crate::gateway::{DryRunReport, Snapshot};

/// The rules that hold for a response, the upstream's or the gateway's own.
#[derive(Default)]
pub(super) struct ResponseHeaderRules {
    /// Headers that get a value.
    pub(super) set: Vec<(String, String)>,
    /// Headers that are removed.
    pub(super) removed: Vec<String>,
}

impl ResponseHeaderRules {
    /// The rules for the route of this report. A malformed request has none.
    pub(super) fn of(report: Option<&DryRunReport>, snapshot: &Snapshot) -> Self {
        let route = report.and_then(|report| report.route);
        let rules = route.map_or(&snapshot.unrouted_response, |route| {
            &snapshot.forwarding[route].response
        });
        let mut found = Self::default();
        for (name, value) in &rules.headers {
            match value {
                // Printable ASCII, as the compiler of the configuration guarantees.
                Some(value) => found.set.push((
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )),
                None => found.removed.push(name.to_string()),
            }
        }
        found
    }
}
