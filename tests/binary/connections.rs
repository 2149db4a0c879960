//! More clients than `max_connections`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, TIMEOUT, connect, own_address, round_trip, wait_for};
use harness::{Reply, Server};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A gateway with one public route, listening on every port of `ports`.
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
fn accept_loops_without_a_connection_hold_no_permit() {
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
            let response = round_trip(address, ports[number % ports.len()], REQUEST);
            assert!(
                response.starts_with("HTTP/1.1 200"),
                "{server}: request {number}: {response}"
            );
        }
    }
}

#[test]
fn connection_waiting_for_a_permit_is_served_while_the_process_drains() {
    let (release, held) = channel();
    let held = Mutex::new(held);
    let upstream = Server::start(move |received| {
        if received.target == "/held" {
            held.lock()
                .expect("no panic")
                .recv_timeout(TIMEOUT)
                .expect("the test releases it");
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
    wait_for("the first request is in flight", || upstream.hits() == 1);
    let mut second = send(address, REQUEST);
    wait_for("the second connection is accepted", || {
        accept_queue(address, 8080) == 0
    });
    gateway.signal("TERM");
    // Once the listener is closed, the second connection is the last one.
    wait_for("the process drains", || {
        TcpStream::connect((address, 8080)).is_err()
    });
    release.send(()).expect("the upstream waits");
    for socket in [&mut first, &mut second] {
        let mut response = String::new();
        socket.read_to_string(&mut response).expect("a response");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    assert!(gateway.wait_for_exit().success());
}

fn send(address: Ipv4Addr, request: &str) -> TcpStream {
    let mut socket = connect(address, 8080);
    socket
        .write_all(request.as_bytes())
        .expect("the gateway reads");
    socket
}

/// Connections that are not accepted yet: the receive queue of the listening socket.
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
fn idle_connections_of_every_worker_are_evicted_at_once() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let address = own_address();
    let _gateway = gateway(
        address,
        &[8080],
        "workers = 4\nmax_connections = 40",
        &upstream,
    );
    let mut silent: Vec<_> = (0..40)
        .map(|_| TcpStream::connect((address, 8080)).expect("the gateway listens"))
        .collect();
    wait_for("every permit is taken", || accept_queue(address, 8080) == 0);
    // Eviction requires a connection idle for a whole tick (50 ms), which nothing outside shows.
    thread::sleep(Duration::from_millis(100));
    // The kernel chooses the worker; the connection to evict may belong to another one.
    let mut served: Vec<_> = (0..40)
        .map(|_| send(address, REQUEST.replace("close", "keep-alive").as_str()))
        .collect();
    let began = Instant::now();
    for socket in &mut served {
        let mut head = [0; 12];
        socket.read_exact(&mut head).expect("a response");
        assert_eq!(&head, b"HTTP/1.1 200");
    }
    // By polling, each would take a tick, or wait for the keep-alive timeout.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    for socket in &mut silent {
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        assert!(
            matches!(socket.read(&mut [0]), Ok(0)),
            "the idle connection was evicted"
        );
    }
}
