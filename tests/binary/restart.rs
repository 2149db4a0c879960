//! Restarts under load: clients keep sending while processes stop and start.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::process::{
    Process, command_with_socket, connect, own_address, round_trip, shipped_configuration,
    start_upstream, wait_for,
};

const RESTARTS: usize = 6;
/// Responses that each kind of client gets between two restarts.
const RESPONSES_BETWEEN: usize = 20;

fn configuration(address: Ipv4Addr, upstream: SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 2\n[log]\naccess = false\n\
         [upstreams.up]\ntargets = \"http://{upstream}\"\npool_idle_timeout = \"30s\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// Counts for the clients of one kind.
#[derive(Default)]
struct Tally {
    responses: AtomicUsize,
    /// Requests sent on a connection that the gateway had just closed. The client sends them again
    /// (RFC 9112 §9.3.1), which is safe because no byte of a response has come.
    sent_again: AtomicUsize,
    /// Requests without a valid response; there must be none.
    lost: AtomicUsize,
}

impl Tally {
    fn responses(&self) -> usize {
        self.responses.load(Ordering::SeqCst)
    }

    fn add(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn lost(&self, what: &str) {
        eprintln!("lost: {what}");
        Self::add(&self.lost);
    }
}

/// Sends one request and reads its response. The error holds the bytes that came instead.
fn exchange(socket: &mut TcpStream, fields: &str) -> Result<String, String> {
    let mut read = Vec::new();
    let sent = socket.write_all(format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    while !read.ends_with(b"\r\n\r\nok") {
        let mut chunk = [0; 1024];
        match socket.read(&mut chunk) {
            Ok(count) if count > 0 => read.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err("no response in time".to_owned());
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

fn send_on_new_connection(address: Ipv4Addr, tally: &Tally) {
    match exchange(&mut connect(address, 8080), "Connection: close\r\n") {
        Ok(response) if response.starts_with("HTTP/1.1 200 OK\r\n") => Tally::add(&tally.responses),
        other => tally.lost(&format!("new connection: {other:?}")),
    }
}

fn send_on_persistent_connection(address: Ipv4Addr, kept: &mut Option<TcpStream>, tally: &Tally) {
    let is_new = kept.is_none();
    let socket = kept.get_or_insert_with(|| connect(address, 8080));
    match exchange(socket, "") {
        Ok(response) if response.starts_with("HTTP/1.1 200 OK\r\n") => {
            Tally::add(&tally.responses);
            if response
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
            tally.lost(&format!("persistent connection: {other:?}"));
            *kept = None;
        }
    }
}

/// Sends requests over HTTP/2, on a new connection after each GOAWAY.
async fn send_on_streams(address: Ipv4Addr, tally: &Tally, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let socket = tokio::net::TcpStream::connect((address, 8080))
            .await
            .expect("the inherited socket keeps listening");
        let (mut sender, connection) = match h2::client::handshake(socket).await {
            Ok(open) => open,
            Err(error) => return tally.lost(&format!("handshake: {error}")),
        };
        let driven = tokio::spawn(connection);
        let mut is_new = true;
        while !stop.load(Ordering::SeqCst) {
            // After GOAWAY the client opens another connection.
            match poll_fn(|context| sender.poll_ready(context)).await {
                Ok(()) => {}
                Err(_) if !is_new => break,
                Err(error) => return tally.lost(&format!("new connection: {error}")),
            }
            let request = http::Request::get(format!("http://{address}:8080/a"))
                .body(())
                .expect("a request");
            let outcome = match sender.send_request(request, true) {
                Ok((response, _)) => is_complete(response).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(true) => Tally::add(&tally.responses),
                // The gateway states that it did not process the request (RFC 9113 §8.7).
                Err(error)
                    if !is_new
                        && (error.is_go_away()
                            || error.reason() == Some(h2::Reason::REFUSED_STREAM)) =>
                {
                    Tally::add(&tally.sent_again);
                    break;
                }
                Ok(false) => tally.lost("stream: unexpected response"),
                Err(error) => {
                    tally.lost(&format!("stream: {error}"));
                    break;
                }
            }
            is_new = false;
        }
        drop(sender);
        let _ = driven.await;
    }
}

/// Whether the response is the complete one of the upstream.
async fn is_complete(response: h2::client::ResponseFuture) -> Result<bool, h2::Error> {
    let response = response.await?;
    let is_ok = response.status() == 200;
    let (mut body, mut read) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data: Bytes = data?;
        let _ = body.flow_control().release_capacity(data.len());
        read.extend_from_slice(&data);
    }
    Ok(is_ok && read == b"ok")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn restarts_on_an_inherited_socket_lose_no_request() {
    let address = own_address();
    let socket = TcpListener::bind((address, 8080)).expect("an address of our own");
    let toml = configuration(address, start_upstream(address));
    let start = || {
        let process = Process::launch(
            command_with_socket(socket.try_clone().expect("an open socket")),
            &toml,
        );
        wait_for("the gateway serves", || {
            process.printed().1.contains("listening")
        });
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
                send_on_new_connection(address, &tally);
            }
        }));
        let (tally, stop_) = (Arc::clone(&kept), Arc::clone(&stop));
        clients.push(thread::spawn(move || {
            let mut connection = None;
            while !stop_.load(Ordering::SeqCst) {
                send_on_persistent_connection(address, &mut connection, &tally);
            }
        }));
        let (tally, stop_) = (Arc::clone(&streamed), Arc::clone(&stop));
        clients.push(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(send_on_streams(address, &tally, &stop_));
        }));
    }
    let kinds = [&single, &kept, &streamed];
    let wait_for_progress = || {
        let before = kinds.map(|tally| tally.responses());
        wait_for("clients of every kind make progress", || {
            kinds
                .iter()
                .zip(before)
                .all(|(tally, before)| tally.responses() >= before + RESPONSES_BETWEEN)
        });
    };
    for restart in 0..RESTARTS {
        wait_for_progress();
        // Alternately overlapping and one after the other. systemd does the latter: clients wait in
        // the accept queue meanwhile.
        if restart % 2 == 0 {
            let next = start();
            process.signal("TERM");
            assert_eq!(process.wait_for_exit().code(), Some(0));
            process = next;
        } else {
            process.signal("TERM");
            assert_eq!(process.wait_for_exit().code(), Some(0));
            process = start();
        }
    }
    wait_for_progress();
    stop.store(true, Ordering::SeqCst);
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no client panics"));
    for (kind, tally) in ["single", "kept", "streamed"].iter().zip(kinds) {
        let [responses, again, lost] = [&tally.responses, &tally.sent_again, &tally.lost]
            .map(|count| count.load(Ordering::SeqCst));
        println!("{kind}: {responses} responses, {again} sent again, {lost} lost");
        assert_eq!(lost, 0, "{kind}");
    }
    assert_eq!(single.sent_again.load(Ordering::SeqCst), 0);
    drop(process);
}

