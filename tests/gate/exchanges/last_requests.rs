//! The end of a connection whose client has announced that a request is its last (RFC 9112 §9.6).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, mpsc::channel};

use super::{gateway, read_head, upstream_once};
use harness::{TIMEOUT, eventually};

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// More than the sockets hold: a reset would cut it off.
const SIZE: usize = 8 * 1024 * 1024;

fn connect(gateway: &harness::Gateway) -> TcpStream {
    let socket = TcpStream::connect(gateway.address).expect("a listening gateway");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket
}

#[test]
fn connection_closes_at_once_after_the_last_request() {
    let (address, _serving) = upstream_once(|mut socket| {
        read_head(&mut socket);
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let gateway = gateway(address);
    let mut client = connect(&gateway);
    client.write_all(LAST).expect("the gateway reads");
    let mut response = Vec::new();
    client.read_to_end(&mut response).expect("an end");
    assert!(response.ends_with(b"\r\n\r\nok"), "{response:?}");
    // A gateway that read on would discard this.
    client.write_all(b"x").expect("the first byte is sent");
    eventually("the kernel resets a closed connection", || {
        client.take_error().is_ok_and(|error| error.is_some())
    });
}

#[test]
fn response_survives_what_a_client_sends_after_its_last_request() {
    for (together, surplus) in [(true, 2), (true, 200_000), (false, 1), (false, 200_000)] {
        let (sent, everything_is_sent) = channel();
        let everything_is_sent = Mutex::new(everything_is_sent);
        let (address, _serving) = upstream_once(move |mut socket| {
            read_head(&mut socket);
            let waiting = everything_is_sent.lock().expect("no panic");
            waiting.recv_timeout(TIMEOUT).expect("the client sends");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            let _ = socket.write_all(head.as_bytes());
            let _ = socket.write_all(&vec![b'a'; SIZE]);
        });
        let gateway = gateway(address);
        let mut client = connect(&gateway);
        let surplus = vec![b'x'; surplus];
        if together {
            let all = [LAST, &surplus].concat();
            client.write_all(&all).expect("the gateway reads");
        } else {
            client.write_all(LAST).expect("the gateway reads");
            client.write_all(&surplus).expect("the gateway reads");
        }
        sent.send(()).expect("the upstream waits");
        let mut response = Vec::new();
        let end = client.read_to_end(&mut response);
        let case = (together, surplus.len());
        assert!(
            end.is_ok(),
            "{case:?}: {end:?} after {} bytes",
            response.len()
        );
        assert!(response.ends_with(&[b'a'; 1024]), "{case:?}");
        assert!(response.len() > SIZE, "{case:?}");
    }
}
