//! Introspection requests in flight, and recently refused tokens.
//!
//! 1. Concurrent lookups of one token share a request, which continues if their clients disconnect.
//! 2. At most `max_in_flight` requests are in flight, and one client may have started a quarter of them.
//!    Inventing tokens costs nothing, and must not block the introspection of other tokens.
//! 3. A refused token is remembered for `negative_ttl`, as a keyed digest. Nobody can construct a
//!    collision, and the digests reveal nothing about the tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::{hmac, rand};
use tokio::sync::watch;

use crate::oauth::UnixTime;
use crate::sync::lock;
use crate::verify::error::{VerifyError, invalid};
use crate::verify::verified_token::VerifiedToken;

/// RefusedToken tokens that are remembered, of less than 200 bytes each.
const REFUSED_ENTRIES: u64 = 16_384;

/// The outcome of an introspection.
pub(super) type VerificationResult = Result<Arc<VerifiedToken>, VerifyError>;

/// A keyed digest of a token.
pub(super) type Digest = [u8; 32];

/// The introspection requests of one issuer.
pub(super) struct RequestCoalescer {
    key: hmac::Key,
    max_in_flight: usize,
    in_flight: Mutex<HashMap<Digest, Lookup>>,
    refused: moka::sync::Cache<Digest, RefusedToken>,
}

struct Lookup {
    started_by: IpAddr,
    outcome: watch::Receiver<Option<VerificationResult>>,
}

#[derive(Clone, Copy)]
struct RefusedToken {
    reason: &'static str,
    until: UnixTime,
}

/// How a token is looked up.
pub(super) enum LookupEntry<A> {
    /// The outcome is known.
    Known(Box<VerificationResult>),
    /// A request is in flight; wait for its outcome.
    Joined(watch::Receiver<Option<VerificationResult>>),
    /// Send a request.
    Started(StartedLookup, A),
    /// Too many requests are in flight.
    Full,
}

/// A request in flight, until it is finished or dropped.
pub(super) struct StartedLookup {
    coalescer: Arc<RequestCoalescer>,
    digest: Digest,
    outcome: watch::Sender<Option<VerificationResult>>,
}

impl RequestCoalescer {
    pub(super) fn new(max_in_flight: usize) -> Arc<Self> {
        let mut secret = [0_u8; 32];
        // Without randomness there is no TLS and no key either: the process does not come this far.
        let _ = rand::fill(&mut secret);
        Arc::new(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            max_in_flight,
            in_flight: Mutex::default(),
            // LRU: how often a token was refused says nothing about its next use.
            refused: moka::sync::Cache::builder()
                .max_capacity(REFUSED_ENTRIES)
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .build(),
        })
    }

    pub(super) fn digest(&self, token: &str) -> Digest {
        let mut digest = Digest::default();
        digest.copy_from_slice(hmac::sign(&self.key, token.as_bytes()).as_ref());
        digest
    }

    /// Joins the request in flight for this token, or starts one for `client`, a
    /// [`client_network`](crate::client_limits::client_network). `known` looks for an outcome that was
    /// cached meanwhile. `admit` asks the circuit breaker; its error is an outcome.
    pub(super) fn join_or_start<A>(
        self: &Arc<Self>,
        digest: Digest,
        client: IpAddr,
        now: UnixTime,
        known: impl FnOnce() -> Option<Arc<VerifiedToken>>,
        admit: impl FnOnce() -> Result<A, VerifyError>,
    ) -> LookupEntry<A> {
        let mut in_flight = lock(&self.in_flight);
        if let Some(lookup) = in_flight.get(&digest) {
            return LookupEntry::Joined(lookup.outcome.clone());
        }
        // An outcome is cached before its request ends, so one that has just ended is found here.
        if let Some(refused) = self
            .refused
            .get(&digest)
            .filter(|refused| now < refused.until)
        {
            let detail = "refused a moment ago, which is remembered for negative_ttl".to_owned();
            return LookupEntry::Known(Box::new(Err(invalid(refused.reason, detail))));
        }
        if let Some(verified) = known() {
            return LookupEntry::Known(Box::new(Ok(verified)));
        }
        let own = in_flight
            .values()
            .filter(|lookup| lookup.started_by == client)
            .count();
        if in_flight.len() >= self.max_in_flight || own >= (self.max_in_flight / 4).max(1) {
            return LookupEntry::Full;
        }
        let admitted = match admit() {
            Ok(admitted) => admitted,
            Err(error) => return LookupEntry::Known(Box::new(Err(error))),
        };
        let (sender, outcome) = watch::channel(None);
        in_flight.insert(
            digest,
            Lookup {
                started_by: client,
                outcome,
            },
        );
        LookupEntry::Started(
            StartedLookup {
                coalescer: Arc::clone(self),
                digest,
                outcome: sender,
            },
            admitted,
        )
    }

    /// Remembers that a token was refused.
    pub(super) fn refuse(&self, digest: Digest, reason: &'static str, until: UnixTime) {
        self.refused.insert(digest, RefusedToken { reason, until });
    }
}

