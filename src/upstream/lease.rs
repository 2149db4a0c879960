//! What an exchange holds of its upstream while its answer is on the way.

use std::rc::Rc;

use tokio::task::JoinHandle;

use super::peer::{UnderWay, Way};
use super::pool::Connection;
use super::streams::Place;
use crate::clock::Ticker;

/// What an exchange holds of its upstream.
pub(super) struct Lease {
    held: Held,
    under_way: UnderWay,
    ticker: Rc<Ticker>,
}

enum Held {
    /// A whole connection.
    Connection(Connection),
    /// A stream of a connection, and the sending of the request's body where that goes on beside the answer.
    Stream { _place: Place, _upload: Option<Upload> },
}

/// The sending of a body in a task of its own; it ends when this is dropped.
pub(super) struct Upload(JoinHandle<()>);

impl Lease {
    pub(super) fn of_connection(connection: Connection, under_way: UnderWay, ticker: &Rc<Ticker>) -> Self {
        Self { held: Held::Connection(connection), under_way, ticker: Rc::clone(ticker) }
    }

    pub(super) fn of_stream(place: Place, upload: Option<Upload>, under_way: UnderWay, ticker: &Rc<Ticker>) -> Self {
        Self { held: Held::Stream { _place: place, _upload: upload }, under_way, ticker: Rc::clone(ticker) }
    }

    pub(super) fn ticker(&self) -> &Rc<Ticker> {
        &self.ticker
    }

    /// The exchange is complete.
    pub(super) fn give_back(self) {
        match (self.held, &self.under_way.way) {
            (Held::Connection(connection), Way::Http1(pool)) => pool.put(connection, self.ticker.now()),
            (Held::Connection(_), Way::Http2(_)) | (Held::Stream { .. }, _) => {}
        }
    }
}

impl Upload {
    pub(super) fn begin(sending: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(sending))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}