/// A gateway whose single worker accepts connections in the order of their arrival.
fn one_worker(address: Ipv4Addr, more: &str) -> String {
    shipped_configuration(address).replace("[server]", &format!("[server]\nworkers = 1\n{more}"))
}

fn terminate(process: &Process) {
    process.signal("TERM");
    wait_for("the gateway drains", || {
        process.printed().1.contains("shutting down")
    });
}

#[test]
fn accepted_client_is_served_while_the_gateway_drains() {
    let address = own_address();
    let mut process = Process::start(address, &one_worker(address, ""));
    let mut silent = connect(address, 8080);
    let mut partial_head = connect(address, 8080);
    partial_head
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("the gateway reads");
    // Kept alive after a first response, and in the middle of the next head.
    let mut kept_alive = connect(address, 8080);
    kept_alive
        .write_all(b"HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("the gateway reads");
    assert!(kept_alive.read(&mut [0; 1024]).expect("a response") > 0);
    kept_alive
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("the gateway reads");
    // The worker accepted the connections above before this one, and read their bytes before it
    // responds.
    assert!(
        round_trip(
            address,
            8080,
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .contains(" 404 ")
    );
    process.signal("TERM");
    wait_for("the listener is closed", || {
        TcpStream::connect((address, 8080)).is_err()
    });
    silent
        .write_all(b"GET /nowhere HTTP/1.1\r\nHo")
        .expect("the gateway reads");
    for mut client in [silent, partial_head, kept_alive] {
        client
            .write_all(b"st: a\r\n\r\n")
            .expect("the gateway reads");
        let mut response = String::new();
        client.read_to_string(&mut response).expect("a response");
        assert!(
            response.starts_with("HTTP/1.1 404 ") && response.contains("\r\nconnection: close\r\n"),
            "{response}"
        );
    }
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn silent_client_does_not_delay_the_exit() {
    let address = own_address();
    let mut process = Process::start(address, &one_worker(address, "drain_timeout = \"1h\""));
    let _silent = connect(address, 8080);
    assert!(
        round_trip(
            address,
            8080,
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .contains(" 404 ")
    );
    terminate(&process);
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn http2_client_gets_goaway_at_sigterm() {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let address = own_address();
    let mut process = Process::start(address, &shipped_configuration(address));
    let mut client = connect(address, 8080);
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .expect("the gateway reads");
    let frame = |mut client: &TcpStream| {
        let mut header = [0; 9];
        client.read_exact(&mut header).ok()?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
        client.read_exact(&mut payload).ok()?;
        Some((header[3], header[4], payload))
    };
    // SETTINGS comes first: the gateway has read the preface.
    assert_eq!(frame(&client).map(|(kind, ..)| kind), Some(4));
    process.signal("TERM");
    let mut errors = Vec::new();
    while let Some((kind, flags, payload)) = frame(&client) {
        if kind == GOAWAY {
            errors.push(u32::from_be_bytes([
                payload[4], payload[5], payload[6], payload[7],
            ]));
        } else if kind == PING && flags == 0 {
            client
                .write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &*payload].concat())
                .expect("the gateway reads");
        }
    }
    // The error code of both is NO_ERROR: a warning first, then the last stream (RFC 9113 §6.8).
    assert_eq!(errors, [0, 0]);
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn connections_are_accepted_during_drain_delay() {
    let nowhere = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (delay, ends_by_itself) in [("1500ms", true), ("1h", false)] {
        let address = own_address();
        let mut process = Process::start(
            address,
            &one_worker(address, &format!("drain_delay = \"{delay}\"")),
        );
        let began = Instant::now();
        terminate(&process);
        assert!(
            round_trip(address, 8080, nowhere).contains(" 404 "),
            "{delay}"
        );
        if !ends_by_itself {
            process.signal("INT");
        }
        assert_eq!(process.wait_for_exit().code(), Some(0));
        assert!(
            !ends_by_itself || began.elapsed() >= Duration::from_millis(1500),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(
            process
                .printed()
                .1
                .contains("drain aborted by a second signal"),
            !ends_by_itself
        );
    }
}
