//! Where it all meets: one request from top to bottom.
//!
//! [`Snapshot`] is the configuration compiled: immutable, shared by all workers, swapped whole. A [`Gate`] is one
//! worker's door: it takes each request past admission, route, token and decision to its upstream, or answers with the
//! one [`Refusal`] that stopped it.

mod admission;
mod claim_headers;
mod compile;
mod connection;
mod dry_run;
mod facts;
mod forward;
mod gate;
mod grpc;
mod judge;
mod panics;
mod prepare;
mod refusal;
mod request_id;
mod respond;
mod response_body;
mod snapshot;
mod trusted_proxies;
mod tunnel;
mod worker_snapshot;

pub use admission::{Inadmissible, host};
pub use claim_headers::{ClaimHeader, OmittedClaim};
pub use compile::{compile, compile_after, route_faults};
pub use connection::Connection;
pub use dry_run::{DryRun, DryRunReport, Outgoing, RequestTarget};
pub use gate::Gate;
pub use refusal::Refusal;
pub use respond::ChallengeSettings;
pub use response_body::ResponseBody;
pub use snapshot::{
    Forwarding, SharedSnapshot, Snapshot, new_key_issuers, start_background_tasks, wait_for_keys,
};
pub use trusted_proxies::TrustedProxies;
pub use tunnel::Tunnel;
