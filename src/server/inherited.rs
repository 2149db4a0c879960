//! Sockets from socket activation (`sd_listen_fds(3)`).
//!
//! 1. They are used only if `LISTEN_PID` is this process: the variables of a parent may be left in
//!    the environment.
//! 2. A listener takes the socket that is bound to its address. A wildcard address equals only
//!    itself, and port 0 equals nothing, because its port is not known yet.
//! 3. A socket that no listener takes is an error: the kernel would accept its clients, and they
//!    would wait for ever.

use std::env;
use std::io;

use listenfd::ListenFd;
use socket2::SockRef;

use super::bound_socket::BoundSocket;
use crate::config::ListenAddress;

const FIRST_DESCRIPTOR: usize = 3;

/// Inherited listening sockets, until a listener takes each.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<InheritedSocket>,
}

#[derive(Debug)]
struct InheritedSocket {
    label: String,
    address: ListenAddress,
    socket: BoundSocket,
}

/// Why the inherited sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// `LISTEN_FDS` is not a number.
    #[error("LISTEN_FDS: expected a number, but found {found:?}")]
    Count {
        /// The value.
        found: String,
    },
    /// A descriptor is no listening TCP or Unix socket.
    #[error("inherited {label}: expected a listening TCP or Unix socket, but found {found}")]
    NotListening {
        /// The descriptor.
        label: String,
        /// What was found.
        found: String,
    },
    /// Two sockets are bound to the same address.
    #[error("inherited {label}: expected an address of its own, but found {address} again")]
    DuplicateAddress {
        /// The descriptor.
        label: String,
        /// The address of the socket.
        address: ListenAddress,
    },
    /// No listener has the address of the socket.
    #[error(
        "inherited {label}: expected the address of a listener of the file ({}), but found {address}; connections to it \
         would wait for ever",
        listed(.listeners)
    )]
    Unclaimed {
        /// The descriptor.
        label: String,
        /// The address of the socket.
        address: ListenAddress,
        /// The addresses of the listeners.
        listeners: Vec<ListenAddress>,
    },
}

impl Inherited {
    /// Takes the sockets that this process inherited; usually none.
    ///
    /// Call it once, before any thread is started: it removes the variables from the environment.
    ///
    /// # Errors
    /// When one of them is not a listening socket, or two have the same address.
    pub fn from_environment() -> Result<Self, InheritError> {
        // Checked here: `ListenFd` also accepts descriptors without `LISTEN_PID`.
        if env::var("LISTEN_PID").ok().as_deref() != Some(&*std::process::id().to_string()) {
            return Ok(Self::default());
        }
        let count = env::var("LISTEN_FDS").unwrap_or_default();
        if count.parse::<u16>().is_err() {
            return Err(InheritError::Count { found: count });
        }
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..given.len() {
            let label = match names.next() {
                Some(name) if !name.is_empty() => {
                    format!("fd {} ({name:?})", FIRST_DESCRIPTOR + index)
                }
                Some(_) | None => format!("fd {}", FIRST_DESCRIPTOR + index),
            };
            match take_listener(&mut given, index) {
                Ok((address, socket)) => inherited.add(label, address, socket)?,
                Err(error) => {
                    return Err(InheritError::NotListening {
                        label,
                        found: error.to_string(),
                    });
                }
            }
        }
        Ok(inherited)
    }

    /// The socket that is bound to `address`.
    pub(super) fn take(&mut self, address: &ListenAddress) -> Option<BoundSocket> {
        let index = self
            .sockets
            .iter()
            .position(|inherited| inherited.address == *address)?;
        Some(self.sockets.swap_remove(index).socket)
    }

    /// Checks that the listeners have taken every socket.
    ///
    /// # Errors
    /// [`InheritError::Unclaimed`] for a socket that none of `listeners` has taken.
    pub fn check_all_taken(self, listeners: &[ListenAddress]) -> Result<(), InheritError> {
        match self.sockets.into_iter().next() {
            Some(InheritedSocket { label, address, .. }) => Err(InheritError::Unclaimed {
                label,
                address,
                listeners: listeners.to_vec(),
            }),
            None => Ok(()),
        }
    }

