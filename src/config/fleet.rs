//! `[fleet]`: what several gateways share, and the servers through which they do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;
use url::Url;

use super::addresses::path;
use super::declare::table;
use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::report::Spanned;
use super::scalars::{keyword, text};
use super::secret::Secret;
use super::units::{HOUR, MILLISECOND, SECOND, duration};
use super::unix_path::read_unix_path;
use super::value_type::{ValueType, value_type};
use crate::values::StaleRevocations;

/// The port of Redis and Valkey.
const PORT: u16 = 6379;
const FORMS: &str =
    "redis://HOST:PORT, rediss://HOST:PORT for TLS, or unix:///PATH, without credentials";
const PATTERN: &str =
    r"^(rediss?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?/?|unix:///[^/@\u0000][^\u0000]*)$";

table! {
    /// Several gateways as one, over Redis or Valkey.
    pub struct Fleet {
        fn read(table) -> Option<Self>;

        /// Servers: `redis://`, `rediss://` for TLS, or `unix://`. Of several, the gateway uses the
        /// first that is a primary, and that holds the keys of the fleet where they are a cluster.
        /// Example: `redis = ["rediss://redis-0.internal:6379", "rediss://redis-1.internal:6379"]`
        pub redis: Vec<Spanned<RedisUrl>> =
            required_list(redis_url(table.folder()), "the URL of at least one server"),
        /// User of the servers. Without it, that of servers with a password only.
        /// Example: `username = "scopegate"`
        pub username: Option<Spanned<String>> = optional(text()),
        /// Password of the servers. Without it, the gateway does not authenticate itself.
        /// Example: `password = { env = "REDIS_PASSWORD" }`
        pub password: Option<Spanned<Secret>> = secret(),
        /// Key of the fleet: 64 hexadecimal digits, the same for each gateway. What is stored is
        /// encrypted and authenticated with keys derived from it.
        /// Example: `key = { env = "FLEET_KEY" }`
        pub key: Spanned<Secret> = required_secret("the key of the fleet, 64 hexadecimal digits"),
        /// A second key that is read and never written, while the key changes. Without it, only
        /// `key` is read.
        /// Example: `previous_key = { env = "FLEET_KEY_OLD" }`
        pub previous_key: Option<Spanned<Secret>> = secret(),
        /// What the names of all keys in the servers begin with.
        /// Example: `prefix = "orders-gateway:"`
        pub prefix: Spanned<String> = spanned_or(text(), "scopegate:"),
        /// Timeout of one command to the servers. Slow is the same as down. No request waits for it.
        /// Example: `timeout = "100ms"`
        pub timeout: Duration = or(duration(MILLISECOND..=SECOND * 10), "50ms"),
        /// What a gateway does that has heard no revocations of the fleet for `max_revocation_age`:
        /// `open` serves and reports it, `closed` refuses requests with tokens (503) and is not
        /// ready.
        /// Example: `stale_revocations = "open"`
        pub stale_revocations: Spanned<StaleRevocations> = spanned_or(keyword(), "open"),
        /// How old what was last heard may be.
        /// Example: `max_revocation_age = "1m"`
        pub max_revocation_age: Duration = or(duration(SECOND..=HOUR), "30s"),
        /// PEM file with the certificates that the servers are trusted by. Without it, the
        /// system's.
        /// Example: `tls_ca = "redis-ca.pem"`
        pub tls_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
    }
}

/// Where a server of the fleet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisUrl {
    /// Over TCP.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether it uses TLS.
        is_tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, is_tls } => {
                let scheme = if *is_tls { "rediss" } else { "redis" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn redis_url(folder: &Path) -> impl ValueType<RedisUrl> {
    value_type(
        move |value| read_redis_url(value, folder),
        || Description::pattern("URL of Redis", PATTERN),
    )
}

fn read_redis_url(value: &DeValue<'_>, folder: &Path) -> Result<RedisUrl, Mismatch> {
    let mismatch = || expected(FORMS);
    let text = value.as_str().ok_or_else(mismatch)?;
    if let Some(socket) = text.strip_prefix("unix://") {
        return read_unix_path(socket, folder)
            .map(RedisUrl::Unix)
            .map_err(|_| mismatch().with_help("write unix:///run/redis.sock"));
    }
    // A password is a secret, so a URL that may have one is not printed.
    if text.contains('@') {
        return Err(mismatch()
            .but_found("one with credentials")
            .with_help("set username and password beside it"));
    }
    let url = Url::parse(text).map_err(|_| mismatch())?;
    let is_tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        "valkey" => return Err(mismatch().with_help("write redis://")),
        "valkeys" => return Err(mismatch().with_help("write rediss://")),
        _ => return Err(mismatch()),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(mismatch().with_help("the fleet uses database 0; write no path and no query"));
    }
    let host = url.host_str().unwrap_or_default();
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_valid = !host.is_empty() && (literal.is_some() || host.bytes().all(is_of_name));
    if !is_valid || url.port() == Some(0) {
        return Err(mismatch());
    }
    Ok(RedisUrl::Tcp {
        host: literal.unwrap_or(host).to_owned(),
        port: url.port().unwrap_or(PORT),
        is_tls,
    })
}
