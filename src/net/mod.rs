//! Sockets, as both sides of the gateway use them: plain or TLS, and never waited for without end.

mod body;
mod frames;
mod interim;
mod pace;
mod paced;
mod pseudo_fields;
mod renewed;
mod request_line;
mod sending;
mod stream;
pub mod tls;
mod tunnel;

pub use body::{Arriving, Rest};
pub use interim::Interim;
pub use pace::{Exchange, Pace, PaceLimits};
pub use paced::Paced;
pub use renewed::{Content, Renewed};
pub use sending::send_body;
pub use stream::{BreakOff, Stream};
pub use tunnel::{Carried, End, tunnel};
