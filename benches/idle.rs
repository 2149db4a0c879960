//! What does an idle connection cost?
//!
//! Starts the gateway as a process, and compares its resident memory before and after many clients
//! have each had a response and stay connected.
//!
//!     ulimit -n 25000; cargo bench --bench idle [-- CONNECTIONS]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.1:18090";

/// A gateway process, killed when dropped.
struct Gateway(Child);

impl Gateway {
    fn start(toml: &std::path::Path) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
        let child = command
            .arg("--config")
            .arg(toml)
            .stdout(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(ADDRESS).is_err() {
            if Instant::now() > deadline {
                return Err("the gateway does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self(child))
    }

    /// Resident memory in bytes.
    fn resident(&self) -> Result<u64, Box<dyn Error>> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.0.id()))?;
        let pages: u64 = statm.split(' ').nth(1).ok_or("no pages")?.parse()?;
        Ok(pages * 4096)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse::<usize>().ok())
        .unwrap_or(10_000);
    let folder = tempfile::tempdir()?;
    let toml = folder.path().join("gateway.toml");
    std::fs::write(
        &toml,
        format!(
            "[server]\nlisten = \"{ADDRESS}\"\nworkers = 1\nkeep_alive_timeout = \"10m\"\n[log]\nlevel = \"warn\"\naccess = false\n\
             [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n[[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
        ),
    )?;
    let gateway = Gateway::start(&toml)?;
    let before = gateway.resident()?;
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let mut client = TcpStream::connect(ADDRESS).map_err(|error| {
            format!("connection {index}: {error}; `ulimit -n` must exceed {count}")
        })?;
        request_404(&mut client)?;
        clients.push(client);
    }
    let after = gateway.resident()?;
    // Proves that every connection is still served.
    for client in &mut clients {
        request_404(client)?;
    }
    let each = (after - before) as f64 / count as f64;
    println!(
        "{count} idle connections: {before} bytes resident before, {after} after, {each:.0} for each"
    );
    Ok(())
}

fn request_404(client: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    client.write_all(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut response = [0; 1024];
    let read = client.read(&mut response)?;
    if response[..read].starts_with(b"HTTP/1.1 404") {
        Ok(())
    } else {
        Err("expected 404, but found something else".into())
    }
}
