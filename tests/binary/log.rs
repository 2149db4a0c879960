//! Standard error as a pipe that is not read, or read late.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{TIMEOUT, command, connect, own_address, round_trip, wait_for};

/// More lines than the pipe (64 KiB) and both buffers (1 MiB each) hold.
const MANY: usize = 12_000;
/// More lines than the pipe holds, but fewer than the buffers: none is dropped on any machine.
const FEW: usize = 3_000;

/// A gateway whose standard error is a pipe that the test holds.
struct UnreadLog {
    child: Child,
    address: Ipv4Addr,
    _folder: TempDir,
}

impl UnreadLog {
    fn start() -> Self {
        let (address, folder) = (own_address(), tempfile::tempdir().expect("a folder"));
        let toml = format!(
            "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n[admin]\nlisten = \"{address}:9090\"\n\
             [log]\nrefusals_per_second = 0\n[upstreams.up]\ntargets = \"http://{address}:1\"\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
        );
        std::fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
        let mut command = command();
        command
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let gateway = Self {
            child: command.spawn().expect("the binary"),
            address,
            _folder: folder,
        };
        wait_for("the gateway listens", || {
            TcpStream::connect((address, 8080)).is_ok()
        });
        gateway
    }

    /// Sends this many requests on one connection, and waits for every response.
    fn flood(&self, requests: usize) {
        let mut socket = connect(self.address, 8080);
        let mut responses = socket.try_clone().expect("a socket");
        let writing = thread::spawn(move || {
            let one = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
            let last = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket
                .write_all((one.repeat(requests - 1) + last).as_bytes())
                .expect("the gateway reads");
        });
        let mut all = String::new();
        responses.read_to_string(&mut all).expect("every response");
        writing.join().expect("no panic");
        assert_eq!(all.matches("HTTP/1.1 404").count(), requests);
    }

    fn dropped(&self) -> u64 {
        let metrics = round_trip(
            self.address,
            9090,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        let line = metrics
            .lines()
            .find(|line| line.starts_with("scopegate_log_dropped_lines_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .expect("a number")
    }

    fn signal(&self, name: &str) {
        let status = std::process::Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for UnreadLog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn unread_log_delays_no_request_and_later_reports_dropped_lines() {
    let mut gateway = UnreadLog::start();
    gateway.flood(MANY);
    let dropped = gateway.dropped();
    assert!(dropped > 0, "the buffers cannot hold every line");

    let mut lines = BufReader::new(gateway.child.stderr.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("another line").expect("UTF-8");
    let (mut requests, mut reported) = (0, None);
    while reported.is_none() {
        let line: serde_json::Value = serde_json::from_str(&next()).expect("whole lines of JSON");
        match line["message"].as_str() {
            Some("request") => requests += 1,
            Some(text) if text.starts_with("log lines dropped") => {
                reported = line["lines"].as_u64()
            }
            _ => {}
        }
    }
    assert_eq!(reported, Some(dropped));
    assert_eq!(requests + dropped, MANY as u64);
    // Once the backlog is read, no line is dropped.
    gateway.flood(100);
    let first: serde_json::Value = serde_json::from_str(&next()).expect("JSON");
    assert_eq!(
        (&first["message"], &first["reason"]),
        (&"request".into(), &"no_route".into())
    );
}

#[test]
fn unread_log_does_not_delay_the_exit() {
    let mut gateway = UnreadLog::start();
    gateway.flood(MANY);
    assert!(gateway.dropped() > 0);
    let signalled = Instant::now();
    gateway.signal("TERM");
    wait_for("the process exits", || {
        gateway.child.try_wait().expect("a child").is_some()
    });
    assert!(gateway.child.wait().expect("a child").success());
    assert!(
        signalled.elapsed() < TIMEOUT / 2,
        "{:?}",
        signalled.elapsed()
    );
}

#[test]
fn last_lines_are_written_before_the_process_ends() {
    let mut gateway = UnreadLog::start();
    let mut pipe = gateway.child.stderr.take().expect("a pipe");
    let reading = thread::spawn(move || {
        let mut log = String::new();
        pipe.read_to_string(&mut log).expect("UTF-8");
        log
    });
    gateway.flood(FEW);
    gateway.signal("TERM");
    let log = reading.join().expect("no panic");
    assert_eq!(
        log.lines()
            .filter(|line| line.contains("\"message\":\"request\""))
            .count(),
        FEW
    );
    assert!(
        log.lines()
            .last()
            .is_some_and(|line| line.contains("\"message\":\"stopped\"")),
        "{:?}",
        log.lines().last()
    );
}
