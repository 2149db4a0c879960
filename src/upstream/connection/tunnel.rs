//! A connection after a 101 (RFC 9110 §7.8).

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Response};

use super::http1::ResponseReader;
use super::socket::with_timeouts;
use crate::clock::Ticker;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::{ConnectionTimeouts, Stream, TimeoutStream};
use crate::upstream::headers::is_accepted_upgrade;

/// A connection whose protocol was switched. `G` is dropped with it.
pub struct Upgraded<G> {
    /// The connection.
    pub stream: TimeoutStream<Stream>,
    /// The bytes that arrived behind the 101.
    pub buffered: Bytes,
    _open: GaugeGuard,
    _guard: G,
}

impl<G> Upgraded<G> {
    /// The connection behind `response`, a 101 to a request with `requested` as its `Upgrade`.
    ///
    /// `None` if the 101 accepts no protocol that was requested, or came before the whole request
    /// was sent: then both ends would speak different protocols.
    pub(in crate::upstream) fn accept(
        response: &Response<()>,
        requested: Option<&HeaderValue>,
        reader: ResponseReader,
        timeouts: ConnectionTimeouts,
        ticker: &Rc<Ticker>,
        guard: G,
    ) -> Option<Self> {
        let (stream, buffered, open) = reader
            .into_parts()
            .filter(|_| is_accepted_upgrade(requested, response))?;
        let (stream, _) = with_timeouts(stream, timeouts, ticker);
        Some(Self {
            stream,
            buffered,
            _open: open,
            _guard: guard,
        })
    }
}
