//! Listening sockets: one for each worker and address. They are bound or inherited before the
//! workers start.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::bound_socket::BoundSocket;
use super::inherited::Inherited;
use super::socket_file::{SocketFile, listen_at};
use crate::config::ListenAddress;

/// The length of the accept queue; the kernel caps it at `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// How many unsent bytes of a response the kernel may hold for a client that does not read.
///
/// Without a limit it holds up to 4 MiB for each connection. Unlike `SO_SNDBUF`, this limit does
/// not bound the bytes in flight, so distant clients are not slowed down. Over loopback, 128 KiB
/// are as fast as no limit, and cost a tenth more CPU for a body of 200 MB.
const MAX_UNSENT: u32 = 128 * 1024;

/// Listening sockets: for each worker, one on each address.
#[derive(Debug)]
pub struct Listeners {
    addresses: Vec<ListenAddress>,
    sharing: Vec<Sharing>,
    workers: Vec<Vec<BoundSocket>>,
    files: Vec<SocketFile>,
}

/// Which process besides this one may accept connections to a listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// No other.
    Nobody,
    /// One with sockets of its own: `server.share_port`.
    Port,
    /// One with the same socket, which was inherited.
    Inherited,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", explanation(.address, .source))]
pub struct ListenError {
    /// The address.
    pub address: ListenAddress,
    /// Why.
    pub source: io::Error,
}

/// Listens on each address with one socket for each of `workers`. Port 0 picks a free one.
///
/// The workers' sockets share a port (`SO_REUSEPORT`), and the kernel spreads connections over
/// them. Unless `share_port` allows it, a port on which another socket listens is an error.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be listened on.
pub fn listen<A: Clone + Into<ListenAddress>>(
    addresses: &[A],
    workers: usize,
    share_port: bool,
) -> Result<Listeners, ListenError> {
    let addresses: Vec<_> = addresses.iter().cloned().map(Into::into).collect();
    listen_or_inherit(&addresses, workers, share_port, &mut Inherited::default())
}

/// As [`listen`], but uses the socket that was inherited for an address, if there is one.
///
/// All workers accept from that socket. A restart loses no connection of its queue: the next
/// process accepts it.
///
/// # Errors
/// [`ListenError`] for the first address that cannot be listened on.
pub fn listen_or_inherit(
    addresses: &[ListenAddress],
    workers: usize,
    share_port: bool,
    inherited: &mut Inherited,
) -> Result<Listeners, ListenError> {
    let workers = (0..workers).map(|_| Vec::new()).collect();
    let mut listeners = Listeners {
        addresses: Vec::new(),
        sharing: Vec::new(),
        workers,
        files: Vec::new(),
    };
    for address in addresses {
        let bound = match (inherited.take(address), address) {
            (Some(socket), _) => listeners.inherit(address, &socket),
            (None, ListenAddress::Ip(address)) => listeners.bind(*address, share_port),
            (None, ListenAddress::Unix(path)) => {
                listen_at(path, BACKLOG, share_port).and_then(|(socket, file)| {
                    listeners.files.push(file);
                    listeners.share(address, &BoundSocket::Unix(socket), Sharing::Nobody)
                })
            }
        };
        bound.map_err(|source| ListenError {
            address: address.clone(),
            source,
        })?;
    }
    Ok(listeners)
}

impl Listeners {
    fn inherit(&mut self, address: &ListenAddress, socket: &BoundSocket) -> io::Result<()> {
        if let BoundSocket::Tcp(socket) = socket {
            set_options_of_accepted(&SockRef::from(socket));
        }
        self.share(address, socket, Sharing::Inherited)
    }

    // All workers accept from one socket.
    fn share(
        &mut self,
        address: &ListenAddress,
        socket: &BoundSocket,
        sharing: Sharing,
    ) -> io::Result<()> {
        for sockets in &mut self.workers {
            sockets.push(socket.try_clone()?);
        }
        self.addresses.push(address.clone());
        self.sharing.push(sharing);
        Ok(())
    }

