//! Closes a listening socket without losing the connections that the kernel has accepted for it.
//!
//! The kernel completes handshakes by itself. When a listening socket is closed, the kernel resets
//! its queue of established connections, and every handshake that is not complete.
//!
//! 1. The queue is accepted before the socket is closed.
//! 2. If another process may share the port, the kernel gives each socket its part of the new
//!    connections until the socket is closed, so accepting alone leaves a race. A packet filter
//!    then drops the first packet of every further handshake. The client repeats it after a second
//!    (RFC 6298 §2.1), and by then only the other process listens. Handshakes that have begun are
//!    waited for.
//! 3. If the kernel hands the connections of a closed socket to the other sockets of its port
//!    (`net.ipv4.tcp_migrate_req`), no filter is needed, and no client waits for a second.
//! 4. Without another process there is no filter: clients are refused at once, not a second later.
//! 5. An inherited socket stays open in the process that made it, and keeps its queue. A filter on
//!    it would hold for the next process too.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::listen::{BACKLOG, Sharing};
use crate::transport::{Peer, accepted_unix, is_connection_error};

/// How long handshakes that have begun are waited for: a round trip to a client.
///
/// Clients with a longer round trip lose their connection. Some of those that begin a handshake
/// meanwhile wait for a second. The former is worse, so this is more than most clients need. No
/// cheap check shows whether a handshake is incomplete: reading /proc/net/tcp costs the kernel 10
/// ms for an empty table, and much more for a full one.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(100);

/// Whether the kernel hands connections of a closed socket to other sockets of the same port (Linux
/// 5.14 and later).
const TCP_MIGRATE_REQ: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// Accepts the connections in the kernel's queue, and closes the socket.
pub(crate) async fn close(
    listener: TcpListener,
    sharing: Sharing,
    mut accepted: impl FnMut(TcpStream, SocketAddr),
) {
    match sharing {
        Sharing::Port if !kernel_migrates() => match refuse_handshakes(&listener) {
            Ok(()) => accept_pending(&listener, &mut accepted).await,
            Err(error) => {
                tracing::warn!(%error, "cannot filter handshakes; closing the listener may reset connections");
            }
        },
        Sharing::Inherited => return,
        Sharing::Port | Sharing::Nobody => {}
    }
    // An error means that the socket is closed already.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    // Accepts from the kernel directly: the runtime learns of a connection only when it polls for
    // events. The limit is for a queue that fills as fast as it is emptied.
    for _ in 0..BACKLOG {
        match listener.accept() {
            Ok((socket, peer)) => {
                if let Ok(socket) = socket
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(socket))
                {
                    accepted(socket, peer);
                }
            }
            Err(error) if is_connection_error(&error) => {}
            Err(_) => break,
        }
    }
}

/// As [`close`], for a Unix socket. It has no handshake. The sockets of all workers are one: its queue
/// is closed with the last of them.
pub(super) fn close_unix(
    listener: UnixListener,
    sharing: Sharing,
    mut accepted: impl FnMut(TcpStream, Peer),
) {
    let Some(listener) = listener
        .into_std()
        .ok()
        .filter(|_| sharing != Sharing::Inherited)
    else {
        return;
    };
    for _ in 0..BACKLOG {
        let Ok((socket, _)) = listener.accept() else {
            break;
        };
        let stream = socket
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(socket));
        if let Ok((socket, peer)) = stream.and_then(accepted_unix) {
            accepted(socket, peer);
        }
    }
}

// Accepts connections whose handshake has begun.
async fn accept_pending(listener: &TcpListener, accepted: &mut impl FnMut(TcpStream, SocketAddr)) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => accepted(socket, peer),
                Err(error) if is_connection_error(&error) => {}
                Err(_) => return,
            }
        }
    };
    // The timeout is the usual end.
    let _ = tokio::time::timeout(HANDSHAKE_GRACE, accepting).await;
}

fn kernel_migrates() -> bool {
    fs::read(TCP_MIGRATE_REQ).is_ok_and(|setting| setting.trim_ascii() == b"1")
}

/// Drops packets that begin a handshake: those with SYN and without ACK.
fn refuse_handshakes(listener: &TcpListener) -> io::Result<()> {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// The offset of the flags. A filter of a TCP socket gets the packet from its TCP header on
    /// (RFC 9293 §3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        // Passes the whole packet.
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::server::listen;

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test)
    }

    fn shared(address: SocketAddr) -> (TcpListener, SocketAddr) {
        let listeners = listen(&[address], 1, true).expect("a free port");
        let bound = listeners.addresses()[0].ip().expect("a port");
        let (socket, _) = listeners.into_first().expect("a socket");
        (TcpListener::from_std(socket).expect("a runtime"), bound)
    }

    #[test]
    fn queue_is_accepted_before_the_socket_is_closed() {
        for sharing in [Sharing::Nobody, Sharing::Port] {
            run(async {
                let (listener, address) = shared(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
                let waiting: Vec<_> = (0..20)
                    .map(|_| std::net::TcpStream::connect(address).expect("it listens"))
                    .collect();
                let mut accepted = Vec::new();
                close(listener, sharing, |_, peer| accepted.push(peer)).await;
                let mut expected: Vec<_> = waiting
                    .iter()
                    .map(|one| one.local_addr().expect("connected"))
                    .collect();
                accepted.sort();
                expected.sort();
                assert_eq!(accepted, expected, "{sharing:?}");
                assert!(
                    std::net::TcpStream::connect(address).is_err(),
                    "{sharing:?}"
                );
            });
        }
    }

    #[test]
    fn handshake_that_begins_while_a_shared_socket_closes_completes_at_the_next_one() {
        for address in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ] {
            run(async {
                let (listener, address) = shared(address);
                refuse_handshakes(&listener).expect("a filter");
                let connecting = tokio::spawn(TcpStream::connect(address));
                let accepted = tokio::time::timeout(HANDSHAKE_GRACE, listener.accept()).await;
                assert!(accepted.is_err() && !connecting.is_finished(), "{address}");
                let (next, _) = shared(address);
                close(listener, Sharing::Nobody, |_, _| {
                    panic!("no handshake began")
                })
                .await;
                next.accept().await.expect("the client");
                connecting.await.expect("no panic").expect("a connection");
            });
        }
    }

    #[test]
    fn handshake_that_began_before_the_filter_completes() {
        run(async {
            let (listener, address) = shared(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
            let mut client = TcpStream::connect(address).await.expect("it listens");
            refuse_handshakes(&listener).expect("a filter");
            let (mut server, _) = listener.accept().await.expect("the client");
            drop(listener);
            // The accepted connection has the same filter, but none of its packets begins a
            // handshake.
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            client.write_all(b"ping").await.expect("it reads");
            let mut read = [0; 4];
            server.read_exact(&mut read).await.expect("it writes");
            assert_eq!(&read, b"ping");
        });
    }
}