impl StartedLookup {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Receives the outcome.
    pub(super) fn outcome(&self) -> watch::Receiver<Option<VerificationResult>> {
        self.outcome.subscribe()
    }

    /// Sends the outcome to all who wait. Later lookups start anew: a failure must not outlast its
    /// request.
    pub(super) fn finish(self, outcome: VerificationResult) {
        let waiting = self.outcome.clone();
        drop(self);
        waiting.send_replace(Some(outcome));
    }
}

// However it ends, the next lookup may start a request.
impl Drop for StartedLookup {
    fn drop(&mut self) {
        lock(&self.coalescer.in_flight).remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake};

    use super::*;
    use crate::client_limits::client_network;

    const NOW: UnixTime = UnixTime::from_seconds(0);

    fn enter(coalescer: &Arc<RequestCoalescer>, token: &str, client: &str) -> LookupEntry<()> {
        let client = client_network(client.parse().expect("an address"));
        coalescer.join_or_start(coalescer.digest(token), client, NOW, || None, || Ok(()))
    }

    #[test]
    fn one_client_starts_at_most_a_quarter_of_the_requests_in_flight() {
        let coalescer = RequestCoalescer::new(8);
        let mut started = Vec::new();
        for number in 0..12 {
            for client in [
                "10.0.0.1",
                "10.0.0.2",
                "2001:db8::1",
                "2001:db8::ffff",
                "10.0.0.3",
                "10.0.0.4",
            ] {
                if let LookupEntry::Started(one, ()) =
                    enter(&coalescer, &format!("{client} {number}"), client)
                {
                    started.push(client);
                    std::mem::forget(one);
                }
            }
        }
        let started_by = |network: &str| {
            started
                .iter()
                .filter(|client| client.starts_with(network))
                .count()
        };
        assert_eq!(started.len(), 8, "{started:?}");
        assert_eq!(
            (
                started_by("10.0.0.1"),
                started_by("10.0.0.2"),
                started_by("2001:db8:")
            ),
            (2, 2, 2),
            "{started:?}"
        );
    }

    #[test]
    fn joining_starts_no_request_and_a_finished_one_makes_room() {
        let coalescer = RequestCoalescer::new(1);
        let LookupEntry::Started(first, ()) = enter(&coalescer, "a", "10.0.0.1") else {
            panic!("expected a request")
        };
        assert!(matches!(
            enter(&coalescer, "a", "10.0.0.2"),
            LookupEntry::Joined(_)
        ));
        assert!(matches!(
            enter(&coalescer, "b", "10.0.0.2"),
            LookupEntry::Full
        ));
        first.finish(Err(invalid("inactive", String::new())));
        let LookupEntry::Started(second, ()) = enter(&coalescer, "b", "10.0.0.2") else {
            panic!("expected a request")
        };
        drop(second);
        assert!(matches!(
            enter(&coalescer, "c", "10.0.0.2"),
            LookupEntry::Started(..)
        ));
    }

    #[test]
    fn retry_at_the_moment_of_a_failure_starts_a_new_request() {
        /// Retries at the moment when it is woken.
        struct RetryOnWake(Arc<RequestCoalescer>, AtomicBool);

        impl Wake for RetryOnWake {
            fn wake(self: Arc<Self>) {
                self.1.store(
                    matches!(enter(&self.0, "a", "10.0.0.1"), LookupEntry::Started(..)),
                    Ordering::SeqCst,
                );
            }
        }

        let coalescer = RequestCoalescer::new(4);
        let LookupEntry::Started(started, ()) = enter(&coalescer, "a", "10.0.0.1") else {
            panic!("expected a request")
        };
        let client = Arc::new(RetryOnWake(Arc::clone(&coalescer), AtomicBool::new(false)));
        let (waker, mut outcome) = (Arc::clone(&client).into(), started.outcome());
        let mut finished = pin!(outcome.wait_for(Option::is_some));
        assert!(
            finished
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        started.finish(Err(VerifyError::Conflict));
        assert!(
            client.1.load(Ordering::SeqCst),
            "the failed request has ended"
        );
    }

    #[test]
    fn refused_token_is_remembered_until_negative_ttl_ends() {
        let coalescer = RequestCoalescer::new(4);
        let digest = coalescer.digest("a");
        coalescer.refuse(digest, "inactive", UnixTime::from_seconds(5));
        let client = "10.0.0.1".parse().expect("an address");
        let at = |seconds| {
            coalescer.join_or_start(
                digest,
                client,
                UnixTime::from_seconds(seconds),
                || None,
                || Ok(()),
            )
        };
        let LookupEntry::Known(outcome) = at(4) else {
            panic!("expected a known outcome")
        };
        assert!(matches!(
            *outcome,
            Err(VerifyError::Invalid {
                reason: "inactive",
                ..
            })
        ));
        assert!(matches!(at(5), LookupEntry::Started(..)));
        assert!(
            matches!(enter(&coalescer, "A", "10.0.0.1"), LookupEntry::Started(..)),
            "another token"
        );
    }
}
