//! `[admin]`: health, readiness and metrics for operators.

use std::net::SocketAddr;

use super::addresses::socket_address;
use super::declare::table;
use super::report::Spanned;
use super::scalars::text;

table! {
    /// The listener for operators and their tools.
    pub struct Admin {
        fn read(table) -> Option<Self>;

        /// An IP address and a port; port 0 picks a free one. Keep it on loopback or a private network.
        pub listen: Spanned<SocketAddr> = required(socket_address(), "an IP address and a port"),
        /// Host names that it answers to, besides IP addresses and localhost; a request with another Host gets 421.
        /// `[]` for none. Without it, a listener that is not on loopback answers /livez, /readyz and /metrics whatever the
        /// Host.
        pub hosts: Option<Vec<Spanned<String>>> = optional_list(text(), 0),
    }
}
