//! One worker's HTTP/2 connections to one endpoint.
//!
//! 1. An exchange takes a stream slot of the first connection that has one. Connections at the end
//!    of the list become idle when the load falls, and expire.
//! 2. Where no connection has a free slot, one more is opened, and every exchange that needs a slot
//!    waits for that one: a burst of requests does not become a burst of connections.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::Ticker;
use crate::upstream::connection::http2::{Http2Connection, StreamSlot};
use crate::upstream::settings::UpstreamSettings;

/// The connections to one endpoint.
pub(in crate::upstream) struct Http2Pool {
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    connecting: RefCell<Option<PendingConnect>>,
    idle_timeout: Duration,
    ticker: Rc<Ticker>,
}

/// The outcome of opening a connection, once it is known.
type PendingConnect = watch::Receiver<Option<Result<(), Arc<io::Error>>>>;

impl Http2Pool {
    pub(in crate::upstream) fn new(settings: &UpstreamSettings, ticker: &Rc<Ticker>) -> Self {
        Self {
            connections: RefCell::default(),
            connecting: RefCell::default(),
            idle_timeout: settings.pool_idle_timeout,
            ticker: Rc::clone(ticker),
        }
    }

    /// A slot of an open connection, if there is one.
    pub(in crate::upstream) fn take_slot(&self) -> Option<StreamSlot> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_closing());
        connections
            .iter()
            .find_map(|connection| connection.take_slot(&self.ticker))
    }

    /// Waits for one more connection, which `connect` opens unless one is being opened already.
    /// Returns whether this call began it.
    ///
    /// # Errors
    /// That of `connect`.
    pub(in crate::upstream) async fn add_connection<F>(
        self: &Rc<Self>,
        connect: impl FnOnce() -> F,
    ) -> (bool, io::Result<()>)
    where
        F: Future<Output = io::Result<Rc<Http2Connection>>> + 'static,
    {
        // A task that panicked sent no outcome. Nobody may wait for it again.
        let pending = self
            .connecting
            .borrow()
            .clone()
            .filter(|connecting| connecting.has_changed().is_ok());
        let is_first = pending.is_none();
        let mut connecting = pending.unwrap_or_else(|| self.spawn_connect(connect()));
        let outcome = match connecting.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            // The task panicked: it sends an outcome otherwise.
            Err(_) => Err(Arc::new(io::ErrorKind::ConnectionAborted.into())),
        };
        (
            is_first,
            outcome.map_err(|error| io::Error::new(error.kind(), error)),
        )
    }

    // In a task of its own: the exchange that began it may be cancelled while others wait for it.
    fn spawn_connect(
        self: &Rc<Self>,
        connect: impl Future<Output = io::Result<Rc<Http2Connection>>> + 'static,
    ) -> PendingConnect {
        let (sender, connecting) = watch::channel(None);
        *self.connecting.borrow_mut() = Some(connecting.clone());
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let outcome = connect
                .await
                .map(|connection| pool.connections.borrow_mut().push(connection));
            *pool.connecting.borrow_mut() = None;
            sender.send_replace(Some(outcome.map_err(Arc::new)));
        });
        connecting
    }

    /// Drops all connections. Each closes with the last exchange on it.
    pub(in crate::upstream) fn close(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Drops the connections that were idle for too long.
    pub(in crate::upstream) fn prune(&self, now: Instant) {
        self.connections.borrow_mut().retain(|connection| {
            !connection.is_closing() && !connection.is_idle_for(self.idle_timeout, now)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn panic_while_connecting_does_not_prevent_the_next_connect() {
        let pool = Rc::new(Http2Pool {
            connections: RefCell::default(),
            connecting: RefCell::default(),
            idle_timeout: Duration::ZERO,
            ticker: Ticker::new(Clock::system()),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default());
        runtime.expect("a runtime").block_on(async {
            let (is_first, outcome) = pool
                .add_connection(|| async { panic!("a planted fault") })
                .await;
            assert_eq!(
                (is_first, outcome.map_err(|error| error.kind())),
                (true, Err(io::ErrorKind::ConnectionAborted))
            );
            let (is_first, outcome) = pool
                .add_connection(|| async { Err(io::ErrorKind::ConnectionRefused.into()) })
                .await;
            assert_eq!(
                (is_first, outcome.map_err(|error| error.kind())),
                (true, Err(io::ErrorKind::ConnectionRefused))
            );
        });
    }
}
