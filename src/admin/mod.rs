//! The admin listener: liveness, readiness and metrics.
//!
//! - `/livez`: 200 while every worker's event loop runs. Supervisors restart a process that fails it.
//! - `/readyz`: 200 if requests can be judged, else 503 with what is missing. It is 503 from the
//!   signal to stop. Load balancers ask it. `?verbose` lists every check.
//! - `/metrics`: for Prometheus (OpenMetrics 1.0).
//! - `POST /revocations`: revokes tokens, for who shows `[admin] token`.
//!
//! The listener runs on the control plane. It discloses route patterns, names of issuers and
//! addresses of upstreams, and nothing of any request. It refuses requests with an unknown Host. A
//! connection carries one request and is bounded in time as a whole.

mod connections;
mod host;
mod metrics;
mod readiness;
mod revocations;

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
use crate::server::{ListenError, Listeners, Liveness, close, listen};
use crate::telemetry::{Telemetry, Throttle};
use crate::transport::accept;

use connections::{Connections, OpenConnection};

/// How long a connection may take, from its first byte to its last.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the request head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// How long open connections may still take when the listener is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// A worker whose event loop has not run for this time hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the admin listener.
pub struct Admin {
    shared_snapshot: SharedSnapshot,
    telemetry: Arc<Telemetry>,
    reloads: Arc<Reloads>,
    liveness: Liveness,
    clock: Clock,
    /// Whether the gateway was asked to stop.
    stopping: AtomicBool,
    closing: Notify,
    /// Limits log lines about requests for another host.
    misdirected: Throttle,
}

impl Admin {
    /// The admin service of a running gateway.
    #[must_use]
    pub fn new(
        shared_snapshot: SharedSnapshot,
        telemetry: Arc<Telemetry>,
        reloads: Arc<Reloads>,
        liveness: Liveness,
        clock: Clock,
    ) -> Arc<Self> {
        let (stopping, closing) = (AtomicBool::new(false), Notify::new());
        let misdirected = Throttle::new(host::LOG_INTERVAL);
        Arc::new(Self {
            shared_snapshot,
            telemetry,
            reloads,
            liveness,
            clock,
            stopping,
            closing,
            misdirected,
        })
    }

    /// Listens on `address`; port 0 picks a free one. With `share_port` another process may listen there as well.
    ///
    /// # Errors
    /// For example if the port is in use.
    pub fn listen(address: SocketAddr, share_port: bool) -> Result<Listeners, ListenError> {
        listen(&[address], 1, share_port)
    }

    /// Serves until [`close`](Self::close) is called, and then the open connections. Runs on the control
    /// plane.
    ///
    /// # Errors
    /// If the socket cannot be registered with the runtime.
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
        let accepting = async {
            loop {
                let (accepted, peer) = accept(&socket, log_exhausted).await;
                serve(accepted, peer);
            }
        };
        tokio::select! {
            () = accepting => {}
            () = self.closing.notified() => {}
        }
        close(socket, sharing, serve).await;
        // A timeout means that a client is slow to send its request or to read its response.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, connections.all_ended()).await;
        Ok(())
    }

    /// Makes [`serve`](Self::serve) stop accepting, and return.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// The gateway is shutting down: `/readyz` is 503 from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    async fn serve_connection(self: Arc<Self>, socket: TcpStream, connection: OpenConnection) {
        let service = service_fn(|request| {
            connection.request_received();
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.respond(request).await) }
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .keep_alive(false)
            .max_buf_size(16 * 1024);
        let served = tokio::time::timeout(
            REQUEST_TIMEOUT,
            builder.serve_connection(TokioIo::new(socket), service),
        );
        tokio::select! {
            // A client that is too slow gets no response.
            _ = served => {}
            () = connection.evicted() => {}
        }
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let date = http_date(self.clock.now());
        let (parts, body) = request.into_parts();
        let mut response = match self.misdirected(&parts) {
            Some(refusal) => refusal,
            None if parts.uri.path() == revocations::PATH => self.revoke(&parts, body).await,
            None => self.response_to(&parts).await,
        };
        response.headers_mut().insert(header::DATE, date);
        response
    }

    async fn response_to(self: Arc<Self>, parts: &Parts) -> Response<Full<Bytes>> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut response =
                text_response(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match parts.uri.path() {
            "/livez" if self.liveness.is_alive_within(HANG_TIMEOUT, clock::now()) => {
                text_response(StatusCode::OK, "ok\n".to_owned())
            }
            "/livez" => text_response(
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
                text_response(status, readiness.to_text(is_verbose))
            }
            // Thousands of routes take time to write, and would block this thread.
            "/metrics" => match tokio::task::spawn_blocking(move || metrics::text(&self)).await {
                Ok(metrics) => {
                    let mut response = text_response(StatusCode::OK, metrics);
                    response.headers_mut().insert(
                        header::CONTENT_TYPE,
                        HeaderValue::from_static(metrics::MEDIA_TYPE),
                    );
                    response
                }
                Err(_) => text_response(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics could not be written\n".to_owned(),
                ),
            },
            _ => text_response(
                StatusCode::NOT_FOUND,
                "expected /livez, /readyz, /metrics or /revocations\n".to_owned(),
            ),
        }
    }
}

async fn log_exhausted(error: io::Error) {
    tracing::warn!(%error, "admin accept failed");
}

// Every response describes this moment, so none may be cached.
fn text_response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
