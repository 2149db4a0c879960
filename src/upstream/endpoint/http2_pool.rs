//! The connections to one endpoint that exchanges share (HTTP/2), of one worker.
//!
//! 1. An exchange takes a place on the first connection that has one; the last ones get idle and go.
//! 2. Where all places are taken, one more connection is made, and everybody waits for that one: a burst of requests does
//!    not become a burst of connections.
//! 3. A connection has as many places as the target allows, and no more than [`MAX_STREAMS`].

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::watch;

use crate::clock::Ticker;
use crate::transport::ConnectionState;
use crate::upstream::settings::Settings;

/// What most servers allow; more connections serve more exchanges better than more streams do.
pub(in crate::upstream) const MAX_STREAMS: usize = 100;

/// A connection that exchanges share.
pub(in crate::upstream) struct Http2Connection {
    sender: SendRequest<Bytes>,
    pace: Rc<ConnectionState>,
    taken: Cell<usize>,
    is_gone: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// A place on a connection, taken until this is dropped.
pub(in crate::upstream) struct StreamSlot {
    connection: Rc<Http2Connection>,
    ticker: Rc<Ticker>,
}

/// The connections to one endpoint.
pub(in crate::upstream) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    dialing: RefCell<Option<Dialing>>,
    idle_timeout: Duration,
    ticker: Rc<Ticker>,
}

/// What becomes of a connection that is being made.
type Dialing = watch::Receiver<Option<Result<(), Arc<io::Error>>>>;

impl Http2Connection {
    pub(in crate::upstream) fn new(
        sender: SendRequest<Bytes>,
        pace: Rc<ConnectionState>,
        now: Instant,
    ) -> Rc<Self> {
        let (taken, is_gone, idle_since) = (Cell::new(0), Cell::new(false), Cell::new(now));
        Rc::new(Self {
            sender,
            pace,
            taken,
            is_gone,
            idle_since,
        })
    }

    /// It takes no more exchanges; those that are under way may end.
    pub(in crate::upstream) fn is_going(&self) {
        self.is_gone.set(true);
    }

    fn has_room(&self) -> bool {
        let places = self.sender.current_max_send_streams().clamp(1, MAX_STREAMS);
        !self.is_gone.get() && self.taken.get() < places && self.takes_more()
    }

    // One that has said goodbye is not at its end as long as answers are on their way.
    fn takes_more(&self) -> bool {
        let ready = self
            .sender
            .clone()
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(_)) = ready {
            self.is_going();
        }
        !self.is_gone.get()
    }
}

impl StreamSlot {
    pub(in crate::upstream) fn sender(&self) -> SendRequest<Bytes> {
        self.connection.sender.clone()
    }

    /// Whether the target has sent nothing at all on this connection for so long.
    pub(in crate::upstream) fn is_silent_for(&self, time: Duration) -> bool {
        let last_read = self.connection.pace.last_read();
        last_read.is_none_or(|last_read| self.ticker.now().duration_since(last_read) >= time)
    }

    /// The pace that its connection is watched at.
    pub(in crate::upstream) fn pace(&self) -> &Rc<ConnectionState> {
        &self.connection.pace
    }

    /// Its connection takes no more exchanges.
    pub(in crate::upstream) fn is_going(&self) {
        self.connection.is_going();
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.connection.taken.set(self.connection.taken.get() - 1);
        self.connection.idle_since.set(self.ticker.now());
    }
}

impl Http2Pool {
    pub(in crate::upstream) fn new(settings: &Settings, ticker: &Rc<Ticker>) -> Self {
        let (connections, dialing) = (RefCell::default(), RefCell::default());
        Self {
            connections,
            dialing,
            idle_timeout: settings.pool_idle_timeout,
            ticker: Rc::clone(ticker),
        }
    }

    /// A place on a connection that is there, if there is one.
    pub(in crate::upstream) fn take(&self) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_gone.get());
        let connection = connections
            .iter()
            .find(|connection| connection.has_room())?;
        connection.taken.set(connection.taken.get() + 1);
        Some(StreamSlot {
            connection: Rc::clone(connection),
            ticker: Rc::clone(&self.ticker),
        })
    }

    /// Waits for one more connection, which `connect` makes unless one is being made already. Returns whether it was this
    /// call that had it made.
    ///
    /// # Errors
    /// That of `connect`.
    pub(in crate::upstream) async fn more<F>(
        self: &Rc<Self>,
        connect: impl FnOnce() -> F,
    ) -> (bool, io::Result<()>)
    where
        F: Future<Output = io::Result<Rc<Http2Connection>>> + 'static,
    {
        // One whose task panicked told nothing, and is not waited for by everybody who comes after it.
        let in_flight = self
            .dialing
            .borrow()
            .clone()
            .filter(|dialing| dialing.has_changed().is_ok());
        let begins = in_flight.is_none();
        let mut dialing = in_flight.unwrap_or_else(|| self.dial(connect()));
        let outcome = match dialing.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            // The task that dials tells before it ends.
            Err(_) => Err(Arc::new(io::ErrorKind::ConnectionAborted.into())),
        };
        (
            begins,
            outcome.map_err(|error| io::Error::new(error.kind(), error)),
        )
    }

    // In a task of its own: whoever asked for it may go away, and others wait for it.
    fn dial(
        self: &Rc<Self>,
        connecting: impl Future<Output = io::Result<Rc<Http2Connection>>> + 'static,
    ) -> Dialing {
        let (tell, dialing) = watch::channel(None);
        *self.dialing.borrow_mut() = Some(dialing.clone());
        let streams = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let outcome = connecting
                .await
                .map(|connection| streams.connections.borrow_mut().push(connection));
            *streams.dialing.borrow_mut() = None;
            tell.send_replace(Some(outcome.map_err(Arc::new)));
        });
        dialing
    }

    /// Lets go of all connections; those that are in use end with the last exchange on them.
    pub(in crate::upstream) fn retire(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Lets go of the connections that have been idle for too long.
    pub(in crate::upstream) fn prune(&self, now: Instant) {
        self.connections.borrow_mut().retain(|connection| {
            let is_idle = connection.taken.get() == 0;
            !(connection.is_gone.get()
                || is_idle && now.duration_since(connection.idle_since.get()) >= self.idle_timeout)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn panic_while_dialing_does_not_keep_others_from_dialing() {
        let ticker = Ticker::new(Clock::system());
        let (connections, dialing) = (RefCell::default(), RefCell::default());
        let streams = Rc::new(Http2Pool {
            connections,
            dialing,
            idle_timeout: std::time::Duration::ZERO,
            ticker,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let (begins, outcome) = streams.more(|| async { panic!("a fault of ours") }).await;
            assert_eq!(
                (begins, outcome.map_err(|error| error.kind())),
                (true, Err(io::ErrorKind::ConnectionAborted))
            );
            let (begins, outcome) = streams
                .more(|| async { Err(io::ErrorKind::ConnectionRefused.into()) })
                .await;
            assert_eq!(
                (begins, outcome.map_err(|error| error.kind())),
                (true, Err(io::ErrorKind::ConnectionRefused))
            );
        });
    }
}
