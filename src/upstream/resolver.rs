//! DNS: the addresses of targets that have a name.
//!
//! 1. Every address of a name is an endpoint of its own, up to [`MAX_ADDRESSES`].
//! 2. A lookup that fails or finds nothing changes nothing: the previous addresses stay in use.
//! 3. Before the first lookup is done, each new connection looks the name up itself. No request
//!    waits for the control plane.
//!
//! `refresh` repeats the lookups.

pub(super) mod refresh;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Between two lookups of a name. The system's resolver does not pass the TTL on; where addresses
/// change quickly (Kubernetes), the TTL is 5 to 30 seconds.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum endpoints of one name: a DNS response over TCP could hold thousands.
const MAX_ADDRESSES: usize = 256;

type LookUp = dyn Fn(&str, u16) -> PendingLookup + Send + Sync;
type PendingLookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How names are looked up, and how often.
#[derive(Clone)]
pub struct Resolver {
    look_up: Arc<LookUp>,
    interval: Duration,
}

impl Resolver {
    /// The system's own.
    #[must_use]
    pub fn system() -> Self {
        let look_up = |name: &str, port| -> PendingLookup {
            let name = name.to_owned();
            Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
        };
        Self {
            look_up: Arc::new(look_up),
            interval: LOOKUP_INTERVAL,
        }
    }

    /// One that calls `look_up`, which must not block, every `interval`.
    #[must_use]
    pub fn of(
        interval: Duration,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let look_up = move |name: &str, port| -> PendingLookup {
            Box::pin(std::future::ready(look_up(name, port)))
        };
        Self {
            look_up: Arc::new(look_up),
            interval,
        }
    }

    /// The distinct addresses of a name; at least one.
    pub(super) async fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = (self.look_up)(name, port).await?;
        if addresses.len() > MAX_ADDRESSES {
            // DNS servers rotate their responses. Sorted, every lookup selects the same addresses.
            addresses.sort_unstable();
        }
        let mut seen = HashSet::new();
        addresses.retain(|address| seen.len() < MAX_ADDRESSES && seen.insert(*address));
        if addresses.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            ));
        }
        Ok(addresses)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
