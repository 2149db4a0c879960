//! Rolling restarts on a shared port (`server.share_port`): the next process starts beside the one that ends, and no
//! connection is lost in between.
//!
//! `ROLLING_RESTARTS` sets how many there are:
//! `ROLLING_RESTARTS=100 cargo test --release --test binary rolling -- --nocapture`

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, TIMEOUT, command, own_address, upstream, wait};

/// Clients of the gateway and of its admin listener, and how often each of them connects: 1,500 connections a second, and
/// 300.
const CLIENTS: [usize; 2] = [15, 3];
const PORTS: [u16; 2] = [8080, 9090];
const REQUEST_INTERVAL: Duration = Duration::from_millis(10);
/// Connections that there are at least between two restarts.
const BETWEEN: usize = 200;
/// What takes so long has waited for its handshake to be tried again.
const LATE: Duration = Duration::from_millis(500);

fn file(address: Ipv4Addr, upstream: SocketAddr, drain_delay: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nshare_port = true\nworkers = 2\ndrain_delay = \"{drain_delay}\"\n\
         [admin]\nlisten = \"{address}:9090\"\n[log]\naccess = false\n[upstreams.up]\ntargets = \"http://{upstream}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// What came of the connections to one listener.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    late: AtomicUsize,
    lost: AtomicUsize,
}

impl Tally {
    fn try_once(&self, address: SocketAddr) {
        let began = Instant::now();
        match exchange(address) {
            Ok(answer)
                if answer.starts_with("HTTP/1.1 200 OK\r\n")
                    && answer.trim_end().ends_with("\r\n\r\nok") =>
            {
                self.answered.fetch_add(1, Ordering::SeqCst);
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

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn rolling_restarts_on_a_shared_port_lose_no_connection() {
    let restarts =
        std::env::var("ROLLING_RESTARTS").map_or(4, |text| text.parse().expect("a number"));
    let address = own_address();
    let upstream = upstream(address);
    let start = |drain_delay| {
        let process = Process::launch(command(), &file(address, upstream, drain_delay));
        wait("it serves", || {
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
                    tally.try_once(SocketAddr::from((address, port)));
                    next += REQUEST_INTERVAL;
                    // Paces the requests.
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            }));
        }
    }
    let began = Instant::now();
    let go_on = || {
        let before = tallies[0].answered();
        wait("clients go on", || {
            tallies[0].answered() >= before + BETWEEN
        });
    };
    for restart in 0..restarts {
        go_on();
        let next = start(if restart % 2 == 0 { "200ms" } else { "0s" });
        process.signal("TERM");
        assert_eq!(process.stopped().code(), Some(0));
        process = next;
    }
    go_on();
    stop.store(true, Ordering::SeqCst);
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no client gives up"));
    println!("{restarts} restarts in {:?}", began.elapsed());
    for (tally, port) in tallies.iter().zip(PORTS) {
        let [answered, late, lost] =
            [&tally.answered, &tally.late, &tally.lost].map(|count| count.load(Ordering::SeqCst));
        println!("port {port}: {answered} answered, {late} of them late, {lost} lost");
        assert_eq!(lost, 0);
    }
}
