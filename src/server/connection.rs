//! One client's connection, from accept to close.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::BytesMut;
use hyper::server::conn::http1::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::clients::Counted;
use super::eviction::{OpenConnections, is_idle};
use super::limit::Place;
use super::{Settings, http1, http2};
use crate::clock::Ticker;
use crate::gateway::{Connection, Gate};
use crate::telemetry::Connections;
use crate::telemetry::numbers::GaugeGuard;
use crate::transport::{
    ConnectionState, ConnectionTimeouts, Interim, Stream, TimeoutStream, UNREAD_TIMEOUT,
};

/// What a client begins with who speaks HTTP/2 without having agreed to it (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client is still awaited that was let in and has not said anything, once the gateway ends. What it sent is on its way.
const NEWCOMER: Duration = Duration::from_secs(1);
/// Most heads fit into this, and are read in one go.
const FIRST_READ: usize = 4096;

/// What the connections of one worker have in common.
pub(super) struct Serving {
    pub(super) gate: Rc<Gate>,
    pub(super) ticker: Rc<Ticker>,
    pub(super) connections: Rc<OpenConnections>,
    settings: Arc<ArcSwap<Settings>>,
    manners: RefCell<Rc<Manners>>,
    ending: Cell<bool>,
    draining: Cell<bool>,
    open: Cell<usize>,
    closed: Notify,
    drained: Notify,
}

/// How a connection is served.
pub(super) struct Manners {
    pub(super) settings: Arc<Settings>,
    pub(super) http1: Builder,
    pub(super) limits: ConnectionTimeouts,
}

/// A client that has something to say.
pub(super) struct Arrival {
    pub(super) paced: TimeoutStream<Stream>,
    pub(super) pace: Rc<ConnectionState>,
    pub(super) manners: Rc<Manners>,
    peer: SocketAddr,
    is_tls: bool,
}

impl Serving {
    pub(super) fn new(
        gate: Rc<Gate>,
        ticker: Rc<Ticker>,
        settings: Arc<ArcSwap<Settings>>,
    ) -> Self {
        let manners = RefCell::new(Rc::new(Manners::new(settings.load_full())));
        Self {
            gate,
            ticker,
            connections: Rc::default(),
            settings,
            manners,
            ending: Cell::new(false),
            draining: Cell::new(false),
            open: Cell::new(0),
            closed: Notify::new(),
            drained: Notify::new(),
        }
    }

