//! An upstream that keeps every byte of a connection, for requests that must not look complete.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::TIMEOUT;

/// An HTTP/1.1 upstream that reports each head by an empty message and writes `early`. When a
/// connection ends, it reports all bytes received on it.
///
/// # Panics
/// If no port is free.
pub fn recording_upstream(early: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(mut socket), sender) = (socket, sender.clone()) else {
                return;
            };
            socket
                .set_read_timeout(Some(TIMEOUT))
                .expect("an open socket");
            thread::spawn(move || {
                let (mut all, mut chunk) = (Vec::new(), vec![0; 65_536]);
                let mut has_head = false;
                while let Ok(read @ 1..) = socket.read(&mut chunk) {
                    all.extend_from_slice(&chunk[..read]);
                    if !has_head && all.windows(4).any(|window| window == b"\r\n\r\n") {
                        has_head = true;
                        // An error means that the test has failed already.
                        let _ = sender.send(Vec::new());
                        let _ = socket.write_all(early);
                    }
                }
                let _ = sender.send(all);
            });
        }
    });
    (address, receiver)
}
