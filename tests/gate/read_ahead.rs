//! How much of a response the gateway buffers for a client that does not read.

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
/// What may be buffered for a client that does not read: in both sockets of the gateway, in its
/// memory, and in the socket of the client.
const MAX_BUFFERED: usize = 2 * 1024 * 1024;

/// An upstream that responds with [`LENGTH`] bytes and counts those that it could send.
struct Upstream {
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Bytes in its own send buffer count as sent, so the buffer is small.
        SockRef::from(&listener)
            .set_send_buffer_size(16 * 1024)
            .expect("a socket");
        let (address, sent) = (
            listener.local_addr().expect("a bound socket"),
            Arc::new(AtomicUsize::new(0)),
        );
        let count = Arc::clone(&sent);
        thread::spawn(move || {
            // These threads end with the process.
            for socket in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                thread::spawn(move || serve(socket, &count));
            }
        });
        Self { address, sent }
    }

    /// Waits until it cannot send for half a second, and returns how much it has sent.
    fn wait_until_stalled(&self) -> usize {
        let (began, mut last, mut since) = (Instant::now(), 0, Instant::now());
        while since.elapsed() < Duration::from_millis(500) || last == 0 {
            assert!(
                began.elapsed() < TIMEOUT,
                "the upstream never stalls: {last} bytes"
            );
            // Between two polls.
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
fn response_to_a_client_that_does_not_read_is_buffered_within_a_bound() {
    let upstream = Upstream::start();
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ));
    // When it connects for this request, the gateway measures the round trip to the upstream.
    assert_eq!(get(gateway.address, "/small", None).status, 200);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| Connection::open(gateway.address))
        .collect();
    clients
        .iter_mut()
        .for_each(|client| client.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\n"));
    let buffered = upstream.wait_until_stalled() / CLIENTS;
    assert!(buffered < MAX_BUFFERED, "{buffered} bytes for each client");
    for client in &mut clients {
        let response = client.read(false);
        assert!(response.complete && response.body.len() == LENGTH);
    }
}
