//! `[server]`, `[log]` and `[challenge]`: connections and requests, the log, and the text of
//! refusals.

use std::thread::available_parallelism;
use std::time::Duration;

use url::Url;

use super::addresses::{ClientNetwork, ListenAddress, listen_address, network, origin};
use super::declare::table;
use super::header_rules::ResponseHeaders;
use super::http_proxy::{HttpProxy, http_proxy};
use super::mismatch::expected;
use super::reference::Description;
use super::report::Spanned;
use super::scalars::{boolean, keyword};
use super::units::{
    DAY, HOUR, KIBIBYTE, MEBIBYTE, MILLISECOND, SizeLimit, count, duration, size, size_limit,
};
use super::value_type::{ValueType, value_type};
use crate::values::{LogFormat, LogLevel, PathParameters};

const MAX_WORKERS: usize = 1024;

table! {
    /// Connections of clients, and the limits of their requests.
    pub struct Server {
        fn read(table) -> Self;

        /// Addresses that accept connections without TLS: IP address and port, or `unix:` and a path.
        /// Port 0 picks a free port. If the file has `[[listeners]]`, there is no default.
        /// Example: `listen = ["127.0.0.1:8080", "[::1]:8080"]`
        pub(super) listen: Vec<Spanned<ListenAddress>> =
            list_or(listen_address(table.folder()), 1, "127.0.0.1:8080"),
        /// Whether requests without a valid and sufficient token are refused. `false` is shadow
        /// mode, for all routes without an `enforce` of their own. Without it, they are refused.
        /// Example: `enforce = false`
        pub enforce: Option<Spanned<bool>> = optional(boolean()),
        /// Whether another gateway may listen on the same port at the same time. Two gateways without
        /// it exclude each other. A program of the same user that sets `SO_REUSEPORT` is not excluded.
        /// Example: `share_port = true`
        pub share_port: bool = or(boolean(), false),
        /// Number of threads that serve requests. Without it, one for each CPU core.
        /// Example: `workers = 4`
        pub workers: usize = or_else(count(1..=MAX_WORKERS), cores),
        /// Scheme, host and port that clients use for the gateway. The upstream receives the scheme
        /// in `X-Forwarded-Proto`. Without it, they come from the connection and the `Host` header.
        /// Example: `external_url = "https://api.example.com"`
        pub external_url: Option<Spanned<Url>> = optional(origin()),
        /// Networks of the proxies in front of the gateway; `unix` for clients of Unix sockets.
        /// `Forwarded` and `X-Forwarded-*` count only from them. Without it, from none.
        /// Example: `trusted_proxies = ["10.0.0.0/8", "fd00::/8"]`
        pub trusted_proxies: Vec<Spanned<ClientNetwork>> = list(network(), 0),
        /// Proxy for the gateway's own requests to authorization servers: `none`, an `http` URL, or
        /// `environment` for the usual variables, such as `https_proxy`. `no_proxy` counts for both.
        /// Loopback is never proxied, and neither are upstreams.
        /// Example: `http_proxy = "http://proxy.internal:3128"`
        pub http_proxy: Option<HttpProxy> = or(http_proxy(table.variable()), "none"),
        /// Time from the first byte of a request head to its end.
        /// Example: `header_timeout = "5s"`
        pub header_timeout: Duration = or(duration(MILLISECOND..=HOUR), "10s"),
        /// Maximum time between two reads or two writes of a body.
        /// Example: `body_idle_timeout = "2m"`
        pub body_idle_timeout: Duration = or(duration(MILLISECOND..=DAY), "30s"),
        /// Time that a connection may wait for its first or next request.
        /// Example: `keep_alive_timeout = "30s"`
        pub keep_alive_timeout: Duration = or(duration(MILLISECOND..=DAY), "75s"),
        /// Time that the gateway still accepts connections after the signal to stop.
        /// Example: `drain_delay = "5s"`
        pub drain_delay: Duration = or(duration(Duration::ZERO..=HOUR), "0s"),
        /// Time that requests in flight then have to finish.
        /// Example: `drain_timeout = "1m"`
        pub drain_timeout: Duration = or(duration(Duration::ZERO..=HOUR), "30s"),
        /// Whether a request with `;` in its path is refused with 400 or allowed.
        /// Example: `path_parameters = "allow"`
        pub path_parameters: PathParameters = or(keyword(), "refuse"),
        /// Maximum number of client connections. For one more, the connection that has been idle
        /// longest is closed. If none is idle, the new one waits.
        /// Example: `max_connections = 50000`
        pub max_connections: usize = or(count(1..=1_000_000), 16_384),
        /// Maximum number of connections of one client: one IPv4 address, or one /64 network of
        /// IPv6. One more is closed at once. `0` means no limit. `trusted_proxies` and
        /// clients of Unix sockets are exempt.
        /// Example: `max_connections_per_client = 100`
        pub max_connections_per_client: usize = or(count(0..=1_000_000), 0),
        /// Maximum size of a request head. A larger one gets 431.
        /// Example: `max_header_size = "16KiB"`
        // hyper requires a buffer of at least 8 KiB.
        pub max_header_size: usize = or(size(8 * KIBIBYTE..=MEBIBYTE), "32KiB"),
        /// Maximum size of a request body, or `none`. A larger one gets 413. One of unknown length
        /// is cut off at the limit, and the request to the upstream is aborted.
        /// Example: `max_body_size = "10MiB"`
        pub max_body_size: SizeLimit = or(size_limit(), "none"),
        /// Maximum number of fields in a request head. More get 431.
        /// Example: `max_headers = 64`
        pub max_headers: usize = or(count(1..=1024), 100),
        /// Maximum size of an access token. A larger one gets 431 without a challenge, because a
        /// new token would be as large.
        /// Example: `max_token_size = "8KiB"`
        pub max_token_size: usize = or(size(KIBIBYTE..=MEBIBYTE), "16KiB"),
        /// Headers of responses to set and remove, refusals included. Without it, none.
        /// Example: `response_headers = { remove = ["Server"] }`
        pub response_headers: Option<ResponseHeaders> = optional_table(ResponseHeaders::read),
        /// Whether each request has an id that client, log and upstream share. `false` passes
        /// `X-Request-Id` unchanged.
        /// Example: `request_id = false`
        pub request_id: bool = or(boolean(), true),
    }
}

