//! `[server]`, `[log]` and `[challenge]`: how the gateway listens, what it writes down and how it turns clients away.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread::available_parallelism;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::read::Table;
use super::report::Placed;
use super::units::{DAY, HOUR, KIBIBYTE, MEBIBYTE, MILLISECOND, SECOND, count, duration, size};
use super::values::{Mismatch, boolean, expected, keyword, network, origin, socket_address};
use crate::values::{LogFormat, LogLevel, PathParameters};

const MOST_WORKERS: usize = 1024;

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Plain listeners, where they are written; port 0 picks a free one.
    pub(super) listen: Option<Vec<Placed<SocketAddr>>>,
    /// Whether another process may bind the same port beside this one.
    pub share_port: bool,
    /// Threads that serve requests, by default one for each core.
    pub workers: usize,
    /// Scheme, host and port under which clients see the gateway, if not those of the Host header.
    pub external_url: Option<Placed<Url>>,
    /// Whose `Forwarded` and `X-Forwarded-*` count.
    pub trusted_proxies: Vec<IpNet>,
    /// From the first byte to the end of the head.
    pub header_timeout: Duration,
    /// Between two reads or two writes of a body.
    pub body_idle_timeout: Duration,
    /// Between two requests of a connection.
    pub keep_alive_timeout: Duration,
    /// How long accepting goes on after the signal to stop.
    pub drain_delay: Duration,
    /// How long requests may take to end after that.
    pub drain_timeout: Duration,
    /// What to do about `;` in a path.
    pub path_parameters: PathParameters,
    /// Client connections at one time.
    pub max_connections: usize,
    /// Client connections at one time of one client address (IPv4) or network (/64 of IPv6); 0 for no limit.
    pub max_connections_per_client: usize,
    /// Bytes of a request's head.
    pub max_header_size: usize,
    /// Fields of a request's head.
    pub max_headers: usize,
    /// Bytes of an access token.
    pub max_token_size: usize,
    /// Whether each request has a name that client, log and upstream know (`X-Request-Id`).
    pub request_id: bool,
    /// Whether routes turn anybody away for lack of a good token, where they do not say; they do by default.
    pub enforce: Option<Placed<bool>>,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line is written; where it is not said, as whoever reads standard error is likely to want it.
    pub format: Option<LogFormat>,
    /// The least important events that are written.
    pub level: LogLevel,
    /// Whether every request gets a line.
    pub access: bool,
    /// Whether that tells the token's client.
    pub client_id: bool,
    /// Whether that tells the token's subject.
    pub subject: bool,
    /// Whether that tells the path, without the query.
    pub path: bool,
    /// How many lines about refusals are written in a second; 0 for all.
    pub refusals_per_second: u32,
}

/// `[challenge]`: what a `WWW-Authenticate` says beyond the error code (RFC 6750 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The `realm` attribute; none leaves it out.
    pub realm: Option<String>,
    /// Whether `error_description` says what is wrong with a token.
    pub describe: bool,
    /// Whether the 401 names the scope that a token would need.
    pub scope_when_unauthenticated: bool,
}

impl Server {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let listen = table.one_or_many("listen", 1, socket_address);
        Self {
            listen,
            share_port: table.or("share_port", false, boolean),
            workers: table.or("workers", cores(), count(1..=MOST_WORKERS)),
            external_url: table.optional("external_url", origin),
            trusted_proxies: placeless(table.one_or_many("trusted_proxies", 0, network)),
            header_timeout: table.or("header_timeout", 10 * SECOND, duration(MILLISECOND..=HOUR)),
            body_idle_timeout: table.or(
                "body_idle_timeout",
                30 * SECOND,
                duration(MILLISECOND..=DAY),
            ),
            keep_alive_timeout: table.or(
                "keep_alive_timeout",
                75 * SECOND,
                duration(MILLISECOND..=DAY),
            ),
            drain_delay: table.or(
                "drain_delay",
                Duration::ZERO,
                duration(Duration::ZERO..=HOUR),
            ),
            drain_timeout: table.or(
                "drain_timeout",
                30 * SECOND,
                duration(Duration::ZERO..=HOUR),
            ),
            path_parameters: table.or("path_parameters", PathParameters::Refuse, keyword),
            max_connections: table.or("max_connections", 16_384, count(1..=1_000_000)),
            max_connections_per_client: table.or(
                "max_connections_per_client",
                0,
                count(0..=1_000_000),
            ),
            // hyper takes no buffer below 8 KiB.
            max_header_size: table.or(
                "max_header_size",
                32 * KIBIBYTE,
                size(8 * KIBIBYTE..=MEBIBYTE),
            ),
            max_headers: table.or("max_headers", 100, count(1..=1024)),
            max_token_size: table.or("max_token_size", 16 * KIBIBYTE, size(KIBIBYTE..=MEBIBYTE)),
            request_id: table.or("request_id", true, boolean),
            enforce: table.optional("enforce", boolean),
        }
    }
}

impl Log {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            format: table.optional("format", keyword).map(|format| format.value),
            level: table.or("level", LogLevel::Info, keyword),
            access: table.or("access", true, boolean),
            client_id: table.or("client_id", true, boolean),
            subject: table.or("subject", false, boolean),
            path: table.or("path", false, boolean),
            refusals_per_second: table.or("refusals_per_second", 100, refusals_per_second),
        }
    }
}

impl Challenge {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        Self {
            realm: table.or("realm", None, realm),
            describe: table.or("describe", false, boolean),
            scope_when_unauthenticated: table.or("scope_when_unauthenticated", false, boolean),
        }
    }
}

pub(super) fn default_listen() -> Placed<SocketAddr> {
    Placed::at(loopback(8080), "server.listen".to_owned(), None)
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

pub(super) fn placeless<T>(list: Option<Vec<Placed<T>>>) -> Vec<T> {
    list.into_iter()
        .flatten()
        .map(|placed| placed.value)
        .collect()
}

fn refusals_per_second(value: &DeValue<'_>) -> Result<u32, Mismatch> {
    count(0..=1_000_000)(value).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

fn cores() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().min(MOST_WORKERS))
}

fn realm(value: &DeValue<'_>) -> Result<Option<String>, Mismatch> {
    let printable = |text: &&str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let realm = value
        .as_str()
        .filter(printable)
        .ok_or_else(|| expected("a string of printable ASCII characters"))?;
    Ok(Some(realm.to_owned()).filter(|realm| !realm.is_empty()))
}
