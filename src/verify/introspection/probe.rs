//! Probes of a server that cannot be reached, until one reaches it.
//!
//! 1. A probe is a question about a token that nobody has: no token of a client's is kept for it. What the server answers
//!    says nothing about any token, only that it is there.
//! 2. A probe begins every [`MAX_RETRY_DELAY`], whatever becomes of the one before: a server that comes back while a probe
//!    hangs is found by the next.

use std::sync::{Arc, Weak};

use aws_lc_rs::rand;

use super::Introspection;
use super::error::IntrospectionError;

use super::circuit_breaker::{FIRST_RETRY_DELAY, MAX_RETRY_DELAY, OpenPeriod, Outage};
use crate::clock::{self, jitter};
use crate::oauth::UnixTime;

impl Introspection {
    /// Probes the server as long as the breaker is open since then; belongs in a task of the control plane. `now` is when
    /// this is called.
    pub(super) async fn probe(this: Weak<Self>, opened: OpenPeriod, now: UnixTime) {
        let began = clock::now();
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            // Not at the same time as every other gateway.
            tokio::time::sleep(jitter(delay)).await;
            // Its issuer may be in no configuration any more.
            let Some(this) = this
                .upgrade()
                .filter(|this| this.circuit_breaker.is_still_open(opened))
            else {
                return;
            };
            tokio::spawn(this.probe_once(opened, now.later_by(clock::since(began))));
            delay = MAX_RETRY_DELAY;
        }
    }

    async fn probe_once(self: Arc<Self>, opened: OpenPeriod, now: UnixTime) {
        let began = clock::now();
        let token = random_token();
        let response = tokio::time::timeout(
            self.settings.timeout,
            self.client.introspect(&token, &[], now),
        )
        .await;
        let error = response.unwrap_or(Err(IntrospectionError::TooSlow)).err();
        self.record_request(clock::since(began), error.as_ref());
        let is_reached =
            error.as_ref().and_then(IntrospectionError::outage) != Some(Outage::Unreachable);
        // A probe that hung through it all says nothing of a later outage.
        if is_reached && self.circuit_breaker.is_still_open(opened) {
            self.circuit_breaker.close();
        }
    }
}

// It is as no server issues them, and says in the server's log whose it is.
fn random_token() -> String {
    let mut random = [0; 16];
    // Without randomness there is no TLS and no key either: the process does not come this far.
    let _ = rand::fill(&mut random);
    format!("scopegate-probe-{:032x}", u128::from_ne_bytes(random))
}
