//! The development authorization server and echo upstream, over real sockets.

mod browser_clients;
mod code_flow;
mod codes;
mod consent;
mod fixture;
mod introspection;
mod registration;
mod revocation;
mod servers;
mod token_endpoint;
