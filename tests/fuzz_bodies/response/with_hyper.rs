//! hyper's HTTP/1.1 client, driven without sockets and without a runtime.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::outcome::{Field, Head, Outcome, fields};

/// After this many polls without effect the client waits for more bytes.
const IDLE_POLLS: usize = 3;

/// Parses these pieces; then the upstream closes the connection.
pub(crate) fn read(method: &Method, pieces: &[&[u8]]) -> Outcome {
    let sent = SentBytes::default();
    let mut context = Context::from_waker(Waker::noop());
    let handshake = pin!(http1::handshake::<_, Empty<Bytes>>(sent.clone()));
    let Poll::Ready(Ok((mut sender, connection))) = handshake.poll(&mut context) else {
        panic!("an HTTP/1.1 handshake completes at once");
    };
    let interim = Arc::new(Mutex::new(Vec::new()));
    let request = request(method, Arc::clone(&interim));
    let mut exchange = Exchange {
        // Without upgrades hyper drops the connection after a 101.
        connection: Box::pin(connection.with_upgrades()),
        response: Box::pin(sender.send_request(request)),
        body: None,
        is_connected: true,
        is_broken: false,
        outcome: Outcome::default(),
    };
    // Writes the request.
    exchange.run();
    for piece in pieces {
        sent.lock().pending.extend(*piece);
        exchange.run();
    }
    exchange.outcome.is_reusable =
        exchange.outcome.is_whole && exchange.is_connected && sender.is_ready();
    sent.lock().is_closed = true;
    exchange.run();
    let mut outcome = exchange.outcome;
    outcome.interim = std::mem::take(&mut *interim.lock().expect("no panic"));
    outcome.without_partial_body()
}

type Interim = (u16, Vec<Field>);

fn request(method: &Method, interim: Arc<Mutex<Vec<Interim>>>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    hyper::ext::on_informational(&mut request, move |response| {
        let seen = (response.status().as_u16(), fields(response.headers()));
        interim.lock().expect("no panic").push(seen);
    });
    request
}

/// A sent request, and its response as far as it was read.
struct Exchange {
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
    response: Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>,
    body: Option<Incoming>,
    is_connected: bool,
    is_broken: bool,
    outcome: Outcome,
}

impl Exchange {
    /// Polls until neither the connection nor the response makes progress.
    fn run(&mut self) {
        let mut idle = 0;
        while idle < IDLE_POLLS {
            idle = if self.poll_once() { 0 } else { idle + 1 };
        }
    }

    /// Polls once. Returns whether the response made progress.
    fn poll_once(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        if self.is_connected {
            self.is_connected = self.connection.as_mut().poll(&mut context).is_pending();
        }
        if self.is_broken || self.outcome.is_whole {
            return false;
        }
        let Some(body) = &mut self.body else {
            let Poll::Ready(response) = self.response.as_mut().poll(&mut context) else {
                return false;
            };
            match response {
                Ok(response) => {
                    self.outcome.head = Some(Head::of(&response));
                    // What follows is another protocol.
                    self.outcome.is_whole = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    self.body = Some(response.into_body());
                }
                Err(_) => self.is_broken = true,
            }
            return true;
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(&mut context) else {
            return false;
        };
        match frame {
            None => self.outcome.is_whole = true,
            Some(Err(_)) => self.is_broken = true,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.outcome.content.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().expect("data or trailers");
                    self.outcome.trailers = fields(&trailers);
                }
            },
        }
        true
    }
}

/// The bytes that the upstream has sent.
#[derive(Clone, Default)]
struct SentBytes(Arc<Mutex<Sent>>);

#[derive(Default)]
struct Sent {
    pending: VecDeque<u8>,
    is_closed: bool,
}

impl SentBytes {
    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().expect("no panic")
    }
}

impl Read for SentBytes {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut sent = self.lock();
        if sent.pending.is_empty() && !sent.is_closed {
            return Poll::Pending;
        }
        let read = sent.pending.len().min(buffer.remaining());
        let bytes: Vec<u8> = sent.pending.drain(..read).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl Write for SentBytes {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
