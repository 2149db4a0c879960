//! How much of a response is read ahead of a client that does not take it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use harness::{Connection, Gateway, TIMEOUT, get};

const LENGTH: usize = 8 * 1024 * 1024;
const CLIENTS: usize = 10;
/// What may lie between the upstream and a client that takes nothing: in both of the gateway's sockets, in its memory, and
/// in the socket of the client.
const MAX_READ_AHEAD: usize = 2 * 1024 * 1024;

/// An upstream that answers with [`LENGTH`] bytes, and counts those that it could send.
struct Upstream {
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // What lies in its own socket counts as sent.
        SockRef::from(&listener)
            .set_send_buffer_size(16 * 1024)
            .expect("a socket");
        let (address, sent) = (
            listener.local_addr().expect("a bound socket"),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = Arc::clone(&sent);
        thread::spawn(move || {
            // The test ends with its process, and with it what still waits here.
            for socket in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(socket, &count));
            }
        });
        Self { address, sent }
    }

    /// Waits until it can send no more, and returns how much it has sent.
    fn stalled(&self) -> usize {
        let (began, mut last, mut since) = (Instant::now(), 0, Instant::now());
        while since.elapsed() < Duration::from_millis(500) || last == 0 {
            assert!(
                began.elapsed() < TIMEOUT,
                "it sends on and on: {last} bytes"
            );
            // Polls until the upstream cannot send more.
            thread::sleep(Duration::from_millis(20));
            let sent = self.sent.load(Ordering::SeqCst);
            if sent != last {
                (last, since) = (sent, Instant::now());
            }
        }
        last
    }
}

fn serve(mut socket: TcpStream, count: &AtomicUsize) {
    let mut request = Vec::new();
    loop {
        let mut byte = [0];
        if !matches!(socket.read(&mut byte), Ok(1)) {
            return;
        }
        request.push(byte[0]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let is_small = request.starts_with(b"GET /small");
        request.clear();
        let length = if is_small { 1 } else { LENGTH };
        let mut left = length;
        if socket
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
            .is_err()
        {
            return;
        }
        while left > 0 {
            let Ok(written) = socket.write(&[b'x'; 16 * 1024][..left.min(16 * 1024)]) else {
                return;
            };
            left -= written;
            count.fetch_add(written, Ordering::SeqCst);
        }
    }
}

#[test]
fn little_is_read_ahead_of_a_client_that_takes_nothing() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ));
    // Its connection tells how near the upstream is.
    assert_eq!(get(gateway.address, "/small", None).status, 200);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| Connection::open(gateway.address))
        .collect();
    clients
        .iter_mut()
        .for_each(|client| client.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    let each = upstream.stalled() / CLIENTS;
    assert!(each < MAX_READ_AHEAD, "{each} bytes for each client");
    for client in &mut clients {
        let answer = client.read(false);
        assert!(answer.complete && answer.body.len() == LENGTH);
    }
}
