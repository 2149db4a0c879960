//! The state that the connections of one worker share, and the settings of a new connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use hyper::server::conn::http1::Builder;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Settings;
use super::eviction::{OpenConnections, is_idle};
use crate::client_limits::{ClientAddress, PeerCredentials};
use crate::clock::Ticker;
use crate::gateway::{Connection, ConnectionOrigin, Gate};
use crate::transport::{
    ConnectionState, ConnectionTimeouts, Interim, Stream, TimeoutStream, UNREAD_TIMEOUT,
};

/// How long a draining worker waits for the first bytes on a connection that it has accepted.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Most heads fit into this and are read at once.
const FIRST_READ: usize = 4096;

/// State that the connections of one worker share.
pub(super) struct WorkerState {
    pub(super) gate: Rc<Gate>,
    pub(super) ticker: Rc<Ticker>,
    pub(super) connections: Rc<OpenConnections>,
    settings: Arc<ArcSwap<Settings>>,
    connection_config: RefCell<Rc<ConnectionConfig>>,
    /// What [`read`](Self::read) reads into.
    read_buffer: RefCell<Box<[u8; FIRST_READ]>>,
    stopping: Cell<bool>,
    draining: Cell<bool>,
    pub(super) open: Cell<usize>,
    pub(super) closed: Notify,
    drained: Notify,
}

/// Settings that new client connections use.
pub(super) struct ConnectionConfig {
    pub(super) settings: Arc<Settings>,
    pub(super) http1: Builder,
    pub(super) timeouts: ConnectionTimeouts,
}

/// A client connection whose protocol is known.
pub(super) struct AcceptedConnection {
    pub(super) stream: TimeoutStream<Stream>,
    pub(super) state: Rc<ConnectionState>,
    pub(super) connection_config: Rc<ConnectionConfig>,
    /// The peer, or the client that its PROXY header names.
    pub(super) client: ClientAddress,
    pub(super) peer: Option<PeerCredentials>,
    pub(super) is_tls: bool,
    /// The index of the listener that accepted it.
    pub(super) listener: usize,
}

impl WorkerState {
    pub(super) fn new(
        gate: Rc<Gate>,
        ticker: Rc<Ticker>,
        settings: Arc<ArcSwap<Settings>>,
    ) -> Self {
        let connection_config = RefCell::new(Rc::new(ConnectionConfig::new(settings.load_full())));
        Self {
            gate,
            ticker,
            connections: Rc::default(),
            settings,
            connection_config,
            read_buffer: RefCell::new(Box::new([0; FIRST_READ])),
            stopping: Cell::new(false),
            draining: Cell::new(false),
            open: Cell::new(0),
            closed: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// The settings for a new connection; they are rebuilt after a reload.
    pub(super) fn connection_config(&self) -> Rc<ConnectionConfig> {
        let mut connection_config = self.connection_config.borrow_mut();
        let settings = self.settings.load();
        if !Arc::ptr_eq(&settings, &connection_config.settings) {
            *connection_config = Rc::new(ConnectionConfig::new(Arc::clone(&settings)));
        }
        Rc::clone(&connection_config)
    }

    /// The current settings.
    pub(super) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Whether responses say that the connection closes (`Connection: close`, GOAWAY).
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Whether connections close once their requests in flight are complete.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Waits for the first bytes of a client. `None` if the connection is evicted, or if none come
    /// within [`FIRST_REQUEST_TIMEOUT`] while the worker drains.
    ///
    /// A draining worker still waits: the request of an accepted connection may be on its way, and
    /// no other process will see it.
    pub(super) async fn until_first_request<T>(
        &self,
        state: &ConnectionState,
        waiting: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiting = pin!(self.unless_evicted(state, waiting));
        if !self.draining.get() {
            tokio::select! {
                biased;
                outcome = &mut waiting => return outcome,
                () = self.drained.notified() => {}
            }
        }
        timeout(FIRST_REQUEST_TIMEOUT, waiting).await.ok().flatten()
    }

    /// Waits for a future. `None` if the connection is evicted before.
    async fn unless_evicted<T>(
        &self,
        state: &ConnectionState,
        waiting: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiting = pin!(waiting);
        poll_fn(|context| {
            if let Poll::Ready(outcome) = waiting.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            if self.is_evicted(state) {
                return Poll::Ready(None);
            }
            state.watch_eviction(context);
            Poll::Pending
        })
        .await
    }

    /// Whether a connection is evicted. Call it after reading: if a request has begun meanwhile,
    /// the connection stays, and the connection that is idle for longest after it is evicted
    /// instead.
    pub(super) fn is_evicted(&self, state: &ConnectionState) -> bool {
        if state.is_evicted() && !is_idle(state, self.ticker.now()) {
            state.cancel_eviction();
            self.connections.evict(self.ticker.now());
        }
        state.is_evicted()
    }

    /// Reads once, and passes the bytes to `take`. Returns their number; zero at the end.
    ///
    /// All connections share the buffer: one that waits needs no memory for it.
    pub(super) async fn read(
        &self,
        stream: &mut TimeoutStream<Stream>,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        poll_fn(|context| {
            let mut buffer = self.read_buffer.borrow_mut();
            let mut buffer = ReadBuf::new(&mut buffer[..]);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Closes a connection, but reads on for up to [`UNREAD_TIMEOUT`]. Closing a socket with unread
    /// bytes resets it, and the client may lose a response that did not wait for the request's
    /// body.
    pub(super) async fn linger(&self, mut stream: TimeoutStream<Stream>, state: &ConnectionState) {
        let closing = async {
            stream.shutdown().await?;
            while self.read(&mut stream, |_| ()).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // The connection is closed whatever the outcome.
        let _ = timeout(UNREAD_TIMEOUT, self.unless_evicted(state, closing)).await;
    }

    /// Announces in responses that connections will close, and continues to serve requests.
    pub(super) fn begin_stopping(&self) {
        self.stopping.set(true);
        self.ticker.wake_all();
    }

    /// Closes every connection once its requests in flight are complete; idle ones at once.
    pub(super) fn begin_drain(&self) {
        self.stopping.set(true);
        self.draining.set(true);
        self.drained.notify_waiters();
        self.ticker.wake_all();
    }

    /// Waits until every connection is closed.
    pub(super) async fn drained(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

impl ConnectionConfig {
    fn new(settings: Arc<Settings>) -> Self {
        let http1 = settings.http1();
        let timeouts = ConnectionTimeouts {
            keep_alive: settings.keep_alive_timeout,
            header: settings.header_timeout,
            write: settings.body_idle_timeout,
        };
        Self {
            settings,
            http1,
            timeouts,
        }
    }
}

impl AcceptedConnection {
    /// The connection as the gateway sees it.
    pub(super) fn connection(&self, worker: &WorkerState, interim: Interim) -> Connection {
        let redirects = &self.connection_config.settings.redirects;
        let redirect = redirects.get(self.listener).cloned().flatten();
        let origin = ConnectionOrigin {
            client: self.client,
            peer: self.peer,
            is_tls: self.is_tls,
            redirect,
        };
        let state = Rc::clone(&self.state);
        worker.gate.connection(origin, state, interim)
    }
}
