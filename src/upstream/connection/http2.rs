//! HTTP/2 (RFC 9113): exchanges that share a connection, each on a stream of its own.
//!
//! - `connection`: the connection and its stream slots. `exchange`: one request and its response.
//! - `request`: a request as HTTP/2 frames it. `grpc_timeout`: the deadline of a gRPC call.

mod connection;
mod exchange;
mod grpc_timeout;
mod request;

pub(in crate::upstream) use connection::{Http2Connection, StreamSlot, connect};
pub(in crate::upstream) use exchange::{ResponseStream, exchange};
pub(in crate::upstream) use request::{RequestTarget, absolute_uri};
