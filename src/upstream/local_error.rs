//! Failures to connect that this process or machine causes.
//!
//! 1. An endpoint is judged by its own failures. A process without descriptors fails at every
//!    endpoint, and would eject them all. So a local failure counts neither for nor against an
//!    endpoint, in passive ejection and in health checks.
//! 2. A failure before the kernel knows the endpoint's address is local. Of later failures, only
//!    those are by which Linux reports its own limits.
//! 3. `EADDRNOTAVAIL` has two meanings. Either no local port is free, which is local. Or no local
//!    address reaches the endpoint (IPv6 on a machine without it), which is not: that endpoint has
//!    to be ejected so that the others are used.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::Socket;
use tokio::net::TcpSocket;

use crate::telemetry::Throttle;
use crate::transport;

/// Between two log events.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// One for all upstreams and workers: a shortage affects all of them.
static LOGGED: Throttle = Throttle::new(LOG_INTERVAL);

/// A failure that proves nothing about the endpoint. It prints with its remedy.
#[derive(Debug)]
pub(super) struct LocalError {
    error: io::Error,
}

/// A socket to connect to an address with.
///
/// # Errors
/// One that [`local_error`] knows.
pub(super) fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    socket.map_err(local)
}

/// A socket to connect to a Unix socket with.
///
/// # Errors
/// One that [`local_error`] knows.
pub(super) fn new_unix_socket() -> io::Result<Socket> {
    transport::unix_socket().map_err(local)
}

/// Marks an error of connecting to a Unix socket as local, if it is, for [`local_error`].
pub(super) fn classified_unix(error: io::Error) -> io::Error {
    if is_shortage(&error) {
        local(error)
    } else {
        error
    }
}

/// Marks an error of connecting to an address as local, if it is, for [`local_error`].
pub(super) fn classified(error: io::Error, address: SocketAddr) -> io::Error {
    if is_local(&error, address) {
        local(error)
    } else {
        error
    }
}

/// The local failure behind an error of connecting, if it is one.
pub(super) fn local_error(error: &io::Error) -> Option<&LocalError> {
    let inner = error.get_ref()?;
    // Exchanges that wait for the same connection share its error.
    let shared = || local_error(inner.downcast_ref::<Arc<io::Error>>()?);
    inner.downcast_ref().or_else(shared)
}

/// Whether an exchange on an open connection failed because this machine has no memory for sockets.
pub(super) fn is_local_shortage(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| cause(error)).any(|error| {
        let error = error.downcast_ref().and_then(Errno::from_io_error);
        matches!(error, Some(Errno::NOMEM | Errno::NOBUFS))
    })
}

// An io::Error does not name the error that it wraps as its source.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => match error.get_ref() {
            Some(wrapped) => Some(wrapped),
            None => None,
        },
        None => error.source(),
    }
}

impl LocalError {
    /// Whether no local port is free. Each remote address has its own ports, so others may be
    /// reachable.
    pub(super) fn is_port_shortage(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrNotAvailable
    }

    /// Logs it, at most once in [`LOG_INTERVAL`].
    pub(super) fn log(&self, upstream: &str, target: impl fmt::Display, now: Instant) {
        if let Some(left_out) = LOGGED.admit(now) {
            tracing::error!(upstream, %target, error = %self, left_out, "cannot open an upstream socket");
        }
    }

    fn remedy(&self) -> &'static str {
        match Errno::from_io_error(&self.error) {
            Some(Errno::MFILE) => {
                "; raise the limit of open files of this process (LimitNOFILE, ulimit -n)"
            }
            Some(Errno::NFILE) => "; raise the limit of open files of this machine (fs.file-max)",
            Some(Errno::ADDRNOTAVAIL) => {
                "; no local port is free: widen net.ipv4.ip_local_port_range, or raise pool_idle"
            }
            Some(Errno::NOMEM | Errno::NOBUFS) => {
                "; the machine has no memory left for sockets (net.ipv4.tcp_mem)"
            }
            Some(Errno::ACCESS | Errno::PERM) => {
                "; this process may not open sockets: look at its sandbox"
            }
            Some(_) | None => "",
        }
    }
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.error, self.remedy())
    }
}

impl Error for LocalError {}

fn local(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), LocalError { error })
}

// EPERM and EACCES are not local here: a firewall forbids the connection to this endpoint.
fn is_local(error: &io::Error, address: SocketAddr) -> bool {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL) => has_source_address(address),
        Some(_) | None => is_shortage(error),
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::NOSPC)
    )
}

/// Whether this machine has an address that reaches another one. Connecting a UDP socket sends
/// nothing, and its ports are not those of TCP.
fn has_source_address(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let connected = UdpSocket::bind(any).and_then(|socket| socket.connect(address));
    !connected.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn shortage_of_this_machine_is_local_and_failure_of_an_endpoint_is_not() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::NOBUFS, true),
            // A local address reaches loopback, so ports are missing.
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::CONNRESET, false),
            (Errno::HOSTUNREACH, false),
            (Errno::NETUNREACH, false),
            (Errno::TIMEDOUT, false),
            (Errno::ACCESS, false),
            (Errno::PERM, false),
        ] {
            assert_eq!(is_local(&errno.into(), ADDRESS), expected, "{errno:?}");
        }
    }

    #[test]
    fn shortage_behind_a_broken_exchange_is_local() {
        let broken = |errno: Errno| io::Error::other(io::Error::from(errno));
        assert!(is_local_shortage(&broken(Errno::NOBUFS)));
        assert!(!is_local_shortage(&broken(Errno::CONNRESET)));
    }

    #[test]
    fn shared_local_error_is_found_and_names_the_remedy() {
        let error = local(Errno::MFILE.into());
        let shared = io::Error::new(error.kind(), Arc::new(error));
        let found = local_error(&shared).expect("it is local");
        assert!(found.to_string().contains("LimitNOFILE"), "{found}");
        assert!(
            !found.is_port_shortage()
                && local_error(&local(Errno::ADDRNOTAVAIL.into()))
                    .is_some_and(LocalError::is_port_shortage)
        );
        assert!(local_error(&Errno::CONNREFUSED.into()).is_none());
    }
}
