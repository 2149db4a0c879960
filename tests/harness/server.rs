//! A server whose script decides every byte of its responses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::TIMEOUT;

/// A request, as received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// All values of a header, in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect()
    }
}

/// What a server does when it has received a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Writes this response and keeps the connection open.
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Writes these bytes and keeps the connection open.
    Raw(Vec<u8>),
    /// Writes these bytes and closes.
    RawThenClose(Vec<u8>),
    /// Writes these bytes and resets the connection.
    RawThenReset(Vec<u8>),
    /// Writes these bytes, then nothing more until the server is dropped.
    RawThenHang(Vec<u8>),
    /// Writes these bytes one at a time, with a pause after each.
    Trickle(Vec<u8>, Duration),
    /// Writes these pieces with a short pause between them.
    InPieces(Vec<Vec<u8>>),
}

impl Reply {
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl ToString) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::Response {
            status,
            headers,
            body: body.to_string().into_bytes(),
        }
    }

    pub fn json(body: impl ToString) -> Self {
        Self::new(200, &[("content-type", "application/json")], body)
    }

    pub fn text(body: &str) -> Self {
        Self::new(200, &[], body)
    }

    pub fn status(status: u16) -> Self {
        Self::new(status, &[], "")
    }
}

fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).expect("a free port")
}

// A port that is free at one address may be in use at another one.
fn listen_on_one_port<const N: usize>() -> [TcpListener; N] {
    loop {
        let first = listen("127.0.0.1:0");
        let port = first.local_addr().expect("a bound socket").port();
        let others = (2..).map(|last| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)));
        let all = std::iter::once(Ok(first)).chain(others).take(N);
        if let Ok(all) = all.collect::<Result<Vec<_>, _>>() {
            return all.try_into().expect("N listeners");
        }
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A running server; it stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    script: Mutex<Script>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    stopped: AtomicBool,
}

