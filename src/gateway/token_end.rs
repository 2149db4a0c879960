//! When a response ends with its token (`close_at_expiry`): the token expires, or is revoked.

use std::cell::Cell;
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

/// What ends a stream.
pub(super) struct TokenEnd {
    valid_until: Option<UnixTime>,
    watched: Option<(Arc<VerifiedToken>, Arc<Revocations>)>,
}

/// Waits for the end of a token.
pub(super) struct StreamEnd {
    expiry: Option<Deadline>,
    watch: Option<Watch>,
}

struct Watch {
    check: Deadline,
    token: Arc<VerifiedToken>,
    revocations: Arc<Revocations>,
    /// When the token was looked up last.
    generation: Cell<u64>,
}

impl TokenEnd {
    /// What ends the streams of this token; none if nothing does.
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

    /// Waits for it with the deadlines of `ticker`.
    pub(super) fn watch(self, ticker: &Rc<Ticker>) -> Box<StreamEnd> {
        let armed = |after| {
            let deadline = ticker.deadline();
            deadline.arm(after);
            deadline
        };
        Box::new(StreamEnd {
            expiry: self.valid_until.map(|end| armed(end.since(ticker.wall()))),
            watch: self.watched.map(|(token, revocations)| Watch {
                check: armed(CHECK_INTERVAL),
                token,
                revocations,
                // Whatever was revoked since the token was verified is noticed by the first check.
                generation: Cell::new(u64::MAX),
            }),
        })
    }
}

impl StreamEnd {
    /// Ready once the token has ended, with the reason. Registers the task to be woken then.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<&'static str> {
        if let Some(expiry) = &self.expiry
            && expiry.poll_passed(context).is_ready()
        {
            return Poll::Ready(TOKEN_EXPIRED);
        }
        let Some(watch) = &self.watch else {
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

impl Watch {
    fn is_revoked(&self) -> bool {
        // Before the lookup, so that a later addition is noticed by the next one.
        let generation = self.revocations.generation();
        if self.generation.replace(generation) == generation {
            return false;
        }
        self.token.is_revoked_in(&self.revocations)
    }
}
