//! Which tokens are being asked about, and by whom.
//!
//! 1. One question serves all who have the same token at the same time, and goes on when they hang up.
//! 2. There are at most `max_in_flight` questions, and one client may have started a quarter of them: inventing tokens
//!    costs nothing, and whoever does so must not keep the others from being asked about.
//! 3. A token that was found to be no good is remembered for a moment, as a keyed digest: nobody can make two tokens meet
//!    in one, and what is remembered is no use to who reads it.

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

/// What came of a question.
pub(super) type VerificationResult = Result<Arc<VerifiedToken>, VerifyError>;

/// A token that can be recognised and not be read.
pub(super) type Digest = [u8; 32];

/// The questions about the tokens of one issuer.
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

/// What is to be done about a token.
pub(super) enum LookupEntry<A> {
    /// Nothing: this is known already.
    Known(Box<VerificationResult>),
    /// Somebody asks already; wait for what comes of it.
    Joined(watch::Receiver<Option<VerificationResult>>),
    /// Ask, by this leave.
    Started(StartedLookup, A),
    /// Too much is asked already.
    Full,
}

/// A question that is under way, until it ends or is dropped.
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
            // The last ones: how often a token was refused before says nothing about the next one.
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

    /// Finds out what is to be done for a client, as [`client_network`](crate::client_limits::client_network) has it. `known` looks for an outcome that came in this very moment, and `admit` says whether
    /// the server may be asked at all; its error is an outcome.
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
        // An outcome is kept before its question ends, so what has just ended is found here.
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

    /// Remembers that a token is no good.
    pub(super) fn refuse(&self, digest: Digest, reason: &'static str, until: UnixTime) {
        self.refused.insert(digest, RefusedToken { reason, until });
    }
}

impl StartedLookup {
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// Where the outcome will be told.
    pub(super) fn outcome(&self) -> watch::Receiver<Option<VerificationResult>> {
        self.outcome.subscribe()
    }

    /// Tells the outcome to all who wait, and to nobody who comes after them: a failure must not outlast its question.
    pub(super) fn finish(self, outcome: VerificationResult) {
        let waiting = self.outcome.clone();
        drop(self);
        waiting.send_replace(Some(outcome));
    }
}

// However it ends, the next one may ask.
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
    fn one_client_starts_a_quarter_of_the_questions_and_all_together_no_more_than_there_may_be() {
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
    fn who_joins_starts_nothing_and_what_is_over_leaves_room() {
        let coalescer = RequestCoalescer::new(1);
        let LookupEntry::Started(first, ()) = enter(&coalescer, "a", "10.0.0.1") else {
            panic!("the first begins")
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
            panic!("there is room again")
        };
        drop(second);
        assert!(matches!(
            enter(&coalescer, "c", "10.0.0.2"),
            LookupEntry::Started(..)
        ));
    }

    #[test]
    fn who_is_told_of_a_failure_and_comes_again_asks_again() {
        /// Comes again in the very moment in which it is told.
        struct Impatient(Arc<RequestCoalescer>, AtomicBool);

        impl Wake for Impatient {
            fn wake(self: Arc<Self>) {
                self.1.store(
                    matches!(enter(&self.0, "a", "10.0.0.1"), LookupEntry::Started(..)),
                    Ordering::SeqCst,
                );
            }
        }

        let coalescer = RequestCoalescer::new(4);
        let LookupEntry::Started(started, ()) = enter(&coalescer, "a", "10.0.0.1") else {
            panic!("the first begins")
        };
        let client = Arc::new(Impatient(Arc::clone(&coalescer), AtomicBool::new(false)));
        let (waker, mut outcome) = (Arc::clone(&client).into(), started.outcome());
        let mut told = pin!(outcome.wait_for(Option::is_some));
        assert!(
            told.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        started.finish(Err(VerifyError::Conflict));
        assert!(client.1.load(Ordering::SeqCst), "the failure is over");
    }

    #[test]
    fn refusal_is_remembered_until_its_time() {
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
            panic!("it is known")
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
