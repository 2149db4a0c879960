//! The development authorization server and echo upstream, over real sockets.

mod fixture;
mod introspection;
mod revocation;
mod servers;
mod token_endpoint;
