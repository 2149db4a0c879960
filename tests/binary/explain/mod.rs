//! `scopegate explain` beside a running gateway: both give the same response, byte for byte.

mod arguments;
mod authorization_servers;
mod claim_rules;
mod header_rules;
mod listeners;
mod mcp;
mod page;
mod preflights;
mod presets;
mod refusals;
mod report;
mod resources;
mod routes;
mod step_up;
mod tenants;

use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, command, connect, own_address, round_trip, run_in, wait_for};
use harness::{Issuer, Key};
use harness::{Reply, Server};

/// A running gateway, its issuer and its upstream.
struct TestBed {
    address: Ipv4Addr,
    key: Key,
    issuer: Issuer,
    upstream: Server,
    gateway: Process,
}

impl TestBed {
    fn start() -> Self {
        let (address, key) = (own_address(), Key::es256("first"));
        let issuer = Issuer::start(&[&key]);
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Process::start(address, &file(address, &issuer.url, &upstream));
        let test_bed = Self {
            address,
            key,
            issuer,
            upstream,
            gateway,
        };
        wait_for("the JWKS is fetched", || {
            test_bed.gateway.printed().1.contains("JWKS fetched")
        });
        test_bed
    }

    fn folder(&self) -> &Path {
        self.gateway.folder()
    }

    fn claims(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut claims = json!({
            "iss": self.issuer.url, "aud": "https://api.test", "sub": "client-1", "client_id": "client-1",
            "exp": now() + 600, "iat": now() - 5, "scope": "things.read",
        });
        change(&mut claims);
        claims
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.key.token(&self.claims(change))
    }

    /// A token with the usual claims and this header.
    fn token_with_header(&self, key: &Key, header: Value) -> String {
        key.token_with(&header, &self.claims(|_| ()))
    }

    fn explain(&self, arguments: &[&str]) -> Output {
        let mut command = command();
        command.arg("explain").args(arguments);
        run_in(command, self.folder())
    }

    /// The head of the running gateway's response.
    fn head(&self, method: &str, target: &str, headers: &[String]) -> String {
        let mut socket = connect(self.address, 8080);
        let host = format!("Host: {}:8080", self.address);
        let host = if headers.iter().any(|line| line.starts_with("Host:")) {
            None
        } else {
            Some(&host)
        };
        let lines: String = host
            .into_iter()
            .chain(headers)
            .map(|line| format!("{line}\r\n"))
            .collect();
        socket
            .write_all(format!("{method} {target} HTTP/1.1\r\n{lines}\r\n").as_bytes())
            .expect("the gateway reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        without_unique_values(&String::from_utf8(head).expect("text"))
    }

    /// The requests that the metrics count as refused for this reason.
    fn refused(&self, reason: &str) -> u64 {
        let metrics = round_trip(
            self.address,
            9090,
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
        let reason = format!(",decision=\"refused\",reason=\"{reason}\"}} ");
        let series = metrics
            .lines()
            .filter(|line| line.starts_with("scopegate_requests_total{"));
        series
            .filter_map(|line| line.split_once(&reason)?.1.parse::<u64>().ok())
            .sum()
    }

    /// The reason of each request in the access log so far.
    fn reasons(&self) -> Vec<Option<String>> {
        let lines = self.gateway.printed().1;
        let requests = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let requests = requests.filter(|line| line["message"] == "request");
        requests
            .map(|line| line["reason"].as_str().map(str::to_owned))
            .collect()
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn file(address: Ipv4Addr, issuer: &str, upstream: &Server) -> String {
    format!(
        r#"
[server]
listen = "{address}:8080"
workers = 1
[admin]
listen = "{address}:9090"
[log]
format = "json"
[issuers.corp]
issuer = "{issuer}"
audience = "https://api.test"
[issuers.gone]
issuer = "http://{address}:9"
audience = "https://api.test"
[upstreams.up]
targets = "http://{}"
[[routes]]
path = "/things"
methods = "GET"
scope = "things.read"
issuers = "corp"
upstream = "up"
[[routes]]
path = "/things/{{id}}"
methods = "GET"
scope = "things.read thing.{{id}}"
issuers = "corp"
upstream = "up"
claim_headers = {{ "X-Client-Id" = "client_id" }}
strip_prefix = "/things"
[[routes]]
path = "/either"
any_scope = ["a b", "c.*"]
issuers = "corp"
forward_token = "strip"
upstream = "up"
[[routes]]
path = "/gone"
issuers = "gone"
upstream = "up"
[[routes]]
path = "/shadow"
scope = "admin"
enforce = false
upstream = "up"
[[routes]]
path = "/open"
public = true
upstream = "up"
[[routes]]
host = "look.test"
path = "/admin"
scope = "admin"
upstream = "up"
[[routes]]
host = "look.test"
path = "/{{*rest}}"
public = true
upstream = "up"
max_body_size = "2KiB"
response_timeout = "1500ms"
"#,
        upstream.address
    )
}

fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time within i64")
}

/// Replaces the values that differ between two responses to the same request.
fn without_unique_values(head: &str) -> String {
    let mask = |line: &str| match line.split_once(": ") {
        Some((name @ ("date" | "x-request-id"), _)) => format!("{name}: …\n"),
        _ => format!("{line}\n"),
    };
    head.replace('\r', "").lines().map(mask).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn explain_json(folder: &TempDir, toml: &str, arguments: &[&str]) -> Value {
    fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
    let mut command: Command = command();
    command.arg("explain").args(arguments);
    let output = run_in(command, folder.path());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}
