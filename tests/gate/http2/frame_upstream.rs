//! An upstream that speaks HTTP/2 frame by frame, as a test tells it.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::frame_connection::FrameConnection;
use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WHOLE, frame};
use harness::{TIMEOUT, TestBed};

/// What a gateway with `far` as upstream has besides.
pub(super) const FAR: &str = "[[routes]]\npath = \"/{*rest}\"\nupstream = \"far\"\n";

/// A request as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Which connection it came on, the first being 1.
    pub(super) connection: usize,
    pub(super) stream: u32,
    /// How many had come to the upstream before it.
    pub(super) earlier: usize,
    /// Whether its head was all of it.
    pub(super) is_whole: bool,
}

/// A running upstream; it stops when dropped.
pub(super) struct FrameUpstream {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<Call>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    resets: AtomicUsize,
    bodies: AtomicUsize,
    stopped: AtomicBool,
}

impl FrameUpstream {
    /// Sends these settings on each connection, and lets `serve` answer each request. Connections end when the gateway
    /// ends them.
    pub(super) fn start(
        values: &'static [(u16, u32)],
        serve: impl Fn(&mut FrameConnection, Call) + Send + Sync + 'static,
    ) -> Self {
        Self::start_over(None, values, serve)
    }

    /// The same over TLS.
    pub(super) fn start_over(
        tls: Option<Arc<ServerConfig>>,
        values: &'static [(u16, u32)],
        serve: impl Fn(&mut FrameConnection, Call) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (shared, serve) = (Arc::new(Shared::default()), Arc::new(serve));
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                if served.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(socket), shared, serve) = (socket, Arc::clone(&served), Arc::clone(&serve))
                else {
                    continue;
                };
                socket.set_nodelay(true).expect("an open socket");
                socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
                socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let wire = match &tls {
                    None => FrameConnection::over(socket),
                    Some(tls) => {
                        let session = ServerConnection::new(Arc::clone(tls)).expect("a session");
                        FrameConnection::over(StreamOwned::new(session, socket))
                    }
                };
                thread::spawn(move || shared.serve(wire, connection, values, &*serve));
            }
        });
        Self { address, shared }
    }

    /// All requests that came so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("no panic").clone()
    }

    /// How many connections came so far.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them have ended.
    pub(super) fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// How many streams the gateway has reset.
    pub(super) fn resets(&self) -> usize {
        self.shared.resets.load(Ordering::SeqCst)
    }

    /// How many bodies have come to their end.
    pub(super) fn whole_bodies(&self) -> usize {
        self.shared.bodies.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(
        &self,
        mut wire: FrameConnection,
        connection: usize,
        values: &[(u16, u32)],
        serve: &dyn Fn(&mut FrameConnection, Call),
    ) {
        if wire.welcome(values) {
            while let Some(frame) = wire.read() {
                let ends = frame.flags & END_STREAM != 0;
                match frame.kind {
                    HEADERS
                        if self.calls.lock().expect("no panic").iter().any(|call| {
                            (call.connection, call.stream) == (connection, frame.stream)
                        }) =>
                    {
                        _ = self.bodies.fetch_add(1, Ordering::SeqCst);
                    }
                    HEADERS => {
                        let call = {
                            let mut calls = self.calls.lock().expect("no panic");
                            let call = Call {
                                connection,
                                stream: frame.stream,
                                earlier: calls.len(),
                                is_whole: ends,
                            };
                            calls.push(call);
                            call
                        };
                        serve(&mut wire, call);
                    }
                    DATA if ends => _ = self.bodies.fetch_add(1, Ordering::SeqCst),
                    RST_STREAM => _ = self.resets.fetch_add(1, Ordering::SeqCst),
                    _ => {}
                }
            }
        }
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for FrameUpstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection, so that the port is free again.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// A whole answer of status 200 with this body.
pub(super) fn answer(stream: u32, body: &[u8]) -> Vec<u8> {
    // `:status: 200` is field 8 of the static table (RFC 7541 Appendix A).
    if body.is_empty() {
        return frame(HEADERS, WHOLE, stream, [0x88]);
    }
    [
        frame(HEADERS, END_HEADERS, stream, [0x88]),
        frame(DATA, END_STREAM, stream, body),
    ]
    .concat()
}

/// A stand whose route `/{*rest}` leads to `far`: what stands in front, and in the upstream's and the route's tables.
pub(super) fn test_bed(
    front: &str,
    far: &FrameUpstream,
    of_upstream: &str,
    of_route: &str,
) -> TestBed {
    TestBed::toml(
        front,
        "",
        "",
        &format!(
            "[upstreams.far]\ntargets = \"http://{}\"\nprotocol = \"http2\"\n{of_upstream}\n{FAR}{of_route}\n",
            far.address
        ),
    )
}
