//! One client's connection, from accept to close.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::Settings;
use super::limit::Place;
use crate::clock::Ticker;
use crate::gateway::Gate;
use crate::net::{Interim, Pace, PaceLimits, Paced};

/// What the connections of one worker have in common.
pub(super) struct Serving {
    gate: Rc<Gate>,
    ticker: Rc<Ticker>,
    http: http1::Builder,
    limits: PaceLimits,
    draining: Cell<bool>,
    open: Cell<usize>,
    closed: Notify,
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
        let (draining, open, closed) = (Cell::new(false), Cell::new(0), Notify::new());
        Self { gate, ticker, http, limits, draining, open, closed }
    }

    /// Ends every connection after the request that is under way on it, at once where there is none; returns when all
    /// have ended.
    pub(super) async fn drain(&self) {
        self.draining.set(true);
        self.ticker.wake_all();
        while self.open.get() > 0 {
            self.closed.notified().await;
        }
    }
}

/// Serves one connection in a task of its own.
pub(super) fn serve(serving: &Rc<Serving>, socket: TcpStream, peer: SocketAddr, place: Place) {
    let open = Open::new(Rc::clone(serving), place);
    tokio::task::spawn_local(async move {
        let serving = &*open.serving;
        // Without it small answers wait for the client's acknowledgement; a socket that cannot do so is about to close.
        let _ = socket.set_nodelay(true);
        let (pace, interim) = (Pace::idle(), Interim::default());
        let paced = Paced::new(socket, Rc::clone(&pace), serving.limits, &serving.ticker);
        let io = TokioIo::new(paced.with_interim(interim.clone()));
        let connection = serving.gate.connection(peer.ip(), pace, interim);
        let connection = &connection;
        let service =
            service_fn(async move |request| Ok::<_, Infallible>(serving.gate.handle(connection, request).await));
        let mut exchange = pin!(serving.http.serve_connection(io, service));
        let mut told = false;
        let outcome = poll_fn(|context| {
            if serving.draining.get() && !told {
                told = true;
                exchange.as_mut().graceful_shutdown();
            }
            exchange.as_mut().poll(context)
        })
        .await;
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "connection ended");
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
