//! What operators and their tools ask a running gateway: does it live, is it ready, what has it done?
//!
//! - `/livez`: 200 as long as every worker goes round; for whoever restarts what hangs.
//! - `/readyz`: 200 when requests can be judged, 503 with what is missing, and from the signal to stop on; for whoever
//!   sends requests. `?verbose` tells everything that was looked at.
//! - `/metrics`: the numbers, as text for Prometheus (OpenMetrics 1.0).
//!
//! It has a listener of its own, on the control plane: whoever reaches it learns route patterns, names of issuers and
//! addresses of upstreams, and nothing of any request. A connection is for one request, and bounded in time as a whole.

mod metrics;
mod places;
mod readiness;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::gateway::Publisher;
use crate::reload::Reloads;
use crate::server::Pulse;
use crate::telemetry::Telemetry;

use places::Places;

/// How long a connection may take, from its first byte to its last.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its head may take.
const FOR_A_HEAD: Duration = Duration::from_secs(2);
/// How long accepting pauses when the process or the machine has run out of something.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// A worker that has not gone round for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Everything that can be asked about.
pub struct Admin {
    publisher: Publisher,
    telemetry: Arc<Telemetry>,
    reloads: Arc<Reloads>,
    pulse: Pulse,
    clock: Clock,
    /// Whether the gateway was asked to stop.
    stopping: AtomicBool,
}

impl Admin {
    /// Tells of a gateway that runs.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        telemetry: Arc<Telemetry>,
        reloads: Arc<Reloads>,
        pulse: Pulse,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self { publisher, telemetry, reloads, pulse, clock, stopping: AtomicBool::new(false) })
    }

    /// Listens on `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// When the port is in use, say.
    pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Answers for ever; belongs on the control plane.
    ///
    /// # Errors
    /// When the socket is none that can be waited for.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let places = Places::new();
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    // Who may have no more is turned away at once, and stands in nobody's way.
                    let Some(place) = places.take(peer.ip().to_canonical()) else { continue };
                    let this = Arc::clone(&self);
                    tokio::spawn(async move {
                        let _place = place;
                        // Whoever is too slow, or gone, hears nothing more.
                        let _ = tokio::time::timeout(PATIENCE, this.serve_connection(socket)).await;
                    });
                }
                // Out of file descriptors, most likely: they come back as connections close.
                Err(error) => {
                    tracing::warn!(%error, "the admin listener cannot accept a connection");
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }

    /// The gateway was asked to stop: it is not ready from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    async fn serve_connection(self: Arc<Self>, socket: TcpStream) -> hyper::Result<()> {
        let service = service_fn(|request| {
            let this = Arc::clone(&self);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(FOR_A_HEAD).keep_alive(false).max_buf_size(16 * 1024);
        builder.serve_connection(TokioIo::new(socket), service).await
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned());
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/livez" if self.pulse.beats_within(HANGS_AFTER, Instant::now()) => text(StatusCode::OK, "ok\n".to_owned()),
            "/livez" => text(StatusCode::SERVICE_UNAVAILABLE, "a worker hangs\n".to_owned()),
            "/readyz" => {
                let is_verbose =
                    request.uri().query().is_some_and(|query| query.split('&').any(|key| key == "verbose"));
                let readiness = self.readiness();
                let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                text(status, readiness.told(is_verbose))
            }
            // A table of thousands of routes takes its time, and others wait on this thread.
            "/metrics" => match tokio::task::spawn_blocking(move || metrics::text(&self)).await {
                Ok(metrics) => {
                    let mut answer = text(StatusCode::OK, metrics);
                    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::MEDIA_TYPE));
                    answer
                }
                Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be told\n".to_owned()),
            },
            _ => text(StatusCode::NOT_FOUND, "expected /livez, /readyz or /metrics\n".to_owned()),
        }
    }
}

// What is told is of this moment.
fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
