//! Where the targets are that have a name: looked up ever again, on the control plane.
//!
//! 1. Every address of a name is an endpoint of its own, up to [`MAX_ADDRESSES`].
//! 2. A look-up that fails, or finds nothing, changes nothing: the addresses that were good go on being used.
//! 3. Before the first answer, whoever connects looks the name up: no request waits for the control plane.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::health_check;
use super::settings::Settings;

/// How often a name is looked up. The system's resolver does not tell for how long its answers are good; where names
/// move quickly (Kubernetes), answers are good for 5 to 30 seconds.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// As many endpoints as one name may make: an answer over TCP could hold thousands.
const MAX_ADDRESSES: usize = 256;

type Ask = dyn Fn(&str, u16) -> Looking + Send + Sync;
type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who is asked for the addresses of a name, and how often.
#[derive(Clone)]
pub struct Resolver {
    ask: Arc<Ask>,
    each: Duration,
}

impl Resolver {
    /// The system's own.
    #[must_use]
    pub fn system() -> Self {
        let ask = |name: &str, port| -> Looking {
            let name = name.to_owned();
            Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
        };
        Self {
            ask: Arc::new(ask),
            each: LOOKUP_INTERVAL,
        }
    }

    /// One that asks `look_up`, which must not block, `each` so often.
    #[must_use]
    pub fn of(
        each: Duration,
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        let ask = move |name: &str, port| -> Looking {
            Box::pin(std::future::ready(look_up(name, port)))
        };
        Self {
            ask: Arc::new(ask),
            each,
        }
    }

    /// The addresses of a name, each once; at least one.
    pub(super) async fn look_up(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = (self.ask)(name, port).await?;
        if addresses.len() > MAX_ADDRESSES {
            // Always the same ones, in whatever order they come.
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

/// Begins to look up the names among the targets.
pub(super) fn attend(settings: &Arc<Settings>) {
    for (index, _) in settings
        .targets
        .iter()
        .enumerate()
        .filter(|(_, target)| target.is_name())
    {
        // Each by itself: one name server that hangs holds up nobody else's names.
        tokio::spawn(keep(Arc::downgrade(settings), index));
    }
}

async fn keep(settings: Weak<Settings>, index: usize) {
    let mut has_failed = false;
    while let Some(each) = look_up(&settings, index, &mut has_failed).await {
        tokio::time::sleep(each).await;
    }
}

// Returns when to look again, unless nobody has use for it any more.
async fn look_up(
    settings: &Weak<Settings>,
    index: usize,
    has_failed: &mut bool,
) -> Option<Duration> {
    let settings = settings.upgrade()?;
    let (upstream, target) = (&settings.name, &settings.targets[index]);
    match settings.resolver.look_up(&target.host, target.port).await {
        Ok(addresses) => {
            *has_failed = false;
            let fresh = settings.endpoints.replace(index, target, &addresses);
            if !fresh.is_empty() {
                tracing::debug!(%upstream, %target, ?addresses, "target has other addresses");
            }
            health_check::attend(&settings, &fresh);
        }
        Err(error) => {
            if !*has_failed {
                tracing::warn!(%upstream, %target, %error, "cannot look up a target: the addresses known so far are used on");
            }
            *has_failed = true;
        }
    }
    Some(settings.resolver.each)
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("each", &self.each)
            .finish_non_exhaustive()
    }
}
