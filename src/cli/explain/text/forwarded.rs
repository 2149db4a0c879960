//! The request that the upstream gets.

use crate::cli::explain::forwarded::ForwardedSummary;
use crate::gateway::OmittedClaim;
use crate::oauth::claims::InexactClaim;

/// What the upstream gets, and how it differs from what the client sent.
pub(super) fn render(sent: &ForwardedSummary) -> String {
    let mut text = String::new();
    let ForwardedSummary {
        upstream,
        targets,
        method,
        path,
        response_timeout,
        max_body_size,
        added,
        removed,
        omitted_claims,
    } = sent;
    text.push_str(&format!(
        "It would pass to upstream {upstream} ({}) as {method} {path}\n",
        targets.join(", ")
    ));
    if let Some(timeout) = response_timeout {
        text.push_str(&format!("  response_timeout: {timeout:?}\n"));
    }
    if let Some(bytes) = max_body_size {
        text.push_str(&format!("  max_body_size: {bytes} bytes\n"));
    }
    for (name, value) in added {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    if !removed.is_empty() {
        text.push_str(&format!("  without {}\n", removed.join(", ")));
    }
    for OmittedClaim {
        header,
        claim,
        found,
    } in omitted_claims
    {
        let remedy = if *found == InexactClaim::Number {
            ""
        } else {
            " (see format of claim_headers)"
        };
        text.push_str(&format!(
            "  without {header}: claim {claim:?} is or has {found}{remedy}\n"
        ));
    }
    text
}
