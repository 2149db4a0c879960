//! Sockets, as both sides of the gateway use them: plain or TLS, and never waited for without end.

mod body;
mod connection_state;
mod frames;
mod interim;
mod pseudo_fields;
mod renewed;
mod request_line;
mod sending;
mod stream;
mod timeout_stream;
pub mod tls;
mod tunnel;
mod unread_body;

pub use body::{IncomingBody, Rest};
pub use connection_state::{ConnectionState, ConnectionTimeouts, Exchange};
pub use interim::Interim;
pub use renewed::{Content, Renewed};
pub use sending::send_body;
pub use stream::{BreakOff, Stream};
pub use timeout_stream::TimeoutStream;
pub use tunnel::{Carried, End, tunnel};
pub use unread_body::{MAX_UNREAD_BODY, UNREAD_TIMEOUT, UnreadBody};