impl Server {
    pub fn start(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    /// Starts it with TLS.
    pub fn start_tls(
        tls: Arc<ServerConfig>,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(listen("127.0.0.1:0"), Some(tls), script)
    }

    /// Starts it at an address, for example that of an earlier server.
    pub fn start_at(
        address: &str,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(listen(address), None, script)
    }

    /// Starts one at each of the first loopback addresses, all on one port.
    pub fn start_on_one_port<const N: usize>(
        script: impl Fn(&Received) -> Reply + Clone + Send + Sync + 'static,
    ) -> [Self; N] {
        listen_on_one_port().map(|listener| Self::serve(listener, None, script.clone()))
    }

    fn serve(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            tls,
            script: Mutex::new(Arc::new(script)),
            received: Mutex::default(),
            connections: AtomicUsize::default(),
            closed: AtomicUsize::default(),
            stopped: AtomicBool::default(),
        });
        let accepted = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                if accepted.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(socket), shared) = (socket, Arc::clone(&accepted)) else {
                    continue;
                };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    // An error means that the gateway closed the connection, which it may.
                    let _ = match &shared.tls {
                        None => serve(socket, &shared),
                        Some(tls) => {
                            let session =
                                ServerConnection::new(Arc::clone(tls)).expect("a session");
                            serve(StreamOwned::new(session, socket), &shared)
                        }
                    };
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// Replaces the script.
    pub fn script(&self, script: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no panic") = Arc::new(script);
    }

    /// The requests received so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// How many requests were received so far.
    pub fn hits(&self) -> usize {
        self.shared.received.lock().expect("no panic").len()
    }

    /// Clears the list of received requests.
    pub fn clear_received(&self) {
        self.shared.received.lock().expect("no panic").clear();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of the accepted connections have ended.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, so that it frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

/// A connection, plain or over TLS.
trait Socket: Read + Write {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

fn serve(mut socket: impl Socket, shared: &Shared) -> std::io::Result<()> {
    // Head and body are separate writes; Nagle's algorithm would delay the body.
    socket.tcp().set_nodelay(true)?;
    socket.tcp().set_read_timeout(Some(TIMEOUT))?;
    socket.tcp().set_write_timeout(Some(TIMEOUT))?;
    let mut buffer = Vec::new();
    loop {
        let Some(received) = read_request(&mut socket, &mut buffer)? else {
            return Ok(());
        };
        let script = Arc::clone(&*shared.script.lock().expect("no panic"));
        shared
            .received
            .lock()
            .expect("no panic")
            .push(received.clone());
        match script(&received) {
            Reply::Response {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 204 && status != 304 {
                    head.push_str(&format!("content-length: {}\r\n", body.len()));
                }
                head.push_str("\r\n");
                socket.write_all(head.as_bytes())?;
                if received.method != "HEAD" {
                    socket.write_all(&body)?;
                }
            }
            Reply::Raw(bytes) => socket.write_all(&bytes)?,
            Reply::RawThenClose(bytes) => return socket.write_all(&bytes),
            Reply::RawThenReset(bytes) => {
                socket.write_all(&bytes)?;
                socket2::SockRef::from(socket.tcp()).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Reply::RawThenHang(bytes) => {
                socket.write_all(&bytes)?;
                socket
                    .tcp()
                    .set_read_timeout(Some(Duration::from_millis(20)))?;
                while !shared.stopped.load(Ordering::SeqCst) {
                    match socket.read(&mut [0; 64]) {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                return Ok(());
            }
            Reply::InPieces(pieces) => {
                for piece in pieces {
                    socket.write_all(&piece)?;
                    // So that the pieces arrive in separate reads.
                    thread::sleep(Duration::from_millis(30));
                }
            }
            Reply::Trickle(bytes, pause) => {
                for byte in bytes {
                    socket.write_all(&[byte])?;
                    thread::sleep(pause);
                }
            }
        }
    }
}

fn read_request(
    socket: &mut impl Socket,
    buffer: &mut Vec<u8>,
) -> std::io::Result<Option<Received>> {
    let head_end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if !read_more(socket, buffer)? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    buffer.drain(..head_end);
    let mut lines = head.split("\r\n");
    let mut request_line = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(str::to_owned);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut received = Received {
        method: request_line.next().unwrap_or_default(),
        target: request_line.next().unwrap_or_default(),
        version: request_line.next().unwrap_or_default(),
        headers,
        body: Vec::new(),
    };
    if let Some(length) = received
        .header("content-length")
        .first()
        .and_then(|length| length.parse().ok())
    {
        while buffer.len() < length {
            if !read_more(socket, buffer)? {
                return Ok(None);
            }
        }
        received.body = buffer.drain(..length).collect();
    } else if received.header("transfer-encoding") == ["chunked"] {
        loop {
            let Some(line) = read_line(socket, buffer)? else {
                return Ok(None);
            };
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
                .expect("a chunk size");
            while buffer.len() < size + 2 && size > 0 {
                if !read_more(socket, buffer)? {
                    return Ok(None);
                }
            }
            if size == 0 {
                break;
            }
            received.body.extend(buffer.drain(..size));
            buffer.drain(..2);
        }
        // Trailers are recorded as headers with the prefix `trailer `.
        while let Some(line) = read_line(socket, buffer)?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a trailer");
            received
                .headers
                .push((format!("trailer {name}"), value.trim().to_owned()));
        }
    }
    Ok(Some(received))
}

fn read_line(socket: &mut impl Socket, buffer: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = find(buffer, b"\r\n") {
            let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 2);
            return Ok(Some(line));
        }
        if !read_more(socket, buffer)? {
            return Ok(None);
        }
    }
}

fn read_more(socket: &mut impl Socket, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut chunk = [0; 65536];
    let read = socket.read(&mut chunk)?;
    buffer.extend_from_slice(&chunk[..read]);
    Ok(read > 0)
}

pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
