//! Why an upstream sent no response.

use std::error::Error;
use std::io;
use std::sync::Arc;

/// Why there is no response from the upstream. If the request body has a
/// [fault](super::RequestBodyProgress::fault), the client has caused it.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to {target}: {source}")]
    Connect {
        /// Host and port.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// No connection, because this machine lacks a descriptor, a port or memory.
    #[error("cannot open a socket to {target}: {source}")]
    LocalSocket {
        /// Host and port.
        target: String,
        /// Why, and the remedy.
        source: io::Error,
    },
    /// No connection within `connect_timeout`.
    #[error("cannot connect to {target}: no connection within connect_timeout")]
    ConnectTimedOut {
        /// Host and port.
        target: String,
    },
    /// The connection ended before a whole response head, or what arrived was not HTTP.
    #[error("{target} broke off before a response: {source}")]
    Broken {
        /// Host and port.
        target: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A 101 over HTTP/2, without a protocol that was requested, or before the whole request.
    #[error(
        "expected {target} to switch to a requested protocol, over HTTP/1.1 and after the whole \
         request, but found another 101"
    )]
    NotSwitched {
        /// Host and port.
        target: String,
    },
    /// Every endpoint is ejected or unhealthy.
    #[error("every endpoint of {upstream} is ejected or unhealthy")]
    NoTarget {
        /// The upstream's name in gateway.toml.
        upstream: Arc<str>,
    },
    /// No response head within `response_timeout`, or nothing of the request was read within
    /// `body_idle_timeout`.
    #[error(
        "{target} sent no response within response_timeout, or did not read the request within \
         body_idle_timeout"
    )]
    TimedOut {
        /// Host and port.
        target: String,
    },
}
