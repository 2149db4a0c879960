//! One client's connection, from accept to close.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Settings;
use super::limit::Place;
use super::tls::Certificates;
use crate::clock::Ticker;
use crate::gateway::Gate;
use crate::net::{End, Interim, Pace, PaceLimits, Paced, Stream};

/// What the connections of one worker have in common.
pub(super) struct Serving {
    gate: Rc<Gate>,
    ticker: Rc<Ticker>,
    http: http1::Builder,
    limits: PaceLimits,
    draining: Cell<bool>,
    open: Cell<usize>,
    closed: Notify,
    drained: Notify,
}

impl Serving {
    pub(super) fn new(gate: Rc<Gate>, ticker: Rc<Ticker>, settings: &Settings) -> Self {
        let mut http = http1::Builder::new();
        http.max_headers(settings.max_headers).max_header_size(settings.max_header_size);
        // Our own deadlines bound the head; hyper's would take a timer for each request.
        http.header_read_timeout(None);
        http.half_close(false);
        let limits = PaceLimits {
            keep_alive: settings.keep_alive_timeout,
            header: settings.header_timeout,
            write: settings.body_idle_timeout,
        };
        let (draining, open, closed, drained) = (Cell::new(false), Cell::new(0), Notify::new(), Notify::new());
        Self { gate, ticker, http, limits, draining, open, closed, drained }
    }

    // A handshake takes as long as a head may, and ends when the gateway does.
    async fn shake_hands(&self, socket: TcpStream, tls: Arc<ServerConfig>) -> io::Result<TlsStream<TcpStream>> {
        let handshake = TlsAcceptor::from(tls).accept(socket);
        tokio::select! {
            outcome = tokio::time::timeout(self.limits.header, handshake) => outcome?,
            () = self.drained.notified() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Ends every connection after the request that is under way on it, at once where there is none; returns when all
    /// have ended.
    pub(super) async fn drain(&self) {
        self.draining.set(true);
        self.drained.notify_waiters();
        self.ticker.wake_all();
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// Serves one connection in a task of its own.
pub(super) fn serve(
    serving: &Rc<Serving>,
    socket: TcpStream,
    peer: SocketAddr,
    certificates: Option<&Certificates>,
    place: Place,
) {
    let open = Open::new(Rc::clone(serving), place);
    let tls = certificates.map(Certificates::current);
    tokio::task::spawn_local(async move {
        let serving = &*open.serving;
        // Without it small answers wait for the client's acknowledgement; a socket that cannot do so is about to close.
        let _ = socket.set_nodelay(true);
        let is_tls = tls.is_some();
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => match serving.shake_hands(socket, tls).await {
                Ok(stream) => Stream::Tls(Box::new(stream.into())),
                Err(error) => {
                    tracing::debug!(%peer, %error, "no TLS connection came about");
                    return;
                }
            },
        };
        let (pace, interim) = (Pace::idle(), Interim::default());
        let paced = Paced::new(stream, Rc::clone(&pace), serving.limits, &serving.ticker);
        let io = TokioIo::new(paced.with_interim(interim.clone()));
        let connection = serving.gate.connection(peer.ip(), is_tls, Rc::clone(&pace), interim);
        let connection = &connection;
        let service =
            service_fn(async move |request| Ok::<_, Infallible>(serving.gate.handle(connection, request).await));
        let mut exchange = serving.http.serve_connection(io, service);
        let mut told = false;
        let outcome = poll_fn(|context| {
            if serving.draining.get() && !told {
                told = true;
                Pin::new(&mut exchange).graceful_shutdown();
            }
            Pin::new(&mut exchange).poll(context)
        })
        .await;
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "connection ended");
        } else if let Some(tunnel) = connection.take_tunnel() {
            let parts = exchange.into_parts();
            // The tunnel bounds the waiting from here on.
            pace.begin_exchange();
            tunnel.carry(End { stream: parts.io.into_inner(), early: parts.read_buf }, &serving.ticker).await;
        }
    });
}

/// A connection that is counted as long as it is open.
struct Open {
    serving: Rc<Serving>,
    _place: Place,
}

impl Open {
    fn new(serving: Rc<Serving>, place: Place) -> Self {
        serving.open.set(serving.open.get() + 1);
        Self { serving, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.open.set(self.serving.open.get() - 1);
        self.serving.closed.notify_one();
    }
}
