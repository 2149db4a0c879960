//! Rolling restarts on a shared port (`server.share_port`): the next process starts before the
//! previous one stops, and no connection is lost.
//!
//! `ROLLING_RESTARTS` sets their number:
//! `ROLLING_RESTARTS=100 cargo test --release --test binary rolling -- --nocapture`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, TIMEOUT, command, own_address, start_upstream, wait_for};

/// Clients of the gateway and of its admin listener. At one connection each [`REQUEST_INTERVAL`],
/// they open 1,500 and 300 connections a second.
const CLIENTS: [usize; 2] = [15, 3];
const PORTS: [u16; 2] = [8080, 9090];
const REQUEST_INTERVAL: Duration = Duration::from_millis(10);
/// The fewest responses between two restarts.
const RESPONSES_BETWEEN: usize = 200;
/// A slower exchange waited for the kernel to retransmit a SYN.
const LATE: Duration = Duration::from_millis(500);

fn file(address: Ipv4Addr, upstream: SocketAddr, drain_delay: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nshare_port = true\nworkers = 2\ndrain_delay = \"{drain_delay}\"\n\
         [admin]\nlisten = \"{address}:9090\"\n[log]\naccess = false\n[upstreams.up]\ntargets = \"http://{upstream}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// Counts for the connections to one listener.
#[derive(Default)]
struct Tally {
    responses: AtomicUsize,
    late: AtomicUsize,
    lost: AtomicUsize,
}

impl Tally {
    fn send_once(&self, address: SocketAddr) {
        let began = Instant::now();
        match exchange(address) {
            Ok(response)
                if response.starts_with("HTTP/1.1 200 OK\r\n")
                    && response.trim_end().ends_with("\r\n\r\nok") =>
            {
                self.responses.fetch_add(1, Ordering::SeqCst);
            }
            other => {
                eprintln!("lost after {:?}: {other:?}", began.elapsed());
                self.lost.fetch_add(1, Ordering::SeqCst);
            }
        }
        if began.elapsed() > LATE {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn responses(&self) -> usize {
        self.responses.load(Ordering::SeqCst)
    }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response)
}

#[test]
fn rolling_restarts_on_a_shared_port_lose_no_connection() {
    let restarts =
        std::env::var("ROLLING_RESTARTS").map_or(4, |text| text.parse().expect("a number"));
    let address = own_address();
    let upstream = start_upstream(address);
    let start = |drain_delay| {
        let process = Process::launch(command(), &file(address, upstream, drain_delay));
        wait_for("the gateway serves", || {
            process.printed().1.contains("admin listening")
        });
        process
    };
    let mut process = start("0s");
    let (tallies, stop) = (
        PORTS.map(|_| Arc::new(Tally::default())),
        Arc::new(AtomicBool::new(false)),
    );
    let mut clients = Vec::new();
    for ((tally, port), count) in tallies.iter().zip(PORTS).zip(CLIENTS) {
        for _ in 0..count {
            let (tally, stop) = (Arc::clone(tally), Arc::clone(&stop));
            clients.push(thread::spawn(move || {
                let mut next = Instant::now();
                while !stop.load(Ordering::SeqCst) {
                    tally.send_once(SocketAddr::from((address, port)));
                    next += REQUEST_INTERVAL;
                    // Keeps the rate.
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }));
        }
    }
    let began = Instant::now();
    let wait_for_progress = || {
        let before = tallies[0].responses();
        wait_for("clients make progress", || {
            tallies[0].responses() >= before + RESPONSES_BETWEEN
        });
    };
    for restart in 0..restarts {
        wait_for_progress();
        let next = start(if restart % 2 == 0 { "200ms" } else { "0s" });
        process.signal("TERM");
        assert_eq!(process.wait_for_exit().code(), Some(0));
        process = next;
    }
    wait_for_progress();
    stop.store(true, Ordering::SeqCst);
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no client panics"));
    println!("{restarts} restarts in {:?}", began.elapsed());
    for (tally, port) in tallies.iter().zip(PORTS) {
        let [responses, late, lost] =
            [&tally.responses, &tally.late, &tally.lost].map(|count| count.load(Ordering::SeqCst));
        println!("port {port}: {responses} responses, {late} of them late, {lost} lost");
        assert_eq!(lost, 0);
    }
}
