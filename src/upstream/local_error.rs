//! Why a connection could not be opened although its endpoint may be well: this process or machine lacks something.
//!
//! 1. An endpoint is judged by what it does. A process without descriptors fails at every endpoint, and would eject them
//!    all: so what fails here counts neither for nor against an endpoint, in passive ejection and active checks alike.
//! 2. Whatever fails before the endpoint's address is known to the kernel is local. Of what fails later, only what Linux
//!    says of its own limits is.
//! 3. `EADDRNOTAVAIL` has two meanings: no local port is free, which is local, or no local address reaches the endpoint
//!    (one of IPv6 where the machine has none), which is not: such an endpoint has to be ejected for the others' sake.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::net::TcpSocket;

use crate::telemetry::Throttle;

/// How often it is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// All upstreams and workers lack the same.
static LOGGED: Throttle = Throttle::new(LOG_INTERVAL);

/// A failure that says nothing about the endpoint, with what to do about it.
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

/// Makes an error of connecting to an address one that [`local_error`] knows, where it is not the endpoint's.
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
    // Those who wait for the same connection share its error.
    let shared = || local_error(inner.downcast_ref::<Arc<io::Error>>()?);
    inner.downcast_ref().or_else(shared)
}

impl LocalError {
    /// Whether another endpoint may be reached nevertheless: ports are used up for each address by itself.
    pub(super) fn is_of_ports(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrNotAvailable
    }

    /// Logs it, from time to time.
    pub(super) fn log(&self, upstream: &str, target: impl fmt::Display, now: Instant) {
        if let Some(left_out) = LOGGED.admit(now) {
            tracing::error!(upstream, %target, error = %self, left_out, "cannot open a socket; the upstream endpoint is not at fault");
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

impl std::error::Error for LocalError {}

fn local(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), LocalError { error })
}

// Of a socket that there is. A firewall that forbids this connection (EPERM, EACCES) forbids this endpoint.
fn is_local(error: &io::Error, address: SocketAddr) -> bool {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::NOSPC) => true,
        Some(Errno::ADDRNOTAVAIL) => has_source_address(address),
        Some(_) | None => false,
    }
}

/// Whether this machine has an address to reach that one from. A socket of UDP sends nothing to find out, and has ports of
/// its own.
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

    const SOMEWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn what_this_machine_lacks_is_local_and_what_an_endpoint_does_is_not() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::NOBUFS, true),
            // Loopback has an address, so it is ports that are missing.
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::CONNRESET, false),
            (Errno::HOSTUNREACH, false),
            (Errno::NETUNREACH, false),
            (Errno::TIMEDOUT, false),
            (Errno::ACCESS, false),
            (Errno::PERM, false),
        ] {
            assert_eq!(is_local(&errno.into(), SOMEWHERE), expected, "{errno:?}");
        }
    }

    #[test]
    fn local_error_is_found_where_it_is_shared_and_names_the_remedy() {
        let error = local(Errno::MFILE.into());
        let shared = io::Error::new(error.kind(), Arc::new(error));
        let found = local_error(&shared).expect("it is local");
        assert!(found.to_string().contains("LimitNOFILE"), "{found}");
        assert!(
            !found.is_of_ports()
                && local_error(&local(Errno::ADDRNOTAVAIL.into()))
                    .is_some_and(LocalError::is_of_ports)
        );
        assert!(local_error(&Errno::CONNREFUSED.into()).is_none());
    }
}