    fn add(
        &mut self,
        label: String,
        address: ListenAddress,
        socket: BoundSocket,
    ) -> Result<(), InheritError> {
        if self
            .sockets
            .iter()
            .any(|inherited| inherited.address == address)
        {
            return Err(InheritError::DuplicateAddress { label, address });
        }
        self.sockets.push(InheritedSocket {
            label,
            address,
            socket,
        });
        Ok(())
    }
}

fn take_listener(given: &mut ListenFd, index: usize) -> io::Result<(ListenAddress, BoundSocket)> {
    let nothing = || io::Error::other("nothing");
    // A socket of the other kind stays where it is.
    let socket = match given.take_unix_listener(index) {
        Ok(socket) => BoundSocket::Unix(socket.ok_or_else(nothing)?),
        Err(_) => BoundSocket::Tcp(given.take_tcp_listener(index)?.ok_or_else(nothing)?),
    };
    let (is_listener, address) = match &socket {
        BoundSocket::Tcp(socket) => {
            socket.set_nonblocking(true)?;
            (
                SockRef::from(socket).is_listener()?,
                socket.local_addr()?.into(),
            )
        }
        BoundSocket::Unix(socket) => {
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            let path = address.as_pathname();
            let path = path.ok_or_else(|| io::Error::other("a Unix socket without a path"))?;
            (
                SockRef::from(socket).is_listener()?,
                ListenAddress::Unix(path.to_owned()),
            )
        }
    };
    if is_listener {
        Ok((address, socket))
    } else {
        Err(io::Error::other("a socket that does not listen"))
    }
}

fn listed(addresses: &[ListenAddress]) -> String {
    addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn with(addresses: &[&str]) -> (Inherited, Vec<ListenAddress>) {
        let (mut inherited, mut bound) = (Inherited::default(), Vec::new());
        for (index, address) in addresses.iter().enumerate() {
            let socket = TcpListener::bind(address).expect("a free port");
            let address = ListenAddress::Ip(socket.local_addr().expect("a bound socket"));
            bound.push(address.clone());
            inherited
                .add(format!("fd {index}"), address, BoundSocket::Tcp(socket))
                .expect("an address of its own");
        }
        (inherited, bound)
    }

    #[test]
    fn listener_takes_the_socket_with_its_address_and_no_other() {
        let (mut inherited, bound) = with(&["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"]);
        let port = |index: usize| bound[index].ip().expect("a port").port();
        for other in [
            format!("127.0.0.1:{}", port(1)),
            format!("[::]:{}", port(1)),
            format!("127.0.0.2:{}", port(0)),
            "127.0.0.1:0".to_owned(),
            "0.0.0.0:0".to_owned(),
        ] {
            assert!(
                inherited
                    .take(&ListenAddress::Ip(
                        other.parse::<SocketAddr>().expect("an address")
                    ))
                    .is_none(),
                "{other}"
            );
        }
        for address in bound {
            let socket = inherited.take(&address).expect("the socket");
            let BoundSocket::Tcp(socket) = socket else {
                panic!("it has a port");
            };
            let own = ListenAddress::Ip(socket.local_addr().expect("a bound socket"));
            assert_eq!(own, address);
            assert!(inherited.take(&address).is_none(), "taken once");
        }
        assert!(inherited.check_all_taken(&[]).is_ok());
    }

    #[test]
    fn unclaimed_socket_and_repeated_address_are_errors() {
        let (mut inherited, bound) = with(&["127.0.0.1:0"]);
        let again = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let error = inherited
            .add("fd 4".to_owned(), bound[0].clone(), BoundSocket::Tcp(again))
            .expect_err("it is there already");
        assert!(error.to_string().contains(&format!(
            "fd 4: expected an address of its own, but found {}",
            bound[0]
        )));
        let error = inherited
            .check_all_taken(&[ListenAddress::Ip("0.0.0.0:80".parse().expect("an address"))])
            .expect_err("one is left");
        let expected = format!(
            "inherited fd 0: expected the address of a listener of the file (0.0.0.0:80), but found {}; connections to it \
             would wait for ever",
            bound[0]
        );
        assert_eq!(error.to_string(), expected);
    }
}
