//! Where it all meets: one request from top to bottom.
//!
//! [`Snapshot`] is the configuration compiled: immutable, shared by all workers, swapped whole. A [`Gate`] is one
//! worker's door: it takes each request past admission, route, token and decision to its upstream, or answers with the
//! one [`Refusal`] that stopped it.

mod admission;
mod body;
mod caught;
mod claim_headers;
mod compile;
mod connection;
mod dry_run;
mod facts;
mod forward;
mod gate;
mod grpc;
mod judge;
mod prepare;
mod refusal;
mod request_id;
mod respond;
mod snapshot;
mod trusted_proxies;
mod tunnel;
mod view;

pub use admission::{Inadmissible, host};
pub use body::ResponseBody;
pub use claim_headers::{ClaimHeader, LeftOutClaim};
pub use compile::{compile, compile_after, route_faults};
pub use connection::Connection;
pub use dry_run::{DryRun, DryRunReport, Outgoing, Seen};
pub use gate::Gate;
pub use refusal::Refusal;
pub use respond::ChallengeSettings;
pub use snapshot::{Forwarding, SharedSnapshot, Snapshot, attend_to, dismiss, settle, to_settle};
pub use trusted_proxies::TrustedProxies;
pub use tunnel::Tunnel;
