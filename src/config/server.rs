//! `[server]`, `[log]` and `[challenge]`: connections and requests, the log, and the text of refusals.

use std::net::SocketAddr;
use std::thread::available_parallelism;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::addresses::{network, origin, socket_address};
use super::declare::table;
use super::mismatch::expected;
use super::reference::Description;
use super::report::Spanned;
use super::scalars::{boolean, keyword};
use super::units::{DAY, HOUR, KIBIBYTE, MEBIBYTE, MILLISECOND, count, duration, size};
use super::value_type::{ValueType, value_type};
use crate::values::{LogFormat, LogLevel, PathParameters};

const MAX_WORKERS: usize = 1024;

table! {
    /// Connections of clients, and the limits of their requests.
    pub struct Server {
        fn read(table) -> Self;

        /// Addresses without TLS; port 0 picks a free one. No default beside `[[listeners]]`.
        pub(super) listen: Vec<Spanned<SocketAddr>> = list_or(socket_address(), 1, "127.0.0.1:8080"),
        /// Whether requests without a valid token are refused; false is shadow mode. Without it, they are refused.
        pub enforce: Option<Spanned<bool>> = optional(boolean()),
        /// Whether another process may bind the same port beside this one.
        pub share_port: bool = or(boolean(), false),
        /// Threads that serve requests. Without it, one for each core.
        pub workers: usize = or_else(count(1..=MAX_WORKERS), cores),
        /// Scheme, host and port under which clients see the gateway. Without it, those of the connection and the Host
        /// header.
        pub external_url: Option<Spanned<Url>> = optional(origin()),
        /// Networks whose Forwarded and X-Forwarded-* are believed. Without it, none.
        pub trusted_proxies: Vec<IpNet> = list_of_values(network(), 0),
        /// From the first byte of a request's head to its end.
        pub header_timeout: Duration = or(duration(MILLISECOND..=HOUR), "10s"),
        /// Between two reads or two writes of a body.
        pub body_idle_timeout: Duration = or(duration(MILLISECOND..=DAY), "30s"),
        /// Before and between the requests of a connection.
        pub keep_alive_timeout: Duration = or(duration(MILLISECOND..=DAY), "75s"),
        /// How long the gateway accepts connections after the signal to stop.
        pub drain_delay: Duration = or(duration(Duration::ZERO..=HOUR), "0s"),
        /// How long requests may take to end after that.
        pub drain_timeout: Duration = or(duration(Duration::ZERO..=HOUR), "30s"),
        /// Requests with `;` in the path: refused with 400, or allowed.
        pub path_parameters: PathParameters = or(keyword(), "refuse"),
        /// Client connections at one time. For one more, the connection that has been idle longest is closed; if none is
        /// idle, it waits.
        pub max_connections: usize = or(count(1..=1_000_000), 16_384),
        /// Connections at one time of one client: an IPv4 address, or a /64 network of IPv6. One more is closed at once.
        /// 0: no limit. Proxies in trusted_proxies are exempt.
        pub max_connections_per_client: usize = or(count(0..=1_000_000), 0),
        /// Bytes of a request's head; 431 beyond.
        // hyper takes no buffer below 8 KiB.
        pub max_header_size: usize = or(size(8 * KIBIBYTE..=MEBIBYTE), "32KiB"),
        /// Fields of a request's head; 431 beyond.
        pub max_headers: usize = or(count(1..=1024), 100),
        /// Bytes of an access token.
        pub max_token_size: usize = or(size(KIBIBYTE..=MEBIBYTE), "16KiB"),
        /// Whether each request has an id that client, log and upstream share (X-Request-Id).
        pub request_id: bool = or(boolean(), true),
    }
}

table! {
    /// The log.
    pub struct Log {
        fn read(table) -> Self;

        /// For people, or one JSON object per line. Without it, for people on a terminal, and JSON elsewhere.
        pub format: Option<LogFormat> = optional_value(keyword()),
        /// The least important events that are written.
        pub level: LogLevel = or(keyword(), "info"),
        /// Whether every request gets a line.
        pub access: bool = or(boolean(), true),
        /// Whether that line has the token's client.
        pub client_id: bool = or(boolean(), true),
        /// Whether that line has the token's subject.
        pub subject: bool = or(boolean(), false),
        /// Whether that line has the path, normalised and without the query. Paths may hold secrets.
        pub path: bool = or(boolean(), false),
        /// Lines about refusals per second, of all workers together; 0: no limit.
        pub refusals_per_second: u32 = or(count(0..=1_000_000), 100),
    }
}

table! {
    /// What `WWW-Authenticate` says beyond the error code (RFC 6750 §3).
    pub struct Challenge {
        fn read(table) -> Self;

        /// The realm; left out when empty.
        pub realm: Option<String> = or(realm(), ""),
        /// Whether error_description says what is wrong with a token.
        pub describe: bool = or(boolean(), false),
        /// Whether the 401 names the scope that a token would need.
        pub scope_when_unauthenticated: bool = or(boolean(), false),
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS))
}

fn realm() -> impl ValueType<Option<String>> {
    value_type(
        |value| {
            let printable = |text: &&str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            let realm = value
                .as_str()
                .filter(printable)
                .ok_or_else(|| expected("a string of printable ASCII characters"))?;
            Ok(Some(realm.to_owned()).filter(|realm| !realm.is_empty()))
        },
        || Description::pattern("string", "^[ -~]*$"),
    )
}
