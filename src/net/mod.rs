//! Sockets, as both sides of the gateway use them: plain or TLS, and never waited for without end.

mod interim;
mod paced;
mod stream;
pub mod tls;
mod tunnel;

pub use interim::Interim;
pub use paced::{Pace, PaceLimits, Paced};
pub use stream::Stream;
pub use tunnel::{Carried, End, tunnel};
