//! Connections to clients and upstreams: TCP or a Unix socket, plain or with TLS, with a timeout for
//! every wait.

mod accept;
mod body;
mod connection_state;
mod frame_reader;
mod interim;
mod pseudo_fields;
mod reloadable;
mod request_line;
mod send_body;
mod stream;
mod timeout_stream;
pub mod tls;
mod tunnel;
mod unix;
mod unread_body;

pub use accept::{ListeningSocket, Peer, accept, accept_peer, accepted_unix, is_connection_error};
pub use body::{DetachedBody, IncomingBody};
pub use connection_state::{ConnectionState, ConnectionTimeouts, Exchange};
pub use frame_reader::{FrameBudget, FrameFlood, FrameReader};
pub use interim::Interim;
pub use reloadable::{FileContents, Reloadable};
pub use send_body::send_body;
pub use stream::{ResetOnDrop, Stream};
pub use timeout_stream::TimeoutStream;
pub use tunnel::{TunnelBytes, TunnelEnd, tunnel};
pub use unix::{connect_unix, from_unix, unix_socket};
pub use unread_body::{MAX_UNREAD_BODY, UNREAD_TIMEOUT, UnreadBody, content_length};