    /// How a new connection is served.
    fn manners(&self) -> Rc<Manners> {
        let mut manners = self.manners.borrow_mut();
        let settings = self.settings.load();
        if !Arc::ptr_eq(&settings, &manners.settings) {
            *manners = Rc::new(Manners::new(Arc::clone(&settings)));
        }
        Rc::clone(&manners)
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// Whether clients are told that their connections end: with the next response, or by GOAWAY.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Whether no more requests are wanted.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Waits for what a client does first on its connection, unless that is to make room for another one; only for a
    /// short time once the gateway ends.
    ///
    /// Whoever was let in counts on being served: its request may be on its way, and no other process will see it.
    pub(super) async fn newcomer<T>(
        &self,
        pace: &ConnectionState,
        waiting: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiting = pin!(self.unless_evicted(pace, waiting));
        if !self.draining.get() {
            tokio::select! {
                outcome = &mut waiting => return outcome,
                () = self.drained.notified() => {}
            }
        }
        timeout(NEWCOMER, waiting).await.ok().flatten()
    }

    /// Waits for something, unless the connection is to make room for another one.
    async fn unless_evicted<T>(
        &self,
        pace: &ConnectionState,
        waiting: impl Future<Output = T>,
    ) -> Option<T> {
        let mut waiting = pin!(waiting);
        poll_fn(|context| {
            if let Poll::Ready(outcome) = waiting.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            if self.is_evicted(pace) {
                return Poll::Ready(None);
            }
            pace.watch_eviction(context);
            Poll::Pending
        })
        .await
    }

    /// Whether a connection is to be closed now to make room for another one. What its client has sent must have been
    /// read: a request that has begun meanwhile is served, and the next longest idle connection is closed instead.
    pub(super) fn is_evicted(&self, pace: &ConnectionState) -> bool {
        if pace.is_evicted() && !is_idle(pace, self.ticker.now()) {
            pace.stay();
            self.connections.evict(self.ticker.now());
        }
        pace.is_evicted()
    }

    /// Closes a connection on which everything is said, but reads on for a while: a socket that is closed with bytes unread
    /// takes back what was last sent, an answer that did not wait for its request's body for one.
    pub(super) async fn linger(&self, mut stream: TimeoutStream<Stream>, pace: &ConnectionState) {
        let closing = async {
            stream.shutdown().await?;
            let mut discarded = BytesMut::with_capacity(FIRST_READ);
            while stream.read_buf(&mut discarded).await? > 0 {
                discarded.clear();
            }
            Ok::<_, io::Error>(())
        };
        // Whatever comes of it, the connection is over.
        let _ = timeout(UNREAD_TIMEOUT, self.unless_evicted(pace, closing)).await;
    }

    /// Tells clients from now on that their connections end, and goes on serving them.
    pub(super) fn begin_ending(&self) {
        self.ending.set(true);
        self.ticker.wake_all();
    }

    /// Ends every connection after the requests that are under way on it, at once where there are none.
    pub(super) fn begin_drain(&self) {
        self.ending.set(true);
        self.draining.set(true);
        self.drained.notify_waiters();
        self.ticker.wake_all();
    }

    /// Returns when all connections have ended.
    pub(super) async fn drained(&self) {
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

impl Manners {
    fn new(settings: Arc<Settings>) -> Self {
        let http1 = settings.http1();
        let limits = ConnectionTimeouts {
            keep_alive: settings.keep_alive_timeout,
            header: settings.header_timeout,
            write: settings.body_idle_timeout,
        };
        Self {
            settings,
            http1,
            limits,
        }
    }
}

impl Arrival {
    /// The client as the gate knows it.
    pub(super) fn connection(&self, serving: &Serving, interim: Interim) -> Connection {
        serving
            .gate
            .connection(self.peer.ip(), self.is_tls, Rc::clone(&self.pace), interim)
    }
}

/// Serves one connection in a task of its own.
pub(super) fn serve(
    serving: &Rc<Serving>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    guards: ConnectionGuards,
) {
    let open = Open::new(Rc::clone(serving), guards);
    tokio::task::spawn_local(async move {
        let pace = ConnectionState::idle();
        let ended = welcome(&open.serving, socket, peer, tls, &pace).await;
        if pace.is_evicted() {
            open.guards.connections.evicted.count();
        }
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    });
}

async fn welcome(
    serving: &Rc<Serving>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    pace: &Rc<ConnectionState>,
) -> io::Result<()> {
    // Without it small answers wait for the client's acknowledgement; a socket that cannot do so is about to close.
    let _ = socket.set_nodelay(true);
    let is_tls = tls.is_some();
    let manners = serving.manners();
    pace.watch(manners.limits, &serving.ticker);
    let _listed = serving.connections.enter(pace);
    let securing = secured(socket, tls, manners.limits.header, pace);
    let Some(stream) = serving.newcomer(pace, securing).await else {
        return Ok(());
    };
    let stream = stream?;
    let agreed = stream.speaks_http2();
    let mut paced = TimeoutStream::new(stream, Rc::clone(pace), manners.limits, &serving.ticker);
    let is_http2 = if agreed {
        true
    } else {
        let Some(begins) = serving.newcomer(pace, begins_with_http2(&mut paced)).await else {
            return Ok(());
        };
        // Over TLS it is what was agreed.
        begins? && !is_tls
    };
    let arrival = Arrival {
        paced,
        pace: Rc::clone(pace),
        manners,
        peer,
        is_tls,
    };
    if is_http2 {
        http2::serve(serving, arrival)
            .await
            .map_err(io::Error::other)
    } else {
        http1::serve(serving, arrival)
            .await
            .map_err(io::Error::other)
    }
}

// A handshake takes as long as a head may, the time before its first byte included. Until then the client is silent, and its
// connection may make room for another one.
async fn secured(
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    within: Duration,
    pace: &ConnectionState,
) -> io::Result<Stream> {
    let Some(tls) = tls else {
        return Ok(Stream::Plain(socket));
    };
    let handshake = async {
        // Not readable(): that may be ready although nothing has come.
        socket.peek(&mut [0]).await?;
        pace.begin_handshake();
        TlsAcceptor::from(tls).accept(socket).await
    };
    let stream = timeout(within, handshake).await??;
    pace.end_handshake();
    Ok(Stream::Tls(Box::new(stream.into())))
}

// What is read is given back: whoever serves the connection reads it again.
async fn begins_with_http2(paced: &mut TimeoutStream<Stream>) -> io::Result<bool> {
    let mut read = BytesMut::with_capacity(FIRST_READ);
    let begins = loop {
        if paced.read_buf(&mut read).await? == 0 {
            break false;
        }
        let length = read.len().min(HTTP2_PREFACE.len());
        if read[..length] != HTTP2_PREFACE[..length] {
            break false;
        }
        if length == HTTP2_PREFACE.len() {
            break true;
        }
    };
    paced.unread(read.freeze());
    Ok(begins)
}

/// A connection that is counted as long as it is open.
struct Open {
    serving: Rc<Serving>,
    guards: ConnectionGuards,
}

/// What a connection holds for as long as it is open.
pub(super) struct ConnectionGuards {
    pub(super) _place: Option<Place>,
    pub(super) _counted: Option<Counted>,
    pub(super) _entered: GaugeGuard,
    pub(super) connections: Arc<Connections>,
}

impl Open {
    fn new(serving: Rc<Serving>, guards: ConnectionGuards) -> Self {
        serving.open.set(serving.open.get() + 1);
        Self { serving, guards }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.open.set(self.serving.open.get() - 1);
        self.serving.closed.notify_one();
    }
}