table! {
    /// The log.
    pub struct Log {
        fn read(table) -> Self;

        /// Text for people, or one JSON object for each line. Without it, text on a terminal and
        /// JSON elsewhere.
        /// Example: `format = "json"`
        pub format: Option<LogFormat> = optional_value(keyword()),
        /// Least severe level that is logged.
        /// Example: `level = "warn"`
        pub level: LogLevel = or(keyword(), "info"),
        /// Whether each request is logged as one line, at level `info`.
        /// Example: `access = false`
        pub access: bool = or(boolean(), true),
        /// Whether that line has the client id of the token.
        /// Example: `client_id = false`
        pub client_id: bool = or(boolean(), true),
        /// Whether that line has the subject of the token.
        /// Example: `subject = true`
        pub subject: Spanned<bool> = spanned_or(boolean(), false),
        /// Whether that line has the path, normalized and without the query. Paths may contain
        /// secrets, such as the token of a password reset.
        /// Example: `path = true`
        pub path: Spanned<bool> = spanned_or(boolean(), false),
        /// Maximum number of lines about refused requests for each second, of all workers together.
        /// `0` means no limit.
        /// Example: `refusals_per_second = 10`
        pub refusals_per_second: u32 = or(count(0..=1_000_000), 100),
    }
}

table! {
    /// What `WWW-Authenticate` contains in addition to the error code (RFC 6750 §3).
    pub struct Challenge {
        fn read(table) -> Self;

        /// The `realm` attribute. An empty string omits it.
        /// Example: `realm = "orders"`
        pub realm: Option<String> = or(realm(), ""),
        /// Whether `error_description` says what is wrong with a token.
        /// Example: `describe = true`
        pub describe: bool = or(boolean(), false),
        /// Whether a 401 names the scope that the route requires.
        /// Example: `scope_when_unauthenticated = true`
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
