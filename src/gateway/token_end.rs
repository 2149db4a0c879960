//! When a request ends with its token (`close_at_expiry`): the token expires, or is revoked.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::{Deadline, Ticker};
use crate::oauth::UnixTime;
use crate::revocation::Revocations;
use crate::verify::{VerifiedToken, Verifier};

/// The reason, in logs and metrics, of a stream that ended because its token expired.
const TOKEN_EXPIRED: &str = "token_ended";
/// The reason of a stream that ended because its token was revoked.
const TOKEN_REVOKED: &str = "token_revoked";

/// How often a stream looks whether anything was revoked. It ends within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What ends a token.
#[derive(Clone)]
pub(super) struct TokenEnd {
    valid_until: Option<UnixTime>,
    watched: Option<(Arc<VerifiedToken>, Arc<Revocations>)>,
}

/// Waits for the end of a token.
pub(super) struct TokenWatch {
    expiry: Option<Deadline>,
    revocation: Option<RevocationWatch>,
}

struct RevocationWatch {
    check: Deadline,
    token: Arc<VerifiedToken>,
    revocations: Arc<Revocations>,
    /// The generation of the revocations at the last lookup.
    generation: Cell<u64>,
}

impl TokenEnd {
    /// What ends this token; none if nothing does.
    pub(super) fn of(token: Arc<VerifiedToken>, verifier: &Verifier) -> Option<Self> {
        let valid_until = token.valid_until();
        let watched = verifier
            .revocations()
            .map(|revocations| (token, Arc::clone(revocations)));
        (valid_until.is_some() || watched.is_some()).then_some(Self {
            valid_until,
            watched,
        })
    }

    /// Begins to wait for it, with the deadlines of `ticker`.
    pub(super) fn watch(self, ticker: &Rc<Ticker>) -> Box<TokenWatch> {
        let armed = |after| {
            let deadline = ticker.deadline();
            deadline.arm(after);
            deadline
        };
        Box::new(TokenWatch {
            expiry: self.valid_until.map(|end| armed(end.since(ticker.wall()))),
            revocation: self.watched.map(|(token, revocations)| RevocationWatch {
                check: armed(CHECK_INTERVAL),
                token,
                revocations,
                // Whatever was revoked since the token was verified is noticed by the first check.
                generation: Cell::new(u64::MAX),
            }),
        })
    }
}

impl TokenWatch {
    /// The reason, once the token has ended.
    pub(super) async fn ended(&self) -> &'static str {
        poll_fn(|context| self.poll_ended(context)).await
    }

    /// Ready once the token has ended, with the reason. Registers the task to be woken then.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<&'static str> {
        if let Some(expiry) = &self.expiry
            && expiry.poll_passed(context).is_ready()
        {
            return Poll::Ready(TOKEN_EXPIRED);
        }
        let Some(watch) = &self.revocation else {
            return Poll::Pending;
        };
        while watch.check.poll_passed(context).is_ready() {
            if watch.is_revoked() {
                return Poll::Ready(TOKEN_REVOKED);
            }
            watch.check.arm(CHECK_INTERVAL);
        }
        Poll::Pending
    }
}

impl RevocationWatch {
    fn is_revoked(&self) -> bool {
        // Before the lookup, so that a later addition is noticed by the next one.
        let generation = self.revocations.generation();
        if self.generation.replace(generation) == generation {
            return false;
        }
        self.token.is_revoked_in(&self.revocations)
    }
}
