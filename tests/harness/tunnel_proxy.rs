//! A proxy that opens tunnels (RFC 9110 §9.3.6).

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Carries every tunnel to one server, whatever name its client asks for. It stops when dropped.
pub struct TunnelProxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl TunnelProxy {
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (heads, stopped) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (recorded, ends) = (Arc::clone(&heads), Arc::clone(&stopped));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(socket), recorded) = (socket, Arc::clone(&recorded)) else {
                    continue;
                };
                thread::spawn(move || carry(&socket, server, &recorded));
            }
        });
        Self {
            address,
            heads,
            stopped,
        }
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

impl Drop for TunnelProxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, so that it frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

// Errors mean that one side has closed the connection, which it may.
fn carry(mut client: &TcpStream, server: SocketAddr, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).expect("a head in ASCII");
    let is_tunnel = head.starts_with("CONNECT ");
    heads.lock().expect("no panic").push(head);
    if !is_tunnel {
        let _ = client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    let mut server = TcpStream::connect(server).expect("a listening server");
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
        return;
    }
    let mut from_server = server.try_clone().expect("an open socket");
    let mut to_client = client.try_clone().expect("an open socket");
    thread::spawn(move || {
        let _ = copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
}
