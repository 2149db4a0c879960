//! Probes an unreachable server until it responds.
//!
//! 1. A probe introspects a random token, so no client's token is stored for it. The response only
//!    shows that the server is back.
//! 2. A probe begins every [`MAX_RETRY_DELAY`], even while the previous one hangs. So a server that
//!    recovers meanwhile is found by the next.

use std::sync::{Arc, Weak};

use aws_lc_rs::rand;

use super::Introspection;
use super::error::IntrospectionError;

use super::circuit_breaker::{FIRST_RETRY_DELAY, MAX_RETRY_DELAY, OpenPeriod, Outage};
use crate::clock::{self, jitter};
use crate::oauth::UnixTime;

impl Introspection {
    /// Probes the server until this open period of the circuit breaker ends. Runs as a task of the
    /// control plane.
    pub(super) async fn probe(this: Weak<Self>, opened: OpenPeriod, now: UnixTime) {
        let began = clock::now();
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            // Jitter: not at the same time as other gateways.
            tokio::time::sleep(jitter(delay)).await;
            // A reload may have removed the issuer.
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
        let introspect = async {
            let (response, url) = self.client.fetch(&token, now).await?;
            self.client.read(response, url, &[]).await
        };
        let response = tokio::time::timeout(self.settings.timeout, introspect).await;
        let error = response.unwrap_or(Err(IntrospectionError::TooSlow)).err();
        self.record_request(clock::since(began), error.as_ref());
        let is_reached =
            error.as_ref().and_then(IntrospectionError::outage) != Some(Outage::Unreachable);
        // A probe that hung through one outage says nothing about the next.
        if is_reached && self.circuit_breaker.is_still_open(opened) {
            self.circuit_breaker.close();
        }
    }
}

// No server issues such a token, and its name shows in the server's log where it comes from.
fn random_token() -> String {
    let mut random = [0; 16];
    // Without randomness there is no TLS, so the process would not get here.
    let _ = rand::fill(&mut random);
    format!("scopegate-probe-{:032x}", u128::from_ne_bytes(random))
}
