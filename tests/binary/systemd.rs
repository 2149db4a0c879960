//! The gateway under systemd: socket activation and notifications.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{
    Process, TIMEOUT, command, command_with_socket, connect, own_address, round_trip, run_in,
    shipped_configuration, wait_for,
};

const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn bound(address: Ipv4Addr) -> TcpListener {
    TcpListener::bind((address, 8080)).expect("an unused address")
}

#[test]
fn inherited_socket_serves_connections_made_before_the_start() {
    let address = own_address();
    let socket = bound(address);
    // The connection waits in the accept queue: no process accepts yet.
    let mut early = connect(address, 8080);
    early
        .write_all(NOWHERE.as_bytes())
        .expect("the kernel buffers the request");
    let toml = shipped_configuration(address).replace("[server]", "[server]\nworkers = 3");
    let process = Process::launch(command_with_socket(socket), &toml);
    let mut response = String::new();
    early.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 404"), "{response}");
    let line = format!("\"listening\",\"address\":\"{address}:8080\"");
    wait_for("the event is logged", || {
        process.printed().1.contains(&line)
    });
}

#[test]
fn inherited_socket_that_no_listener_names_is_an_error() {
    let (address, other) = (own_address(), own_address());
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("gateway.toml"),
        shipped_configuration(address),
    )
    .expect("a file");
    let output = run_in(command_with_socket(bound(other)), folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "scopegate: inherited fd 3 (\"web\"): expected the address of a listener of the file ({address}:8080), but found \
         {other}:8080; connections to it would wait for ever\n"
    );
    assert_eq!((output.status.code(), &*stderr), (Some(1), &*expected));
}

#[test]
fn inherited_descriptor_must_be_a_listening_socket() {
    let address = own_address();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("gateway.toml"),
        shipped_configuration(address),
    )
    .expect("a file");
    let silent =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let others: [(OwnedFd, &str); 3] = [
        (
            fs::File::open("/dev/null").expect("a file").into(),
            "fd 3 is not a socket",
        ),
        (
            UdpSocket::bind((address, 0)).expect("a port").into(),
            "fd 3 is not a valid tcp socket",
        ),
        (silent.into(), "a socket that does not listen"),
    ];
    for (other, found) in others {
        let output = run_in(command_with_socket(other), folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let expected = format!(
            "scopegate: inherited fd 3 (\"web\"): expected a listening TCP or Unix socket, but found {found}\n"
        );
        assert_eq!((output.status.code(), &*stderr), (Some(1), &*expected));
    }
    let path = folder.path().join("socket");
    let socket = UnixListener::bind(&path).expect("a path");
    let output = run_in(command_with_socket(socket), folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = format!(
        "scopegate: inherited fd 3 (\"web\"): expected the address of a listener of the file ({address}:8080), but found \
         unix:{}; connections to it would wait for ever\n",
        path.display()
    );
    assert_eq!((output.status.code(), &*stderr), (Some(1), &*expected));
}

#[test]
fn sockets_for_another_process_are_ignored() {
    // If they were used, they would be an error: fd 3 is no socket here.
    for listen_pid in ["1", "", "no number"] {
        let address = own_address();
        let mut command = command();
        command.envs([("LISTEN_PID", listen_pid), ("LISTEN_FDS", "1")]);
        let process = Process::launch(command, &shipped_configuration(address));
        wait_for("the gateway listens", || {
            process.printed().1.contains("listening")
        });
        assert!(round_trip(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
    }
}

/// A service manager: receives what the gateway sends to `NOTIFY_SOCKET`.
struct ServiceManager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("an unused path");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        Self { socket, folder }
    }

    fn start(&self, toml: &str, watchdog_usec: Option<&str>) -> Process {
        let mut command = command();
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.envs(watchdog_usec.map(|usec| ("WATCHDOG_USEC", usec)));
        Process::launch(command, toml)
    }

    fn notification(&self) -> String {
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

#[test]
fn service_manager_is_notified_of_start_and_stop() {
    let (manager, address) = (ServiceManager::new(), own_address());
    let mut process = manager.start(&shipped_configuration(address), None);
    assert_eq!(manager.notification(), "READY=1\nSTATUS=serving\n");
    // READY means that the first connection succeeds.
    assert!(round_trip(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
    process.signal("TERM");
    assert_eq!(
        manager.notification(),
        "STOPPING=1\nSTATUS=completing the requests in flight\n"
    );
    assert_eq!(process.wait_for_exit().code(), Some(0));
    manager.socket.set_nonblocking(true).expect("a socket");
    assert!(
        manager.socket.recv(&mut [0; 16]).is_err(),
        "without a watchdog there are no further notifications"
    );
}

#[test]
fn watchdog_is_notified_twice_per_interval_while_serving_and_draining() {
    let (manager, address) = (ServiceManager::new(), own_address());
    let toml = shipped_configuration(address).replace("[server]", "[server]\ndrain_delay = \"1h\"");
    let began = Instant::now();
    let mut process = manager.start(&toml, Some("2000000"));
    assert_eq!(manager.notification(), "READY=1\nSTATUS=serving\n");
    let ready = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.notification(), "WATCHDOG=1\n");
    }
    // The first notification comes at once, so three of them take one watchdog interval.
    assert!(
        began.elapsed().as_millis() >= 1990 && ready.elapsed().as_millis() < 3500,
        "{:?}",
        ready.elapsed()
    );
    process.signal("TERM");
    let mut notified = manager.notification();
    if notified == "WATCHDOG=1\n" {
        notified = manager.notification();
    }
    assert_eq!(
        notified,
        "STOPPING=1\nSTATUS=completing the requests in flight\n"
    );
    assert_eq!(manager.notification(), "WATCHDOG=1\n");
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn unreachable_service_manager_does_not_stop_the_gateway() {
    let (manager, address) = (ServiceManager::new(), own_address());
    drop(manager.socket);
    let mut command = command();
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    let process = Process::launch(command, &shipped_configuration(address));
    wait_for("the event is logged", || {
        process
            .printed()
            .1
            .contains("cannot notify the service manager")
    });
    assert!(round_trip(address, 8080, NOWHERE).starts_with("HTTP/1.1 404"));
}
