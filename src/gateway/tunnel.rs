//! The connection after a response that switched protocols.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::response_body::TOKEN_EXPIRED;
use crate::clock::{Deadline, Ticker};
use crate::telemetry::{Outcome, Record};
use crate::transport::{self, Stream, TimeoutStream, TunnelBytes, TunnelEnd};
use crate::upstream::UpgradedConnection;

/// A client connection and an upstream connection that now speak another protocol.
pub struct Tunnel {
    pub(super) upstream: UpgradedConnection,
    pub(super) record: Box<Record>,
    pub(super) idle_timeout: Duration,
    pub(super) expiry: Option<Deadline>,
}

impl Tunnel {
    /// Copies bytes between the client and the upstream until both have finished, one of them
    /// breaks, both are idle for `body_idle_timeout`, or the token expires on a route with
    /// `close_at_expiry`.
    pub async fn carry(self, client: TunnelEnd<TimeoutStream<Stream>>, ticker: &Rc<Ticker>) {
        let Self {
            upstream,
            mut record,
            idle_timeout,
            expiry,
        } = self;
        let (upstream_end, carried) = (
            TunnelEnd {
                stream: upstream.stream,
                buffered: upstream.buffered,
            },
            TunnelBytes::default(),
        );
        let expired = poll_fn(|context| {
            expiry
                .as_ref()
                .map_or(Poll::Pending, |expiry| expiry.poll_passed(context))
        });
        tokio::select! {
            () = transport::tunnel(client, upstream_end, &carried, idle_timeout, ticker) => {}
            () = expired => record.outcome = Outcome::Broken(TOKEN_EXPIRED),
        }
        (record.request_bytes, record.response_bytes) =
            (carried.to_upstream.get(), carried.to_client.get());
    }
}
