//! Does a flood of distinct tokens leave memory bounded?
//!
//! A gateway in this process verifies a million distinct, valid tokens. The bench prints resident
//! memory after the flood as a ratio to resident memory with full caches. It should be at most 1.2.
//!
//! Cache limits are the defaults. `CACHE` replaces them with keys for the issuer's section.
//!
//!     cargo bench --bench flood            # TOKENS=200000 for a short one
//!     CACHE='cache_entries = 10000' cargo bench --bench flood

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::{env, fs, thread};

use arc_swap::ArcSwap;
use jsonwebtoken::{EncodingKey, Header, encode};
use scopegate::clock::Clock;
use scopegate::server::tls::CurrentCertificates;
use scopegate::server::{Server, Settings, listen};
use scopegate::telemetry::Telemetry;
use scopegate::{config, gateway, verify};
use serde_json::json;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "a secret of at least thirty-two bytes";
/// More than every tier holds by default: the caches are full, and the allocator has settled.
const FULL: usize = 100_000;

fn main() {
    let tokens: usize = env::var("TOKENS")
        .ok()
        .and_then(|tokens| tokens.parse().ok())
        .unwrap_or(1_000_000);
    verify::jwt::install_cryptography();
    let upstream = serve_upstream();
    let gateway = serve_gateway(upstream);

    flood(gateway, 0..1);
    println!("with one token:        {} KiB", resident());
    let mut seen = FULL;
    flood(gateway, 1..seen);
    let full = resident();
    println!("with full caches:      {full} KiB");
    while seen < tokens {
        let next = (seen + tokens / 10).min(tokens);
        flood(gateway, seen..next);
        seen = next;
        println!("after {seen:>8} tokens: {} KiB", resident());
    }
    let after = resident();
    println!("ratio: {:.3}", after as f64 / full as f64);
}

fn flood(gateway: SocketAddr, numbers: std::ops::Range<usize>) {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let mut socket = TcpStream::connect(gateway).expect("the gateway listens");
    let mut response = [0; 4096];
    for number in numbers {
        let claims = json!({
            "iss": "flood", "aud": "https://api.test", "sub": "client", "client_id": "client", "scope": "read write",
            "exp": 4_000_000_000_i64, "jti": number,
        });
        let token = encode(&Header::default(), &claims, &key).expect("a token");
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        socket
            .write_all(request.as_bytes())
            .expect("the gateway reads");
        let read = socket.read(&mut response).expect("a response");
        assert!(
            response[..read].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&response[..read])
        );
    }
}

fn serve_gateway(upstream: SocketAddr) -> SocketAddr {
    let cache = env::var("CACHE").unwrap_or_default();
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[log]\naccess = false\n\
         [issuers.flood]\nissuer = \"flood\"\naudience = \"https://api.test\"\nshared_secret = \"{SECRET}\"\n\
         {cache}\naccept_unbounded_expiry = true\n\
         [upstreams.up]\ntargets = \"http://{upstream}\"\n[[routes]]\npath = \"/\"\nscope = \"read\"\nupstream = \"up\"\n"
    );
    let (config, _) = config::parse("flood.toml", &toml).expect("a valid file");
    let snapshot = gateway::compile(&config).expect("a valid file");
    let listeners =
        listen(&[config.listeners[0].address.value.clone()], 1, false).expect("a free port");
    let address = listeners.addresses()[0].ip().expect("a port");
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let server = Server::start(
        listeners,
        &[CurrentCertificates::new(None)],
        &Settings::from(&config),
        &snapshot,
        &Clock::system(),
        &Telemetry::new(),
    );
    // Serves until the process ends.
    std::mem::forget(server.expect("threads"));
    address
}

fn serve_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 8192];
                while socket.read(&mut request).is_ok_and(|read| read > 0) {
                    if socket
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}
