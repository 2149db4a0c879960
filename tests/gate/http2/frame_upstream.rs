//! An HTTP/2 upstream whose frames a test writes itself.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::frame_connection::FrameConnection;
use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WHOLE, frame};
use harness::{TIMEOUT, TestBed};

/// A route to the upstream `far`, without its last keys.
pub(super) const FAR_ROUTE: &str = "[[routes]]\npath = \"/{*rest}\"\nupstream = \"far\"\n";

/// A received request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The number of its connection, from 1.
    pub(super) connection: usize,
    pub(super) stream: u32,
    /// How many requests the upstream received before.
    pub(super) earlier: usize,
    /// Whether its head had END_STREAM.
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
    /// Sends these settings on each connection, and runs `serve` for each request. Only the gateway
    /// closes connections.
    pub(super) fn start(
        values: &'static [(u16, u32)],
        serve: impl Fn(&mut FrameConnection, Call) + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, values, serve)
    }

    /// The same, over TLS if there is a configuration.
    pub(super) fn start_with(
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
                socket
                    .set_read_timeout(Some(TIMEOUT))
                    .expect("an open socket");
                socket
                    .set_write_timeout(Some(TIMEOUT))
                    .expect("an open socket");
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

    /// All requests received so far.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("no panic").clone()
    }

    /// How many connections were accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections have ended.
    pub(super) fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// How many streams the gateway has reset.
    pub(super) fn resets(&self) -> usize {
        self.shared.resets.load(Ordering::SeqCst)
    }

    /// How many request bodies were complete.
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
        if wire.accept_preface(values) {
            while let Some(frame) = wire.read() {
                let has_ended = frame.flags & END_STREAM != 0;
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
                                is_whole: has_ended,
                            };
                            calls.push(call);
                            call
                        };
                        serve(&mut wire, call);
                    }
                    DATA if has_ended => _ = self.bodies.fetch_add(1, Ordering::SeqCst),
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
        // Wakes the accepting thread, so that it releases the port.
        let _ = std::net::TcpStream::connect(self.address);
    }
}

/// The frames of a complete response with status 200 and this body.
pub(super) fn whole_response(stream: u32, body: &[u8]) -> Vec<u8> {
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

/// A test bed with a route `/{*rest}` to the upstream `far`, and more configuration: at the top, in
/// `[upstreams.far]` and in the route.
pub(super) fn test_bed(
    top: &str,
    upstream: &FrameUpstream,
    upstream_keys: &str,
    route_keys: &str,
) -> TestBed {
    TestBed::toml(
        top,
        "",
        "",
        &format!(
            "[upstreams.far]\ntargets = \"http://{}\"\nprotocol = \"http2\"\n{upstream_keys}\n{FAR_ROUTE}{route_keys}\n",
            upstream.address
        ),
    )
}
