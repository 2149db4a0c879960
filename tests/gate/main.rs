//! The gateway between real servers, seen from its wire.
//!
//! Every refusal also proves that nothing reached the upstream. `R…` names the requirement of a resource server that a
//! test holds.

mod access_log;
mod admin;
mod admission;
mod alerts;
mod answers;
mod bypass;
mod connection_limits;
mod exchanges;
mod facts;
mod faults;
mod forwarding;
mod grpc;
mod http2;
mod introspection;
mod issuers;
mod keys;
mod lies;
mod listeners;
mod load;
mod lookalikes;
mod panics;
mod protocols;
mod read_ahead;
mod reload;
mod request_id;
mod rings;
mod routes;
mod scopes;
mod servers;
mod shadow;
mod sse;
mod tls;
mod tokens;
mod traces;
mod upgrades;
mod upstreams;
