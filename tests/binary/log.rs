//! A log that nobody reads, and one that is read again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{TIMEOUT, ask, command, own_address, wait};

/// More lines than the pipe and the buffers hold: 64 KiB, and 1 MiB twice.
const MANY: usize = 12_000;
/// More lines than the pipe holds, and fewer than the buffers: none is dropped, however busy the machine is.
const FEW: usize = 3_000;

struct Unread {
    child: Child,
    address: Ipv4Addr,
    _folder: TempDir,
}

impl Unread {
    /// A gateway whose standard error is a pipe that this test holds and does not read.
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
        let unread = Self {
            child: command.spawn().expect("the binary"),
            address,
            _folder: folder,
        };
        wait("it listens", || TcpStream::connect((address, 8080)).is_ok());
        unread
    }

    /// Asks so many times on one connection, and waits for every answer.
    fn flood(&self, requests: usize) {
        let mut socket = TcpStream::connect((self.address, 8080)).expect("it listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        let mut answers = socket.try_clone().expect("a socket");
        let writing = thread::spawn(move || {
            let one = "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
            let last = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            socket
                .write_all((one.repeat(requests - 1) + last).as_bytes())
                .expect("it reads");
        });
        let mut all = String::new();
        answers.read_to_string(&mut all).expect("every answer");
        writing.join().expect("no panic");
        assert_eq!(all.matches("HTTP/1.1 404").count(), requests);
    }

    fn dropped(&self) -> u64 {
        let metrics = ask(
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
        assert!(status.expect("kill is a part of every system").success());
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn log_that_nobody_reads_holds_up_nobody_and_tells_later_what_it_dropped() {
    let mut gateway = Unread::start();
    gateway.flood(MANY);
    let dropped = gateway.dropped();
    assert!(dropped > 0, "there is no room for all of them");

    let mut lines = BufReader::new(gateway.child.stderr.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("another line").expect("UTF-8");
    let (mut requests, mut told) = (0, None);
    while told.is_none() {
        let line: serde_json::Value = serde_json::from_str(&next()).expect("whole lines of JSON");
        match line["message"].as_str() {
            Some("request") => requests += 1,
            Some(text) if text.starts_with("log lines dropped") => told = line["lines"].as_u64(),
            _ => {}
        }
    }
    assert_eq!(told, Some(dropped));
    assert_eq!(requests + dropped, MANY as u64);
    // And from here on it is as if nothing had been.
    gateway.flood(100);
    let first: serde_json::Value = serde_json::from_str(&next()).expect("JSON");
    assert_eq!(
        (&first["message"], &first["reason"]),
        (&"request".into(), &"no_route".into())
    );
}

#[test]
fn log_that_nobody_reads_does_not_keep_the_process_from_stopping() {
    let mut gateway = Unread::start();
    gateway.flood(MANY);
    assert!(gateway.dropped() > 0);
    let asked = Instant::now();
    gateway.signal("TERM");
    wait("it stops", || {
        gateway.child.try_wait().expect("a child").is_some()
    });
    assert!(gateway.child.wait().expect("a child").success());
    assert!(asked.elapsed() < TIMEOUT / 2, "{:?}", asked.elapsed());
}

#[test]
fn last_lines_are_written_before_the_process_ends() {
    let mut gateway = Unread::start();
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
