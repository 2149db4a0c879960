//! One request from its head to its response.
//!
//! [`Snapshot`] is the compiled configuration: immutable, shared by all workers, replaced as a
//! whole. A [`Gate`] serves the requests of one worker in four steps, each in a file of its own:
//! `judge` decides by a list of steps that collect `Facts`; `prepare` makes the upstream's request
//! of the client's; `forward` sends it; `respond` turns a [`Refusal`] into a response. [`DryRun`]
//! takes the first two.

mod admin_token;
mod admission;
mod claim_headers;
mod compile;
mod connection;
mod dry_run;
mod facts;
mod fetch_token;
mod fixed_response;
mod forward;
mod gate;
mod grpc;
mod https_redirect;
mod judge;
mod networks;
mod panics;
mod prepare;
mod refusal;
mod request_id;
mod resource_metadata;
mod respond;
mod response_body;
mod response_rules;
mod route_limits;
mod security_events;
mod snapshot;
mod token_end;
mod tunnel;
mod worker_snapshot;

pub use admin_token::AdminToken;
pub use admission::{Inadmissible, host};
pub use claim_headers::{ClaimHeader, OmittedClaim};
pub use compile::{compile, compile_after, egress_proxy, fleet_settings, route_faults};
pub use connection::{Connection, ConnectionOrigin};
pub use dry_run::{DryRun, DryRunReport, Outgoing, RequestTarget};
pub use gate::Gate;
pub use https_redirect::HttpsRedirect;
pub use judge::Preflight;
pub use networks::Networks;
pub use refusal::Refusal;
pub use resource_metadata::{ResourceDocument, ResourceDocuments};
pub use respond::ChallengeSettings;
pub use response_body::ResponseBody;
pub use security_events::{SecurityEventFault, SecurityEventReceiver};
pub use snapshot::{
    Forwarding, SharedSnapshot, Snapshot, new_key_issuers, open_revocations,
    start_background_tasks, sweep_revocations, wait_for_keys,
};
pub use tunnel::Tunnel;
