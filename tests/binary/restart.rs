//! Stopping and starting again, with clients that do not wait for it.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::process::{Process, TIMEOUT, ask, inheriting, own_address, shipped, upstream, wait};

const RESTARTS: usize = 6;
/// Requests of each kind between two restarts.
const BETWEEN: usize = 20;

fn public(address: Ipv4Addr, upstream: SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 2\n[log]\naccess = false\n\
         [upstreams.up]\ntargets = \"http://{upstream}\"\npool_idle_timeout = \"30s\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// What the clients of one kind have come to.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    /// Connections that were closed between two requests, of which one had just been sent: HTTP/1.1 has the client send
    /// that again (RFC 9112 §9.3.1), and no byte of an answer may have come.
    sent_again: AtomicUsize,
    /// What must not be.
    lost: AtomicUsize,
}

impl Tally {
    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    fn add(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn lost(&self, what: &str) {
        eprintln!("lost: {what}");
        Self::add(&self.lost);
    }
}

/// One answer, or the bytes that came instead.
fn exchange(socket: &mut TcpStream, fields: &str) -> Result<String, String> {
    let mut read = Vec::new();
    let sent = socket.write_all(format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    while !read.ends_with(b"\r\n\r\nok") {
        let mut chunk = [0; 1024];
        match socket.read(&mut chunk) {
            Ok(count) if count > 0 => read.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err("no answer in time".to_owned());
            }
            _ if read.is_empty() => return Err(String::new()),
            ended => {
                return Err(format!(
                    "{sent:?}, {ended:?}, {}",
                    String::from_utf8_lossy(&read)
                ));
            }
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

fn connected(address: Ipv4Addr) -> TcpStream {
    let socket = TcpStream::connect((address, 8080)).expect("the socket listens all the time");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    socket
}

fn one_connection_for_each(address: Ipv4Addr, tally: &Tally) {
    match exchange(&mut connected(address), "Connection: close\r\n") {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 OK\r\n") => Tally::add(&tally.answered),
        other => tally.lost(&format!("a connection for one request: {other:?}")),
    }
}

fn one_connection_for_all(address: Ipv4Addr, kept: &mut Option<TcpStream>, tally: &Tally) {
    let is_new = kept.is_none();
    let socket = kept.get_or_insert_with(|| connected(address));
    match exchange(socket, "") {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 OK\r\n") => {
            Tally::add(&tally.answered);
            if answer
                .to_ascii_lowercase()
                .contains("\r\nconnection: close\r\n")
            {
                *kept = None;
            }
        }
        Err(nothing) if nothing.is_empty() && !is_new => {
            Tally::add(&tally.sent_again);
            *kept = None;
        }
        other => {
            tally.lost(&format!("a connection that is kept: {other:?}"));
            *kept = None;
        }
    }
}

/// Streams of one connection after another, each until the gateway says that it goes.
async fn streams(address: Ipv4Addr, tally: &Tally, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let socket = tokio::net::TcpStream::connect((address, 8080))
            .await
            .expect("the socket listens all the time");
        let (mut sender, connection) = match h2::client::handshake(socket).await {
            Ok(open) => open,
            Err(error) => return tally.lost(&format!("a handshake: {error}")),
        };
        let driven = tokio::spawn(connection);
        let mut is_new = true;
        while !stop.load(Ordering::SeqCst) {
            // Whoever was told that the connection goes takes another one.
            match poll_fn(|context| sender.poll_ready(context)).await {
                Ok(()) => {}
                Err(_) if !is_new => break,
                Err(error) => return tally.lost(&format!("a new connection: {error}")),
            }
            let request = http::Request::get(format!("http://{address}:8080/a"))
                .body(())
                .expect("a request");
            let outcome = match sender.send_request(request, true) {
                Ok((answer, _)) => whole(answer).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(true) => Tally::add(&tally.answered),
                // It says itself that it was not looked at (RFC 9113 §8.7).
                Err(error)
                    if !is_new
                        && (error.is_go_away()
                            || error.reason() == Some(h2::Reason::REFUSED_STREAM)) =>
                {
                    Tally::add(&tally.sent_again);
                    break;
                }
                Ok(false) => tally.lost("a stream: another status"),
                Err(error) => {
                    tally.lost(&format!("a stream: {error}"));
                    break;
                }
            }
            is_new = false;
        }
        drop(sender);
        let _ = driven.await;
    }
}

async fn whole(answer: h2::client::ResponseFuture) -> Result<bool, h2::Error> {
    let answer = answer.await?;
    let is_good = answer.status() == 200;
    let (mut body, mut read) = (answer.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data: Bytes = data?;
        let _ = body.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
    }
    Ok(is_good && read == b"ok")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn restarts_on_an_inherited_socket_lose_no_request() {
    let address = own_address();
    let socket = TcpListener::bind((address, 8080)).expect("an address of our own");
    let toml = public(address, upstream(address));
    let start = || {
        let process = Process::launch(
            inheriting(socket.try_clone().expect("an open socket")),
            &toml,
        );
        wait("it serves", || process.printed().1.contains("listening"));
        process
    };
    let mut process = start();
    let [single, kept, streamed] = [(); 3].map(|()| Arc::new(Tally::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (tally, stop_) = (Arc::clone(&single), Arc::clone(&stop));
        clients.push(thread::spawn(move || {
            while !stop_.load(Ordering::SeqCst) {
                one_connection_for_each(address, &tally);
            }
        }));
        let (tally, stop_) = (Arc::clone(&kept), Arc::clone(&stop));
        clients.push(thread::spawn(move || {
            let mut connection = None;
            while !stop_.load(Ordering::SeqCst) {
                one_connection_for_all(address, &mut connection, &tally);
            }
        }));
        let (tally, stop_) = (Arc::clone(&streamed), Arc::clone(&stop));
        clients.push(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(streams(address, &tally, &stop_));
        }));
    }
    let kinds = [&single, &kept, &streamed];
    let go_on = || {
        let before = kinds.map(|tally| tally.answered());
        wait("clients of every kind go on", || {
            kinds
                .iter()
                .zip(before)
                .all(|(tally, before)| tally.answered() >= before + BETWEEN)
        });
    };
    for restart in 0..RESTARTS {
        go_on();
        // Side by side, and one after the other, as systemd does it: then clients wait in the socket's queue.
        if restart % 2 == 0 {
            let next = start();
            process.signal("TERM");
            assert_eq!(process.stopped().code(), Some(0));
            process = next;
        } else {
            process.signal("TERM");
            assert_eq!(process.stopped().code(), Some(0));
            process = start();
        }
    }
    go_on();
    stop.store(true, Ordering::SeqCst);
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no client gives up"));
    for (kind, tally) in ["single", "kept", "streamed"].iter().zip(kinds) {
        let [answered, again, lost] = [&tally.answered, &tally.sent_again, &tally.lost]
            .map(|count| count.load(Ordering::SeqCst));
        println!("{kind}: {answered} answered, {again} sent again, {lost} lost");
        assert_eq!(lost, 0, "{kind}");
    }
    assert_eq!(single.sent_again.load(Ordering::SeqCst), 0);
    drop(process);
}

// One worker takes connections in the order in which they came.
fn one_worker(address: Ipv4Addr, more: &str) -> String {
    shipped(address).replace("[server]", &format!("[server]\nworkers = 1\n{more}"))
}

fn stopping(process: &Process) {
    process.signal("TERM");
    wait("it is stopping", || {
        process.printed().1.contains("shutting down")
    });
}

#[test]
fn client_that_was_let_in_is_served_though_the_gateway_ends() {
    let address = own_address();
    let mut process = Process::start(address, &one_worker(address, ""));
    let mut silent = connected(address);
    let mut begun = connected(address);
    begun
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("it reads");
    // Kept alive, and in the midst of the next head.
    let mut second = connected(address);
    second
        .write_all(b"HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    assert!(second.read(&mut [0; 1024]).expect("an answer") > 0);
    second
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("it reads");
    // Whoever came before this one was let in before it, and read before its answer was.
    assert!(
        ask(
            address,
            8080,
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .contains(" 404 ")
    );
    process.signal("TERM");
    wait("it lets nobody in", || {
        TcpStream::connect((address, 8080)).is_err()
    });
    silent
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("it reads");
    for mut client in [silent, begun, second] {
        client.write_all(b"st: a\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 404 ") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
    }
    assert_eq!(process.stopped().code(), Some(0));
}

#[test]
fn silent_client_does_not_keep_the_gateway_from_ending() {
    let address = own_address();
    let mut process = Process::start(address, &one_worker(address, "drain_timeout = \"1h\""));
    let _silent = connected(address);
    assert!(
        ask(
            address,
            8080,
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .contains(" 404 ")
    );
    stopping(&process);
    assert_eq!(process.stopped().code(), Some(0));
}

#[test]
fn client_of_http2_is_told_to_go() {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let address = own_address();
    let mut process = Process::start(address, &shipped(address));
    let mut client = connected(address);
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .expect("it reads");
    let frame = |mut client: &TcpStream| {
        let mut header = [0; 9];
        client.read_exact(&mut header).ok()?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
        client.read_exact(&mut payload).ok()?;
        Some((header[3], header[4], payload))
    };
    // The first one is its SETTINGS: it has the preface then.
    assert_eq!(frame(&client).map(|(kind, ..)| kind), Some(4));
    process.signal("TERM");
    let mut told = Vec::new();
    while let Some((kind, flags, payload)) = frame(&client) {
        if kind == GOAWAY {
            told.push(u32::from_be_bytes([
                payload[4], payload[5], payload[6], payload[7],
            ]));
        } else if kind == PING && flags == 0 {
            client
                .write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &*payload].concat())
                .expect("it reads");
        }
    }
    // NO_ERROR: first that it goes, then which stream was the last (RFC 9113 §6.8).
    assert_eq!(told, [0, 0]);
    assert_eq!(process.stopped().code(), Some(0));
}

#[test]
fn accepting_goes_on_for_drain_delay() {
    let nowhere = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (delay, is_over_by_itself) in [("1500ms", true), ("1h", false)] {
        let address = own_address();
        let mut process = Process::start(
            address,
            &one_worker(address, &format!("drain_delay = \"{delay}\"")),
        );
        let began = Instant::now();
        stopping(&process);
        assert!(ask(address, 8080, nowhere).contains(" 404 "), "{delay}");
        if !is_over_by_itself {
            process.signal("INT");
        }
        assert_eq!(process.stopped().code(), Some(0));
        assert!(
            !is_over_by_itself || began.elapsed() >= Duration::from_millis(1500),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(
            process
                .printed()
                .1
                .contains("drain aborted by a second signal"),
            !is_over_by_itself
        );
    }
}
