//! What came on an idle connection, and when it is known.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use http::HeaderValue;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tokio_rustls::TlsConnector;

use super::*;
use crate::telemetry::numbers::Gauge;
use crate::transport::{Stream, tls};
use crate::upstream::endpoint::Endpoints;
use crate::upstream::settings::Target;

const WITHIN: Duration = Duration::from_secs(10);
const STRAY: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// What an upstream does on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Nothing,
    Says(&'static [u8]),
    Closes,
}

/// An upstream with one connection, which says what it is told to.
struct Upstream {
    tell: Sender<Option<Vec<u8>>>,
    said: Receiver<()>,
}

impl Upstream {
    fn serve(mut stream: impl Read + Write + Send + 'static) -> Self {
        let (tell, told) = channel::<Option<Vec<u8>>>();
        let (say, said) = channel();
        thread::spawn(move || {
            while let Ok(Some(bytes)) = told.recv() {
                stream.write_all(&bytes).expect("it reads");
                stream.flush().expect("it reads");
                say.send(()).expect("the test waits");
            }
            drop(stream);
            // Nobody may wait for it any more.
            let _ = say.send(());
        });
        Self { tell, said }
    }

    fn says(&self, bytes: &[u8]) {
        self.tell.send(Some(bytes.to_vec())).expect("it runs");
        self.said.recv_timeout(WITHIN).expect("it says so");
    }

    fn closes(&self) {
        self.tell.send(None).expect("it runs");
        self.said.recv_timeout(WITHIN).expect("it closes");
    }
}

/// A connection, the upstream at its other end, and the socket for a look at what has come.
async fn connection(is_tls: bool) -> (Http1Connection, Upstream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (far, _) = listener.accept().expect("a connection");
    far.set_nodelay(true).expect("an open socket");
    socket.set_nonblocking(true).expect("an open socket");
    let seen = socket.try_clone().expect("an open socket");
    let socket = tokio::net::TcpStream::from_std(socket).expect("a runtime");
    let (stream, upstream) = if is_tls {
        let (client, server) = sessions();
        let session = ServerConnection::new(server).expect("a session");
        let upstream = Upstream::serve(StreamOwned::new(session, far));
        // The handshake goes on as the upstream writes.
        upstream.tell.send(Some(b"a".to_vec())).expect("it runs");
        let name = ServerName::try_from("a.test").expect("a name");
        let stream = TlsConnector::from(client)
            .connect(name, socket)
            .await
            .expect("a handshake");
        upstream.said.recv_timeout(WITHIN).expect("it says so");
        (Stream::Tls(Box::new(stream.into())), upstream)
    } else {
        let upstream = Upstream::serve(far);
        upstream.says(b"a");
        (Stream::Plain(socket), upstream)
    };
    let mut wire = Http1Connection::new(stream, Gauge::default().enter());
    // A response, read to its end: the reactor has seen it.
    assert_eq!(read(&mut wire).await, 1);
    (wire, upstream, seen)
}

async fn read(wire: &mut Http1Connection) -> usize {
    let length = std::future::poll_fn(|context| wire.poll_read(0, context))
        .await
        .expect("a response");
    wire.unread().clear();
    length
}

fn sessions() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let pair = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate");
    let certificate = CertificateDer::from(pair.cert);
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(tls::cryptography())
        .with_safe_default_protocol_versions();
    let server = ServerConfig::builder_with_provider(tls::cryptography())
        .with_safe_default_protocol_versions();
    (
        Arc::new(
            client
                .expect("TLS versions")
                .with_root_certificates(roots)
                .with_no_client_auth(),
        ),
        Arc::new(
            server
                .expect("TLS versions")
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .expect("a certificate"),
        ),
    )
}

fn endpoint() -> Arc<Endpoint> {
    let authority = HeaderValue::from_static("a.test");
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: 80,
        authority,
        tls_name: None,
    };
    Arc::clone(&Endpoints::of(&[target]).current()[0])
}

/// One worker's.
fn pool(endpoint: &Arc<Endpoint>) -> Http1Pool {
    Http1Pool {
        idle: RefCell::default(),
        capacity: Cell::new(8),
        idle_timeout: WITHIN,
        endpoint: Arc::clone(endpoint),
        upstream: "up".into(),
        known_unsolicited: Cell::new(0),
        watched_until: Cell::new(None),
    }
}

