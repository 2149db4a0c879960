//! The gateway between real servers, observed on its connections.
//!
//! Every test of a refusal also shows that nothing reached the upstream. `R…` is the number of the
//! requirement of a resource server that a test checks.

mod access_log;
mod admin;
mod admission;
mod alerts;
mod allow_from;
mod body_limits;
mod bypass;
mod cached_tokens;
mod challenges;
mod claim_rules;
mod concurrency;
mod connection_limits;
mod cors;
mod exchanges;
mod fixed_responses;
mod forwarding;
mod grpc;
mod hostile_tokens;
mod http2;
mod introspection;
mod issuers;
mod jwks_schedule;
mod keys;
mod listeners;
mod lookalikes;
mod nested_scopes;
mod order;
mod panics;
mod path_lists;
mod protocols;
mod proxy_protocol;
mod read_ahead;
mod redirect_to_https;
mod reload;
mod request_headers;
mod request_id;
mod response_headers;
mod rewrite;
mod route_timeouts;
mod routes;
mod scopes;
mod server_documents;
mod servers;
mod shadow;
mod sse;
mod tls;
mod token_sources;
mod tokens;
mod traces;
mod unix_listeners;
mod upgrades;
mod upstream_failures;
mod upstreams;
