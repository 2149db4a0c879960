//! When a pooled connection is reused, and when not.

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
use crate::telemetry::metrics::Gauge;
use crate::transport::{Stream, tls};
use crate::upstream::endpoint::list::Endpoints;
use crate::upstream::settings::{Target, TargetAddress};

const WITHIN: Duration = Duration::from_secs(10);
const UNSOLICITED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// What an upstream does on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    Sends(&'static [u8]),
    Closes,
}

/// An upstream with one connection, which sends bytes on command.
struct Upstream {
    commands: Sender<Option<Vec<u8>>>,
    done: Receiver<()>,
}

impl Upstream {
    fn serve(mut stream: impl Read + Write + Send + 'static) -> Self {
        let (commands, commanded) = channel::<Option<Vec<u8>>>();
        let (report, done) = channel();
        thread::spawn(move || {
            while let Ok(Some(bytes)) = commanded.recv() {
                stream.write_all(&bytes).expect("it reads");
                stream.flush().expect("it reads");
                report.send(()).expect("the test waits");
            }
            drop(stream);
            // The test may have ended.
            let _ = report.send(());
        });
        Self { commands, done }
    }

    fn send(&self, bytes: &[u8]) {
        self.commands.send(Some(bytes.to_vec())).expect("it runs");
        self.done.recv_timeout(WITHIN).expect("it sends them");
    }

    fn close(&self) {
        self.commands.send(None).expect("it runs");
        self.done.recv_timeout(WITHIN).expect("it closes");
    }
}

/// A connection, the upstream at its other end, and the socket to peek at.
async fn connect(is_tls: bool) -> (Http1Connection, Upstream, TcpStream) {
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
        // The first write of the upstream drives the handshake.
        upstream
            .commands
            .send(Some(b"a".to_vec()))
            .expect("it runs");
        let name = ServerName::try_from("a.test").expect("a name");
        let stream = TlsConnector::from(client)
            .connect(name, socket)
            .await
            .expect("a handshake");
        upstream.done.recv_timeout(WITHIN).expect("it sends them");
        (Stream::Tls(Box::new(stream.into())), upstream)
    } else {
        let upstream = Upstream::serve(far);
        upstream.send(b"a");
        (Stream::Plain(socket), upstream)
    };
    let mut connection = Http1Connection::new(stream, Gauge::default().enter());
    // A response that is read to its end: the reactor has seen it.
    assert_eq!(read(&mut connection).await, 1);
    (connection, upstream, seen)
}

async fn read(connection: &mut Http1Connection) -> usize {
    let length = std::future::poll_fn(|context| connection.poll_read(0, context))
        .await
        .expect("a response");
    connection.unread().clear();
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
        address: TargetAddress::Network {
            host: "127.0.0.1".to_owned(),
            port: 80,
        },
        authority,
        tls_name: None,
        weight: 1,
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

/// Waits until bytes or the end arrive, while the reactor stands still.
fn wait_for_bytes(socket: &TcpStream) {
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

/// Makes the upstream do something, and waits until it arrives while the reactor stands still.
fn apply(event: Event, upstream: &Upstream, seen: &TcpStream) {
    match event {
        Event::Nothing => return,
        Event::Sends(bytes) => upstream.send(bytes),
        Event::Closes => upstream.close(),
    }
    wait_for_bytes(seen);
}

/// Whether a connection is reused after the reuse delay, when `event` happened and the reactor has
/// not turned since.
async fn is_reused(is_tls: bool, pool: &Http1Pool, event: Event) -> bool {
    let (connection, upstream, seen) = connect(is_tls).await;
    let now = Instant::now();
    pool.put(connection, now);
    apply(event, &upstream, &seen);
    thread::sleep(REUSE_DELAY);
    pool.take(now).is_some()
}

#[test]
fn connection_to_a_watched_endpoint_is_not_reused_with_bytes_waiting() {
    for is_tls in [false, true] {
        for event in [
            Event::Nothing,
            Event::Sends(UNSOLICITED),
            Event::Sends(b"\n"),
            Event::Closes,
        ] {
            block_on(async {
                let endpoint = endpoint();
                endpoint.count_unsolicited_response();
                let is_reused = is_reused(is_tls, &pool(&endpoint), event).await;
                assert_eq!(
                    is_reused,
                    event == Event::Nothing,
                    "{event:?}, TLS: {is_tls}"
                );
            });
        }
    }
}

#[test]
fn bytes_known_to_the_reactor_close_an_idle_connection_and_count_as_unsolicited() {
    for is_tls in [false, true] {
        for (event, unsolicited) in [
            (Event::Nothing, 0),
            (Event::Sends(UNSOLICITED), 1),
            (Event::Sends(b"\n"), 1),
            (Event::Sends(b"HTTP/1.1 408 Request Timeout\r\n\r\n"), 0),
            (Event::Closes, 0),
        ] {
            for is_pruned in [false, true] {
                block_on(async {
                    let (connection, upstream, seen) = connect(is_tls).await;
                    let (endpoint, now) = (endpoint(), Instant::now());
                    let pool = pool(&endpoint);
                    pool.put(connection, now);
                    apply(event, &upstream, &seen);
                    // The reactor turns.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if is_pruned {
                        pool.prune(now);
                    }
                    assert_eq!(
                        pool.take(now).is_some(),
                        event == Event::Nothing,
                        "{event:?}, TLS: {is_tls}"
                    );
                    assert_eq!(
                        endpoint.unsolicited_responses(),
                        unsolicited,
                        "{event:?}, TLS: {is_tls}"
                    );
                });
            }
        }
    }
}

#[test]
fn unsolicited_response_to_one_worker_makes_every_worker_watch_the_endpoint() {
    block_on(async {
        let (endpoint, now) = (endpoint(), Instant::now());
        let (one, other) = (pool(&endpoint), pool(&endpoint));
        let (mut surplus, _upstream, _) = connect(false).await;
        let (idle, _other_upstream, _) = connect(false).await;
        other.put(idle, now);
        // These bytes arrived right behind a response.
        surplus.unread().extend_from_slice(UNSOLICITED);
        one.put(surplus, now);
        assert!(one.take(now).is_none() && other.take(now).is_none());

        let (connection, _upstream, _) = connect(false).await;
        other.put(connection, now);
        assert!(
            other.take(now).is_none(),
            "it was idle for less than the reuse delay"
        );
        thread::sleep(REUSE_DELAY);
        let connection = other.take(now).expect("the reuse delay has passed");
        // The watch ends after a period without unsolicited responses.
        other.put(connection, now + WATCH_PERIOD);
        assert!(other.take(now + WATCH_PERIOD).is_some());
    });
}

#[test]
fn connection_is_not_reused_while_its_tls_session_holds_unread_bytes() {
    block_on(async {
        let (mut connection, upstream, seen) = connect(true).await;
        // One record: all of it is read from the socket, and most of it left in the session.
        upstream.send(&[b'x'; 16_000]);
        assert!(read(&mut connection).await < 16_000);
        assert!(
            seen.peek(&mut [0])
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        );
        let (pool, now) = (pool(&endpoint()), Instant::now());
        pool.put(connection, now);
        assert!(pool.take(now).is_none());
    });
}

#[test]
fn most_recently_used_connection_is_taken_first_unless_it_is_expired() {
    block_on(async {
        let (one, _upstream, _) = connect(false).await;
        let (other, _other_upstream, _) = connect(false).await;
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