/// Waits until something has come, be it the end, while the reactor stands still.
fn comes(socket: &TcpStream) {
    let began = Instant::now();
    while socket
        .peek(&mut [0])
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    {
        assert!(began.elapsed() < WITHIN, "nothing came");
        thread::yield_now();
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime")
        .block_on(test);
}

/// The upstream does this, and it has come while the reactor stands still.
fn happens(then: Then, upstream: &Upstream, seen: &TcpStream) {
    match then {
        Then::Nothing => return,
        Then::Says(bytes) => upstream.says(bytes),
        Then::Closes => upstream.closes(),
    }
    comes(seen);
}

/// Whether a connection is reused that has rested, once something has come on it that nobody has turned the reactor for.
async fn is_reused(is_tls: bool, pool: &Http1Pool, then: Then) -> bool {
    let (wire, upstream, seen) = connection(is_tls).await;
    let now = Instant::now();
    pool.put(wire, now);
    happens(then, &upstream, &seen);
    thread::sleep(REUSE_DELAY);
    pool.take(now).is_some()
}

#[test]
fn connection_to_an_endpoint_that_was_found_out_is_not_reused_with_bytes_waiting() {
    for is_tls in [false, true] {
        for then in [
            Then::Nothing,
            Then::Says(STRAY),
            Then::Says(b"\n"),
            Then::Closes,
        ] {
            block_on(async {
                let endpoint = endpoint();
                endpoint.has_sent_unsolicited();
                let is_reused = is_reused(is_tls, &pool(&endpoint), then).await;
                assert_eq!(is_reused, then == Then::Nothing, "{then:?}, TLS: {is_tls}");
            });
        }
    }
}

#[test]
fn connection_is_not_reused_once_the_reactor_knows_that_something_has_come_and_its_endpoint_is_found_out()
 {
    for is_tls in [false, true] {
        for (then, unsolicited) in [
            (Then::Nothing, 0),
            (Then::Says(STRAY), 1),
            (Then::Says(b"\n"), 1),
            (Then::Says(b"HTTP/1.1 408 Request Timeout\r\n\r\n"), 0),
            (Then::Closes, 0),
        ] {
            for prunes in [false, true] {
                block_on(async {
                    let (wire, upstream, seen) = connection(is_tls).await;
                    let (endpoint, now) = (endpoint(), Instant::now());
                    let pool = pool(&endpoint);
                    pool.put(wire, now);
                    happens(then, &upstream, &seen);
                    // The reactor turns.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if prunes {
                        pool.prune(now);
                    }
                    assert_eq!(
                        pool.take(now).is_some(),
                        then == Then::Nothing,
                        "{then:?}, TLS: {is_tls}"
                    );
                    assert_eq!(
                        endpoint.unsolicited(),
                        unsolicited,
                        "{then:?}, TLS: {is_tls}"
                    );
                });
            }
        }
    }
}

#[test]
fn what_one_worker_finds_out_has_the_others_close_what_is_idle_and_let_connections_rest() {
    block_on(async {
        let (endpoint, now) = (endpoint(), Instant::now());
        let (one, other) = (pool(&endpoint), pool(&endpoint));
        let (mut stray, _upstream, _) = connection(false).await;
        let (idle, _other_upstream, _) = connection(false).await;
        other.put(idle, now);
        // It stands right behind a response.
        stray.unread().extend_from_slice(STRAY);
        one.put(stray, now);
        assert!(one.take(now).is_none() && other.take(now).is_none());

        let (wire, _upstream, _) = connection(false).await;
        other.put(wire, now);
        assert!(other.take(now).is_none(), "it rests");
        thread::sleep(REUSE_DELAY);
        let wire = other.take(now).expect("it has rested");
        // Until nothing of the kind has come for long enough.
        other.put(wire, now + WATCH);
        assert!(other.take(now + WATCH).is_some());
    });
}

#[test]
fn connection_is_not_reused_while_its_session_holds_what_came_on_it() {
    block_on(async {
        let (mut wire, upstream, seen) = connection(true).await;
        // One record: all of it is read from the socket, and most of it left in the session.
        upstream.says(&[b'x'; 16_000]);
        assert!(read(&mut wire).await < 16_000);
        assert!(
            seen.peek(&mut [0])
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        );
        let (pool, now) = (pool(&endpoint()), Instant::now());
        pool.put(wire, now);
        assert!(pool.take(now).is_none());
    });
}

#[test]
fn last_one_used_is_taken_first_unless_it_is_old() {
    block_on(async {
        let (one, _upstream, _) = connection(false).await;
        let (other, _other_upstream, _) = connection(false).await;
        let (pool, now) = (pool(&endpoint()), Instant::now());
        pool.put(
            one,
            now.checked_sub(WITHIN)
                .expect("the machine has run for longer"),
        );
        pool.put(other, now);
        assert!(pool.take(now).is_some() && pool.take(now).is_none());
    });
}