    // Each worker has a socket of its own.
    fn bind(&mut self, address: SocketAddr, share_port: bool) -> io::Result<()> {
        // Without SO_REUSEPORT, this bind fails if any other socket listens on the port. The probe
        // is closed right before the workers' sockets are bound.
        let probe = socket(address, share_port)?;
        let bound = probe.local_addr()?.as_socket().unwrap_or(address);
        if !share_port {
            drop(probe);
        }
        for sockets in &mut self.workers {
            let socket = socket(bound, true)?;
            set_options_of_accepted(&SockRef::from(&socket));
            socket.listen(BACKLOG)?;
            sockets.push(BoundSocket::Tcp(socket.into()));
        }
        self.addresses.push(bound.into());
        self.sharing.push(if share_port {
            Sharing::Port
        } else {
            Sharing::Nobody
        });
        Ok(())
    }

    /// The addresses, with the ports that were picked for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The sharing of each address, in their order.
    pub(super) fn sharing(&self) -> &[Sharing] {
        &self.sharing
    }

    /// The first socket of the first worker and its sharing, for a listener with one TCP address and
    /// one worker.
    pub(crate) fn into_first(self) -> Option<(TcpListener, Sharing)> {
        match self.workers.into_iter().next()?.into_iter().next()? {
            BoundSocket::Tcp(socket) => Some((socket, *self.sharing.first()?)),
            BoundSocket::Unix(_) => None,
        }
    }

    /// The sockets of each worker, and the files of those that are Unix sockets.
    pub(super) fn into_workers(self) -> (Vec<Vec<BoundSocket>>, Vec<SocketFile>) {
        (self.workers, self.files)
    }
}

fn socket(address: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process in TIME_WAIT must not block the port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses, so that both can be configured.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

// Accepted connections inherit these options: set here, they cost a connection no system call. If one
// cannot be set, the kernel's own setting holds.
fn set_options_of_accepted(socket: &SockRef<'_>) {
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT);
    // Otherwise small responses wait for the client's acknowledgement.
    let _ = socket.set_tcp_nodelay(true);
}

fn explanation(address: &ListenAddress, error: &io::Error) -> String {
    if address.ip().is_none() {
        return error.to_string();
    }
    let known = [
        (
            io::ErrorKind::AddrInUse,
            "the port is in use; stop what listens there, or choose another one",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "permission denied; choose a port above 1023, or grant CAP_NET_BIND_SERVICE",
        ),
        (
            io::ErrorKind::AddrNotAvailable,
            "no interface of this machine has that address",
        ),
    ];
    let known = known.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(
        || error.to_string(),
        |(_, explanation)| explanation.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_PORT: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn port_in_use_is_an_error_unless_it_may_be_shared() {
        let first = listen(&[ANY_PORT], 2, true).expect("a free port");
        let taken = first.addresses()[0].ip().expect("a port");
        let error = listen(&[taken], 2, false).expect_err("the port is taken");
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot listen on {taken}: the port is in use")),
            "{error}"
        );
        listen(&[taken], 2, true).expect("the port is shared");
    }

    #[test]
    fn accepted_connection_inherits_the_options_of_its_listener() {
        let listeners = listen(&[ANY_PORT], 1, false).expect("a free port");
        let address = listeners.addresses()[0].ip().expect("a port");
        let _client = std::net::TcpStream::connect(address).expect("it listens");
        let (socket, _) = listeners.into_first().expect("a socket");
        socket.set_nonblocking(false).expect("a socket");
        let (accepted, _) = socket.accept().expect("the client");
        assert_eq!(
            SockRef::from(&accepted)
                .tcp_notsent_lowat()
                .expect("Linux knows it"),
            MAX_UNSENT
        );
        assert!(accepted.nodelay().expect("Linux knows it"));
    }

    #[test]
    fn every_worker_listens_on_the_port_that_was_picked() {
        let listeners = listen(&[ANY_PORT], 3, false).expect("a free port");
        assert_ne!(
            listeners.addresses()[0].ip().map(|bound| bound.port()),
            Some(0)
        );
        for sockets in listeners.workers {
            let bound = match &sockets[0] {
                BoundSocket::Tcp(socket) => socket.local_addr().expect("a bound socket"),
                BoundSocket::Unix(_) => panic!("it has a port"),
            };
            assert_eq!(listeners.addresses[0], bound.into());
        }
    }
}
