//! `[admin]`: health, readiness and metrics for operators.

use std::net::SocketAddr;

use super::addresses::socket_address;
use super::declare::table;
use super::report::Spanned;
use super::scalars::text;
use super::secret::Secret;

table! {
    /// The listener for operators and their tools.
    pub struct Admin {
        fn read(table) -> Option<Self>;

        /// IP address and port. Port 0 picks a free port. Use a loopback address or a private
        /// network. A change needs a restart.
        /// Example: `listen = "127.0.0.1:9090"`
        pub listen: Spanned<SocketAddr> = required(socket_address(), "an IP address and a port"),
        /// Host names that this listener accepts, besides IP addresses and `localhost`. Other names
        /// get 421. `[]` accepts no names. Without it, a listener on loopback accepts no names, and
        /// any other one serves `/livez`, `/readyz` and `/metrics` for every name.
        /// Example: `hosts = ["gateway.internal", "*.svc.cluster.local"]`
        pub hosts: Option<Vec<Spanned<String>>> = optional_list(text(), 0),
        /// Token that changes need: `POST /revocations`. Without it, no change is accepted from
        /// anybody.
        /// Example: `token = { env = "ADMIN_TOKEN" }`
        pub token: Option<Spanned<Secret>> = secret(),
    }
}
