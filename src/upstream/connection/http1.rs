//! HTTP/1.1 (RFC 9112): one exchange at a time on a connection.
//!
//! The task that serves the client also writes the request and reads the response. An exchange
//! wakes no other task and passes no channel, and a request that was not sent is still at hand.
//! Only the rest of a request whose response has begun is sent by a task of its own.
//!
//! - `connection`: the connection and its buffers. `exchange`: one request and its response head.
//! - `request_writer`, `response_reader`: the two directions of an exchange.
//! - `request_head`, `response_head`, `fields`, `chunked`: the syntax. `response_parser` parses a
//!   whole response without a connection.

mod chunked;
mod connection;
mod exchange;
mod fields;
mod request_head;
mod request_writer;
mod response_head;
mod response_parser;
mod response_reader;

pub(in crate::upstream) use connection::{Http1Connection, IdleStatus};
pub(in crate::upstream) use exchange::exchange;
pub use response_parser::{ResponseParser, ResponsePart};
pub(in crate::upstream) use response_reader::ResponseReader;
