//! The connection after a response that switched protocols.

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use super::response_body::Completion;
use super::token_end::TokenWatch;
use crate::clock::Ticker;
use crate::telemetry::Outcome;
use crate::transport::{self, Stream, TimeoutStream, TunnelBytes, TunnelEnd};
use crate::upstream::UpgradedConnection;

/// A client connection and an upstream connection that now speak another protocol.
pub struct Tunnel {
    pub(super) upstream: UpgradedConnection,
    pub(super) completion: Box<Completion>,
    pub(super) idle_timeout: Duration,
    pub(super) token_watch: Option<Box<TokenWatch>>,
}

impl Tunnel {
    /// Copies bytes between the client and the upstream until both have finished, one of them
    /// breaks, both are idle for `body_idle_timeout`, or the token expires or is revoked on a
    /// route with `close_at_expiry`.
    pub async fn carry(self, client: TunnelEnd<TimeoutStream<Stream>>, ticker: &Rc<Ticker>) {
        let Self {
            upstream,
            mut completion,
            idle_timeout,
            token_watch,
        } = self;
        let (upstream_end, carried) = (
            TunnelEnd {
                stream: upstream.stream,
                buffered: upstream.buffered,
            },
            TunnelBytes::default(),
        );
        let record = &mut completion.record;
        let ended = async {
            match &token_watch {
                Some(watch) => watch.ended().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = transport::tunnel(client, upstream_end, &carried, idle_timeout, ticker) => {}
            reason = ended => record.outcome = Outcome::Broken(reason),
        }
        (record.request_bytes, record.response_bytes) =
            (carried.to_upstream.get(), carried.to_client.get());
    }
}
