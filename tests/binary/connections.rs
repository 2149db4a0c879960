//! More clients than there are places for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, TIMEOUT, ask, own_address, wait};
use harness::{Reply, Server};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A gateway with one public route, which listens on the first of `ports` and the following ones.
fn gateway(address: Ipv4Addr, ports: &[u16], server: &str, upstream: &Server) -> Process {
    let listen: Vec<_> = ports
        .iter()
        .map(|port| format!("\"{address}:{port}\""))
        .collect();
    let toml = format!(
        "[server]\nlisten = [{}]\n{server}\n[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        listen.join(", "),
        upstream.address
    );
    Process::start(address, &toml)
}

#[test]
fn accept_loops_without_a_connection_hold_no_place() {
    let upstream = Server::start(|_| Reply::text("hello"));
    for (ports, server) in [
        (&[8080][..], "workers = 2\nmax_connections = 1"),
        (
            &[8080, 8081, 8082, 8083][..],
            "workers = 2\nmax_connections = 4",
        ),
    ] {
        let address = own_address();
        let _gateway = gateway(address, ports, server, &upstream);
        for number in 0..32 {
            let answer = ask(address, ports[number % ports.len()], REQUEST);
            assert!(
                answer.starts_with("HTTP/1.1 200"),
                "{server}: request {number}: {answer}"
            );
        }
    }
}

#[test]
fn connection_that_waits_for_a_place_is_served_while_the_process_drains() {
    let (release, held) = channel();
    let held = Mutex::new(held);
    let upstream = Server::start(move |received| {
        if received.target == "/held" {
            held.lock()
                .expect("no panic")
                .recv_timeout(TIMEOUT)
                .expect("it is released");
        }
        Reply::text("hello")
    });
    let address = own_address();
    let mut gateway = gateway(
        address,
        &[8080],
        "workers = 1\nmax_connections = 1",
        &upstream,
    );
    let mut first = send(address, &REQUEST.replace("/x", "/held"));
    wait("the first request is in flight", || upstream.hits() == 1);
    let mut second = send(address, REQUEST);
    wait("the second connection is accepted", || {
        accept_queue(address, 8080) == 0
    });
    gateway.signal("TERM");
    // The listener is closed, so that the second connection is the last one.
    wait("the process drains", || {
        TcpStream::connect((address, 8080)).is_err()
    });
    release.send(()).expect("the upstream waits");
    for socket in [&mut first, &mut second] {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(gateway.stopped().success());
}

fn send(address: Ipv4Addr, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect((address, 8080)).expect("it listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    socket.write_all(request.as_bytes()).expect("it reads");
    socket
}

/// How many connections nobody has accepted yet: the receive queue of a socket that listens.
fn accept_queue(address: Ipv4Addr, port: u16) -> u32 {
    let local = format!(
        " {:08X}:{port:04X} 00000000:0000 0A ",
        u32::from_ne_bytes(address.octets())
    );
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("the sockets of this machine");
    let queues = sockets
        .lines()
        .filter_map(|line| line.split_once(&*local)?.1.split_once(' '));
    queues
        .map(|(queues, _)| u32::from_str_radix(&queues[9..], 16).expect("a number"))
        .sum()
}

#[test]
fn idle_connections_of_every_worker_make_room_at_once() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let address = own_address();
    let _gateway = gateway(
        address,
        &[8080],
        "workers = 4\nmax_connections = 40",
        &upstream,
    );
    let mut silent: Vec<_> = (0..40)
        .map(|_| TcpStream::connect((address, 8080)).expect("it listens"))
        .collect();
    wait("all places are taken", || accept_queue(address, 8080) == 0);
    // Idleness is measured in ticks of 50 ms.
    thread::sleep(Duration::from_millis(100));
    // The kernel chooses a worker for each of these, and another one may have the connection that makes room.
    let mut served: Vec<_> = (0..40)
        .map(|_| send(address, REQUEST.replace("close", "keep-alive").as_str()))
        .collect();
    let began = Instant::now();
    for socket in &mut served {
        let mut head = [0; 12];
        socket.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    // With polling they would take a tick each, or wait for the keep-alive time-out.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    for socket in &mut silent {
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        assert!(matches!(socket.read(&mut [0]), Ok(0)), "it made room");
    }
}
