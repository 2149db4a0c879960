//! Unix sockets in front of servers that listen on TCP.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// A Unix socket whose connections are carried to a TCP address. It stops when dropped, and removes
/// its file.
pub struct UnixRelay {
    path: PathBuf,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl UnixRelay {
    pub fn start(path: &Path, address: SocketAddr) -> Self {
        let listener = UnixListener::bind(path).expect("a path without a file");
        let (connections, stopped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (accepted, ends) = (Arc::clone(&connections), Arc::clone(&stopped));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                accepted.fetch_add(1, Ordering::SeqCst);
                carry(&socket, address);
            }
        });
        Self {
            path: path.to_owned(),
            connections,
            stopped,
        }
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for UnixRelay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, so that it closes the socket.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn carry(socket: &UnixStream, address: SocketAddr) {
    let server = TcpStream::connect(address).expect("a listening server");
    let clone = |socket: &UnixStream| socket.try_clone().expect("an open socket");
    let (mut from_client, mut to_client) = (clone(socket), clone(socket));
    let mut to_server = server.try_clone().expect("an open socket");
    let mut from_server = server;
    // Errors mean that one side has closed the connection, which it may.
    thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
}
