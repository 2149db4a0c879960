//! The gateway as systemd runs it: sockets that it opened, and what it is told.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{
    Process, TIMEOUT, ask, command, finished, inheriting, own_address, shipped, wait,
};

const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn bound(address: Ipv4Addr) -> TcpListener {
    TcpListener::bind((address, 8080)).expect("an address of our own")
}

#[test]
fn inherited_socket_is_used_and_serves_those_who_came_before_the_gateway() {
    let address = own_address();
    let socket = bound(address);
    // It waits in the socket's queue: no process has begun to accept.
    let mut early = TcpStream::connect((address, 8080)).expect("it listens");
    early.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    early
        .write_all(NOWHERE.as_bytes())
        .expect("the kernel takes it");
    let toml = shipped(address).replace("[server]", "[server]\nworkers = 3");
    let process = Process::launch(inheriting(socket), &toml);
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let line = format!("\"listening\",\"address\":\"{address}:8080\"");
    wait("it says so", || process.printed().1.contains(&line));
}

#[test]
fn inherited_socket_that_no_listener_names_is_an_error() {
    let (address, other) = (own_address(), own_address());
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), shipped(address)).expect("a file");
    let output = finished(inheriting(bound(other)), folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "scopegate: inherited fd 3 (\"web\"): expected the address of a listener of the file ({address}:8080), but found \
         {other}:8080; connections to it would wait for ever\n"
    );
    assert_eq!((output.status.code(), &*told), (Some(1), &*expected));
}

#[test]
fn what_is_no_listening_tcp_socket_is_an_error() {
    let address = own_address();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), shipped(address)).expect("a file");
    let silent =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let others: [(OwnedFd, &str); 4] = [
        (
            fs::File::open("/dev/null").expect("a file").into(),
            "fd 3 is not a socket",
        ),
        (
            UdpSocket::bind((address, 0)).expect("a port").into(),
            "fd 3 is not a valid tcp socket",
        ),
        (
            UnixListener::bind(folder.path().join("socket"))
                .expect("a path")
                .into(),
            "fd 3 is not a valid tcp socket",
        ),
        (silent.into(), "one that does not"),
    ];
    for (other, found) in others {
        let output = finished(inheriting(other), folder.path());
        let told = String::from_utf8_lossy(&output.stderr);
        let expected = format!(
            "scopegate: inherited fd 3 (\"web\"): expected a TCP socket that listens, but found {found}\n"
        );
        assert_eq!((output.status.code(), &*told), (Some(1), &*expected));
    }
}

#[test]
fn sockets_for_another_process_are_not_looked_at() {
    // Were they looked at, they would be an error: fd 3 is no socket here.
    for meant_for in ["1", "", "no number"] {
        let address = own_address();
        let mut command = command();
        command.envs([("LISTEN_PID", meant_for), ("LISTEN_FDS", "1")]);
        let process = Process::launch(command, &shipped(address));
        wait("it listens", || process.printed().1.contains("listening"));
        assert!(ask(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
    }
}

/// Whom `NOTIFY_SOCKET` leads to.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a path of our own");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        Self { socket, folder }
    }

    fn starts(&self, toml: &str, within: Option<&str>) -> Process {
        let mut command = command();
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.envs(within.map(|within| ("WATCHDOG_USEC", within)));
        Process::launch(command, toml)
    }

    fn is_told(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

#[test]
fn manager_is_told_when_the_gateway_serves_and_when_it_stops() {
    let (manager, address) = (Manager::new(), own_address());
    let mut process = manager.starts(&shipped(address), None);
    assert_eq!(manager.is_told(), "READY=1\nSTATUS=serving\n");
    // At once: who is told so does not try twice.
    assert!(ask(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
    process.signal("TERM");
    assert_eq!(
        manager.is_told(),
        "STOPPING=1\nSTATUS=finishing the requests under way\n"
    );
    assert_eq!(process.stopped().code(), Some(0));
    manager.socket.set_nonblocking(true).expect("a socket");
    assert!(
        manager.socket.recv(&mut [0; 16]).is_err(),
        "nobody watches, and nothing else is told"
    );
}

#[test]
fn watchdog_is_fed_twice_in_its_time_while_serving_and_while_stopping() {
    let (manager, address) = (Manager::new(), own_address());
    let toml = shipped(address).replace("[server]", "[server]\ndrain_delay = \"1h\"");
    let began = Instant::now();
    let mut process = manager.starts(&toml, Some("2000000"));
    assert_eq!(manager.is_told(), "READY=1\nSTATUS=serving\n");
    let ready = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.is_told(), "WATCHDOG=1\n");
    }
    // The first comes at once, so they take as long as the watchdog waits.
    assert!(
        began.elapsed().as_millis() >= 1990 && ready.elapsed().as_millis() < 3500,
        "{:?}",
        ready.elapsed()
    );
    process.signal("TERM");
    let mut told = manager.is_told();
    if told == "WATCHDOG=1\n" {
        told = manager.is_told();
    }
    assert_eq!(
        told,
        "STOPPING=1\nSTATUS=finishing the requests under way\n"
    );
    assert_eq!(manager.is_told(), "WATCHDOG=1\n");
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(0));
}

#[test]
fn manager_that_is_gone_keeps_nobody_from_being_served() {
    let (manager, address) = (Manager::new(), own_address());
    drop(manager.socket);
    let mut command = command();
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    let process = Process::launch(command, &shipped(address));
    wait("it says so", || {
        process
            .printed()
            .1
            .contains("cannot notify the service manager")
    });
    assert!(ask(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
}
