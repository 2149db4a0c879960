//! An upstream built with hyper's server: HTTP/1.1 or HTTP/2, plain or over TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A request, as far as it was received.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    pub version: Version,
    pub headers: HeaderMap,
    /// How many bytes of the body were received.
    pub body: usize,
    /// Whether the body ended properly.
    pub is_complete: bool,
}

/// A running server; it stops when dropped. The path selects the response: see [`respond`].
pub struct HyperServer {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
    open: Arc<AtomicUsize>,
    _stop: oneshot::Sender<()>,
}

type AnyBody = BoxBody<Bytes, std::io::Error>;

impl HyperServer {
    /// Starts it with HTTP/2 only if `is_http2`, else with HTTP/1.1 only.
    pub fn start(is_http2: bool, tls: Option<Arc<ServerConfig>>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let seen: Arc<Mutex<Vec<SeenRequest>>> = Arc::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket");
        let received = Arc::clone(&seen);
        let open: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&open);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a socket");
                let accept = async {
                    while let Ok((socket, _)) = listener.accept().await {
                        let (tls, seen, open) =
                            (tls.clone(), Arc::clone(&received), Arc::clone(&counted));
                        open.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(async move {
                            serve(socket, is_http2, tls, seen).await;
                            open.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            seen,
            open,
            _stop: stop,
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The requests received so far.
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn serve(
    socket: TcpStream,
    is_http2: bool,
    tls: Option<Arc<ServerConfig>>,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
) {
    let builder = Builder::new(TokioExecutor::new());
    let builder = if is_http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let service = service_fn(move |request| respond(request, Arc::clone(&seen)));
    // An error means that the gateway closed the connection, which it may.
    let _ = match tls {
        None => {
            builder
                .serve_connection(TokioIo::new(socket), service)
                .await
        }
        Some(tls) => match TlsAcceptor::from(tls).accept(socket).await {
            Ok(stream) => {
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            }
            Err(_) => return,
        },
    };
}

// `/echo` streams the body back. `/break` fails in the middle of the response body. Any other
// path reads the body, then responds `hello`.
async fn respond(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
) -> Result<Response<AnyBody>, Infallible> {
    let (head, body) = request.into_parts();
    let index = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(SeenRequest {
            version: head.version,
            headers: head.headers,
            body: 0,
            is_complete: false,
        });
        seen.len() - 1
    };
    let mut counted = CountedBody { body, seen, index };
    Ok(match head.uri.path() {
        "/echo" => Response::new(counted.boxed()),
        "/break" => {
            let half = BoxBody::new(TruncatedBody(Some(Bytes::from_static(b"half"))));
            Response::builder()
                .header("content-length", 8)
                .body(half)
                .expect("a response")
        }
        _ => {
            while let Some(Ok(_)) = counted.frame().await {}
            Response::new(
                Full::new(Bytes::from_static(b"hello"))
                    .map_err(|never| match never {})
                    .boxed(),
            )
        }
    })
}

/// A request body that records how much of it was received.
struct CountedBody {
    body: Incoming,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
    index: usize,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            let mut seen = self.seen.lock().expect("no panic");
            let seen = &mut seen[self.index];
            match frame {
                Some(Ok(frame)) => seen.body += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => {}
                None => seen.is_complete = true,
            }
            seen.is_complete |= matches!(frame, Some(Ok(_))) && self.body.is_end_stream();
        }
        polled.map_err(std::io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        false
    }
}

/// A body that yields some bytes and then fails.
pub struct TruncatedBody(pub Option<Bytes>);

impl Body for TruncatedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(bytes) = self.0.take() else {
            return Poll::Ready(Some(Err(std::io::ErrorKind::BrokenPipe.into())));
        };
        context.waker().wake_by_ref();
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
