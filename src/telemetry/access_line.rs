//! The fields of one request's line in the access log.

use std::time::Duration;

use super::labels::version_label;
use super::line::{Line, name};
use super::record::Record;
use crate::client_limits::PeerCredentials;
use crate::oauth::claims::ActiveToken;

/// Bytes of a method that are logged. A client may send one as long as a request head.
const MAX_METHOD: usize = 32;

/// Writes the fields of one request's line.
pub(super) fn write(line: &mut Line<'_>, record: &Record, duration: Duration) {
    let (token, names, settings) = (record.token.as_deref(), record.names.as_deref(), record.log);
    line.word(name!("method"), shortened(record.method.as_str()));
    line.optional(name!("host"), names.and_then(|names| names.host.as_deref()));
    line.optional(name!("route"), record.route_label());
    line.optional(name!("path"), record.path.as_deref());
    if let Some(operation) = record.route.operation() {
        line.text(name!("mcp_method"), &operation.method);
        line.optional(name!("mcp_name"), operation.name.as_deref());
    }
    if let Some(status) = record.status {
        line.number(name!("status"), status.as_u16().into());
    }
    if record.is_incomplete {
        line.word(name!("response"), "incomplete");
    }
    line.text(name!("decision"), record.outcome.decision());
    line.optional(name!("reason"), record.outcome.reason());
    line.optional(name!("cause"), record.cause.as_deref());
    line.optional(name!("missing_scope"), record.missing_scope.as_deref());
    line.optional(
        name!("issuer"),
        token
            .map(ActiveToken::issuer_name)
            .or(record.issuer.as_deref()),
    );
    line.optional(
        name!("client_id"),
        token
            .filter(|_| settings.client_id)
            .and_then(ActiveToken::client_id),
    );
    line.optional(
        name!("subject"),
        token
            .filter(|_| settings.subject)
            .and_then(ActiveToken::subject),
    );
    line.address(name!("client"), record.client);
    if let Some(peer) = record.peer {
        write_peer(line, peer);
    }
    if record.is_forwarded {
        line.optional(name!("upstream"), names.map(|names| &*names.upstream));
    }
    line.optional(name!("http_version"), version_label(record.version));
    line.number(
        name!("duration_us"),
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
    );
    line.number(name!("request_bytes"), record.request_bytes);
    line.number(name!("response_bytes"), record.response_bytes);
    if let Some(trace) = &record.trace {
        line.text(name!("trace_id"), &format!("{:032x}", trace.id));
    }
    line.optional(
        name!("request_id"),
        record.request_id.as_ref().and_then(|id| id.to_str().ok()),
    );
}

fn write_peer(line: &mut Line<'_>, peer: PeerCredentials) {
    line.number(name!("peer_uid"), peer.uid.into());
    line.number(name!("peer_gid"), peer.gid.into());
    if let Some(pid) = peer.pid {
        line.number(name!("peer_pid"), pid.into());
    }
}

// A method is ASCII.
fn shortened(method: &str) -> &str {
    method.get(..MAX_METHOD).unwrap_or(method)
}
