//! The gateway as systemd runs it: sockets that it opened.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use crate::process::{PATIENCE, Process, ask, command, finished, inheriting, own_address, shipped, wait};

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
    early.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    early.write_all(NOWHERE.as_bytes()).expect("the kernel takes it");
    let toml = shipped(address).replace("[server]", "[server]\nworkers = 3");
    let process = Process::launch(inheriting(socket), &toml);
    let mut answer = String::new();
    early.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(process.printed().1.contains(&format!("listening address={address}:8080")), "{}", process.printed().1);
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
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let others: [(OwnedFd, &str); 4] = [
        (fs::File::open("/dev/null").expect("a file").into(), "fd 3 is not a socket"),
        (UdpSocket::bind((address, 0)).expect("a port").into(), "fd 3 is not a valid tcp socket"),
        (UnixListener::bind(folder.path().join("socket")).expect("a path").into(), "fd 3 is not a valid tcp socket"),
        (silent.into(), "one that does not"),
    ];
    for (other, found) in others {
        let output = finished(inheriting(other), folder.path());
        let told = String::from_utf8_lossy(&output.stderr);
        let expected =
            format!("scopegate: inherited fd 3 (\"web\"): expected a TCP socket that listens, but found {found}\n");
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
