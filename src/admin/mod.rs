//! What operators and their tools ask a running gateway: does it live, is it ready, what has it done?
//!
//! - `/livez`: 200 as long as every worker goes round; for whoever restarts what hangs.
//! - `/readyz`: 200 when requests can be judged, 503 with what is missing, and from the signal to stop on; for whoever
//!   sends requests. `?verbose` tells everything that was looked at.
//! - `/metrics`: the numbers, as text for Prometheus (OpenMetrics 1.0).
//!
//! It has a listener of its own, on the control plane: whoever reaches it learns route patterns, names of issuers and
//! addresses of upstreams, and nothing of any request. Only requests whose Host is known are answered. A connection is for
//! one request, and bounded in time as a whole.

mod connections;
mod host;
mod metrics;
mod readiness;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::client_limits::client_network;
use crate::clock::{self, Clock, http_date};
use crate::gateway::SharedSnapshot;
use crate::reload::Reloads;
use crate::server::{ListenError, Listeners, Pulse, close, listen};
use crate::telemetry::{Telemetry, Throttle};

use connections::{Connections, OpenConnection};

/// How long a connection may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its head may take.
const FOR_A_HEAD: Duration = Duration::from_secs(2);
/// How long open connections may still take when the listener is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long accepting pauses when the process or the machine has run out of something.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// A worker that has not gone round for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Everything that can be asked about.
pub struct Admin {
    publisher: SharedSnapshot,
    telemetry: Arc<Telemetry>,
    reloads: Arc<Reloads>,
    pulse: Pulse,
    clock: Clock,
    /// Whether the gateway was asked to stop.
    stopping: AtomicBool,
    closing: Notify,
    /// Bounds how often it is logged that a request was meant for another host.
    misdirected: Throttle,
}

impl Admin {
    /// Tells of a gateway that runs.
    #[must_use]
    pub fn new(
        publisher: SharedSnapshot,
        telemetry: Arc<Telemetry>,
        reloads: Arc<Reloads>,
        pulse: Pulse,
        clock: Clock,
    ) -> Arc<Self> {
        let (stopping, closing) = (AtomicBool::new(false), Notify::new());
        let misdirected = Throttle::new(host::LOGGED_EACH);
        Arc::new(Self {
            publisher,
            telemetry,
            reloads,
            pulse,
            clock,
            stopping,
            closing,
            misdirected,
        })
    }

    /// Listens on `address`; port 0 picks a free one. With `share_port` another process may listen there as well.
    ///
    /// # Errors
    /// When the port is in use, say.
    pub fn listen(address: SocketAddr, share_port: bool) -> Result<Listeners, ListenError> {
        listen(&[address], 1, share_port)
    }

    /// Answers until [`close`](Self::close) is called, and what has been asked by then; belongs on the control plane.
    ///
    /// # Errors
    /// When the socket is none that can be waited for.
    pub async fn serve(self: Arc<Self>, listeners: Listeners) -> io::Result<()> {
        let Some((socket, sharing)) = listeners.into_first() else {
            return Ok(());
        };
        let socket = TcpListener::from_std(socket)?;
        let connections = Connections::new();
        let serve = |socket, peer: SocketAddr| {
            let connection = connections.open(client_network(peer.ip()));
            tokio::spawn(Arc::clone(&self).serve_connection(socket, connection));
        };
        tokio::select! {
            () = accept(&socket, serve) => {}
            () = self.closing.notified() => {}
        }
        close(socket, sharing, serve).await;
        // An error means that somebody has still not asked anything, or does not take what was asked for.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, connections.all_ended()).await;
        Ok(())
    }

    /// Has [`serve`](Self::serve) accept no more connections, and return.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// The gateway was asked to stop: it is not ready from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    async fn serve_connection(self: Arc<Self>, socket: TcpStream, connection: OpenConnection) {
        let service = service_fn(|request| {
            connection.has_asked();
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(FOR_A_HEAD)
            .keep_alive(false)
            .max_buf_size(16 * 1024);
        let served = tokio::time::timeout(
            PATIENCE,
            builder.serve_connection(TokioIo::new(socket), service),
        );
        tokio::select! {
            // Whoever is too slow, or gone, hears nothing more.
            _ = served => {}
            () = connection.evicted() => {}
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let date = http_date(self.clock.now());
        let (parts, _) = request.into_parts();
        let mut answer = match self.misdirected(&parts) {
            Some(refusal) => refusal,
            None => self.answer_to(&parts).await,
        };
        answer.headers_mut().insert(header::DATE, date);
        answer
    }

    async fn answer_to(self: Arc<Self>, parts: &Parts) -> Response<Full<Bytes>> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
            answer
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match parts.uri.path() {
            "/livez" if self.pulse.beats_within(HANGS_AFTER, clock::now()) => {
                text(StatusCode::OK, "ok\n".to_owned())
            }
            "/livez" => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "a worker hangs\n".to_owned(),
            ),
            "/readyz" => {
                let is_verbose = parts
                    .uri
                    .query()
                    .is_some_and(|query| query.split('&').any(|key| key == "verbose"));
                let readiness = self.readiness();
                let status = if readiness.is_ready() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(status, readiness.told(is_verbose))
            }
            // A table of thousands of routes takes its time, and others wait on this thread.
            "/metrics" => match tokio::task::spawn_blocking(move || metrics::text(&self)).await {
                Ok(metrics) => {
                    let mut answer = text(StatusCode::OK, metrics);
                    answer.headers_mut().insert(
                        header::CONTENT_TYPE,
                        HeaderValue::from_static(metrics::MEDIA_TYPE),
                    );
                    answer
                }
                Err(_) => text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics could not be told\n".to_owned(),
                ),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "expected /livez, /readyz or /metrics\n".to_owned(),
            ),
        }
    }
}

async fn accept(listener: &TcpListener, serve: impl Fn(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => serve(socket, peer),
            // Out of file descriptors, most likely: they come back as connections close.
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

// What is told is of this moment.
fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}
