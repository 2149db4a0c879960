//! Forwards permitted requests to upstreams, and their responses back.
//!
//! Each file imports only those on the floors below its own:
//!
//! | floor | files | what they know |
//! |---|---|---|
//! | 5 | `upstream`, `forwarded_body` | select, connect, exchange, retry |
//! | 4 | `load_balancer`, `ejector`, `retry` | which endpoint gets a request, whether it is ejected, and whether the request is sent again |
//! | 3 | `endpoint`, `shared`, `resolver`, `health_check` | the addresses, their pools and health |
//! | 2 | `connection` | an open connection that exchanges one request for its response |
//! | 1 | `settings`, `error`, `headers`, `request_body`, … | plain data and the bodies of requests |
//!
//! Each worker has its own connections. Workers and the control plane share one [`SharedUpstream`]
//! per upstream. The control plane writes it (see [`start_background_tasks`]); workers read it with
//! atomic loads and lock nothing for a request.
//!
//! [`Upstream::send`] takes a [`Permit`](crate::policy::decision::Permit), which only
//! [`decide`](crate::policy::decision::decide) can make. No request is forwarded undecided.

mod connection;
mod ejector;
mod endpoint;
mod error;
mod forwarded_body;
pub mod headers;
mod health_check;
mod load_balancer;
mod local_error;
mod random;
mod request_body;
mod resolver;
mod retry;
mod settings;
mod shared;
mod stats;
#[expect(
    clippy::module_inception,
    reason = "`Upstream` is what this room is named after"
)]
mod upstream;

use std::sync::Arc;

use crate::transport::Reloadable;

pub use connection::exchange::{OnInterim, UpstreamRequest};
pub use connection::http1::{ResponseParser, ResponsePart};
pub use error::UpstreamError;
pub use forwarded_body::{ForwardedBody, Upload};
pub use request_body::{
    BodyLimit, BodyTooLarge, CutOff, LimitSource, RequestBody, RequestBodyFault,
    RequestBodyProgress,
};
pub use resolver::Resolver;
pub use settings::{HealthCheck, HostHeader, Outlier, Target, TargetAddress, UpstreamSettings};
pub use shared::SharedUpstream;
pub use stats::{TargetReport, UpstreamReport};
pub use upstream::{ResponseDestination, UpgradeResponse, UpgradedConnection, Upstream};

/// Starts the tasks of the control plane for an upstream, on the current runtime: they renew its
/// certificates, look up its names and check its endpoints. They end when the upstream is dropped.
pub fn start_background_tasks(upstream: &Arc<SharedUpstream>) {
    tokio::spawn(Reloadable::watch(Arc::downgrade(&upstream.tls)));
    health_check::start(upstream, &upstream.endpoints.current());
    resolver::refresh::start(upstream);
}
