//! Bytes sent to a real gateway, followed by a request that closes the connection. The response is
//! a sequence of well-formed messages, then the connection closes within a bound. The upstream
//! receives only complete requests with one framing, and none for a protected path without the
//! valid token.
//!
//! Gateway and upstream are started once and serve every input.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{mem, panic, thread};

use arc_swap::ArcSwap;
use scopegate::clock::Clock;
use scopegate::gateway::{self, SharedSnapshot, compile};
use scopegate::oauth::UnixTime;
use scopegate::server::tls::CurrentCertificates;
use scopegate::server::{Server, Settings, listen};
use scopegate::telemetry::Telemetry;

/// Signed with the shared secret of [`TestBed::start`]; expires long after [`NOW`], and grants
/// `read`.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJhdWQiOiJodHRwc\
    zovL2FwaS50ZXN0Iiwic3ViIjoiYSIsInNjb3BlIjoicmVhZCIsImV4cCI6MTkwMDAwMDAwMH0.pkrKVp7JDR0Bs8s\
    AQUheRL6XrFuqPNc4F0x5iX4MSz4";
const NOW: i64 = 1_800_000_000;

/// Maximum time for one input, from connect to close.
const TIMEOUT: Duration = Duration::from_secs(10);

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LAST: &[u8] = b"GET /public/last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";

pub(crate) fn check(input: &[u8]) {
    static TEST_BED: OnceLock<TestBed> = OnceLock::new();
    let test_bed = TEST_BED.get_or_init(TestBed::start);
    let (bytes, is_reset) = test_bed.send(input);
    assert_responses(&bytes, is_reset, input);
    let seen = mem::take(&mut *test_bed.violations.lock().expect("no panic"));
    assert!(
        seen.is_empty(),
        "{seen:?}, last after {}",
        input.escape_ascii()
    );
}

struct TestBed {
    gateway: SocketAddr,
    // Requests that the upstream should not have received, and panics of the gateway.
    violations: Arc<Mutex<Vec<String>>>,
}

impl TestBed {
    fn start() -> Self {
        let violations = Arc::new(Mutex::new(Vec::new()));
        let upstream = start_upstream(&violations);
        record_panics(&violations);
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
             header_timeout = \"100ms\"\nbody_idle_timeout = \"100ms\"\nkeep_alive_timeout = \"100ms\"\n\
             [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"https://api.test\"\n\
             shared_secret = \"a shared secret of the fuzzed listener, of no use to anybody\"\n\
             [upstreams.up]\ntargets = \"http://{upstream}\"\n\
             [[routes]]\npath = \"/public/{{*rest}}\"\npublic = true\nupstream = \"up\"\n\
             [[routes]]\npath = \"/{{*rest}}\"\nscope = \"read\"\nupstream = \"up\"\n"
        );
        let test_bed = Self {
            gateway: start_gateway(&toml),
            violations,
        };
        // Proves that the test bed distinguishes requests with and without the token.
        for (authorization, status) in [
            ("", "401"),
            (&*format!("Authorization: Bearer {TOKEN}\r\n"), "200"),
        ] {
            let request = format!("GET /secret HTTP/1.1\r\nHost: api.test\r\n{authorization}\r\n");
            let (responses, _) = test_bed.send(request.as_bytes());
            assert!(
                responses.starts_with(format!("HTTP/1.1 {status}").as_bytes()),
                "{}",
                responses.escape_ascii()
            );
        }
        test_bed
    }

    /// Everything that the gateway sent, and whether a reset may have lost a part of it.
    fn send(&self, input: &[u8]) -> (Vec<u8>, bool) {
        let start = Instant::now();
        let mut socket = TcpStream::connect(self.gateway).expect("the gateway listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
        // The gateway may close before it has read all.
        let _ = socket.write_all(&[input, LAST].concat());
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            assert!(
                start.elapsed() < TIMEOUT,
                "no end after {TIMEOUT:?}: {}",
                input.escape_ascii()
            );
            match socket.read(&mut chunk) {
                Ok(0) => return (bytes, false),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, true),
                // The fuzzer's timeout uses a signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!(
                    "neither answer nor close, but {error}: {}",
                    input.escape_ascii()
                ),
            }
        }
    }
}

fn start_gateway(toml: &str) -> SocketAddr {
    let (config, source) =
        scopegate::config::parse("gateway.toml", toml).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = compile(&config).unwrap_or_else(|faults| panic!("{}", source.report(faults)));
    let settings = Settings::from(&config);
    let listeners =
        listen(&[config.listeners[0].address.value.clone()], 1, false).expect("a free port");
    let address = listeners.addresses()[0].ip().expect("a port");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let snapshot: SharedSnapshot = Arc::new(ArcSwap::from_pointee(snapshot));
            gateway::start_background_tasks(&snapshot.load(), None);
            let clock = Clock::by_hand(UnixTime::from_seconds(NOW));
            let _server = Server::start(
                listeners,
                &[CurrentCertificates::new(None)],
                &settings,
                &snapshot,
                &clock,
                &Telemetry::new(),
            )
            .expect("threads");
            // Serves until the process ends.
            std::future::pending::<()>().await;
        });
    });
    address
}

fn start_upstream(violations: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let violations = Arc::clone(violations);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(socket), violations) = (socket, Arc::clone(&violations)) else {
                continue;
            };
            thread::spawn(move || {
                if let Err(Stop::Violation(violation)) = serve(socket) {
                    violations.lock().expect("no panic").push(violation);
                }
            });
        }
    });
    address
}

// A panic in a worker closes one connection, which would otherwise look like a normal close.
fn record_panics(violations: &Arc<Mutex<Vec<String>>>) {
    let (violations, earlier) = (Arc::clone(violations), panic::take_hook());
    panic::set_hook(Box::new(move |info| {
        if thread::current()
            .name()
            .is_some_and(|name| name.starts_with("worker-"))
        {
            violations.lock().expect("no panic").push(info.to_string());
        }
        earlier(info);
    }));
}

enum Stop {
    /// The gateway closed the connection, as it may.
    Closed,
    Violation(String),
}

/// A strict reader of a connection from the gateway: bytes left over from one request start the
/// next.
struct Reader {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    fn more(&mut self) -> Result<(), Stop> {
        let mut chunk = [0; 4096];
        match self.socket.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Ok(0) | Err(_) => Err(Stop::Closed),
            Ok(read) => {
                self.bytes.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Stop> {
        while self.bytes.len() < length {
            self.more()?;
        }
        Ok(self.bytes.drain(..length).collect())
    }

    /// Reads up to `end`, and returns the text before it.
    fn until(&mut self, end: &str) -> Result<String, Stop> {
        loop {
            if let Some(index) = self
                .bytes
                .windows(end.len())
                .position(|window| window == end.as_bytes())
            {
                let text = self.take(index + end.len())?;
                return Ok(text[..index].iter().copied().map(char::from).collect());
            }
            self.more()?;
        }
    }

    fn chunks(&mut self) -> Result<(), Stop> {
        loop {
            let size = self.until("\r\n")?;
            let Ok(size) = usize::from_str_radix(&size, 16) else {
                return violation("invalid chunk size", &size);
            };
            if size == 0 {
                while !self.until("\r\n")?.is_empty() {}
                return Ok(());
            }
            if !self.take(size + 2)?.ends_with(b"\r\n") {
                return violation("invalid chunk end", &size.to_string());
            }
        }
    }
}

fn serve(socket: TcpStream) -> Result<(), Stop> {
    let mut reader = Reader {
        socket,
        bytes: Vec::new(),
    };
    loop {
        let head = reader.until("\r\n\r\n")?;
        let Some(request) = Request::read(&head) else {
            return violation("invalid request", &head);
        };
        if !request.is_permitted() {
            return violation("a request without permission", &head);
        }
        match (
            &request.values("content-length")[..],
            &request.values("transfer-encoding")[..],
        ) {
            ([], []) => {}
            ([length], []) => match length.parse() {
                Ok(length) => drop(reader.take(length)?),
                Err(_) => return violation("invalid length", &head),
            },
            ([], ["chunked"]) => reader.chunks()?,
            _ => return violation("ambiguous framing", &head),
        }
        let body = if request.method == "HEAD" { "" } else { "seen" };
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{body}");
        reader
            .socket
            .write_all(response.as_bytes())
            .map_err(|_| Stop::Closed)?;
    }
}

fn violation<T>(what: &str, text: &str) -> Result<T, Stop> {
    Err(Stop::Violation(format!("{what}: {text:?}")))
}

struct Request<'h> {
    method: &'h str,
    target: &'h str,
    headers: Vec<(&'h str, &'h str)>,
}

impl<'h> Request<'h> {
    fn read(head: &'h str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let request_line: Vec<&str> = lines.next()?.split(' ').collect();
        let [method, target, "HTTP/1.1"] = request_line[..] else {
            return None;
        };
        Some(Self {
            method,
            target,
            headers: headers(lines)?,
        })
    }

    fn values(&self, name: &str) -> Vec<&'h str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
            .collect()
    }

    fn is_permitted(&self) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        let is_plain = segments
            .iter()
            .enumerate()
            .all(|(index, segment)| match *segment {
                "" => index == 0 || index + 1 == segments.len(),
                name => index > 0 && name != "." && name != "..",
            });
        let is_public = segments.get(1) == Some(&"public");
        let has_token = match self.values("authorization")[..] {
            [value] => value.split(' ').next_back() == Some(TOKEN),
            _ => false,
        };
        is_plain && self.values("host").len() == 1 && (is_public || has_token)
    }
}

/// Fields of a head: names of a token's characters, values without control characters (RFC 9110
/// §5).
fn headers<'h>(lines: impl Iterator<Item = &'h str>) -> Option<Vec<(&'h str, &'h str)>> {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let is_of_a_value = |c: char| c == '\t' || !c.is_ascii_control();
    lines
        .map(|line| line.split_once(':'))
        .map(|field| {
            field.filter(|(name, value)| {
                name.chars().all(is_of_a_name) && value.chars().all(is_of_a_value)
            })
        })
        .map(|field| {
            field
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, value)| (name, value.trim()))
        })
        .collect()
}

fn assert_responses(bytes: &[u8], is_reset: bool, input: &[u8]) {
    if input.starts_with(HTTP2_PREFACE) {
        return assert_frames(bytes, is_reset, input);
    }
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut rest = &*text;
    while !rest.is_empty() {
        let Some((head, after)) = rest.split_once("\r\n\r\n") else {
            assert!(
                is_reset,
                "half an answer to {}: {rest:?}",
                input.escape_ascii()
            );
            return;
        };
        let length = body_length(head)
            .unwrap_or_else(|| panic!("no answer to {}: {head:?}", input.escape_ascii()));
        // A response to HEAD states the length of a body that is not sent.
        let is_bodiless =
            after.starts_with("HTTP/1.") || after.is_empty() && contains(input, b"HEAD");
        rest = match after.get(length..) {
            _ if is_bodiless => after,
            Some(further) => further,
            None => {
                assert!(
                    is_reset,
                    "half a body for {}: {head:?} {after:?}",
                    input.escape_ascii()
                );
                return;
            }
        };
    }
}

/// HTTP/2 output consists of whole frames, SETTINGS first (RFC 9113 §3.4, §4.1).
fn assert_frames(bytes: &[u8], is_reset: bool, input: &[u8]) {
    const SETTINGS: u8 = 4;
    let mut rest = bytes;
    while let [high, middle, low, kind, after @ ..] = rest {
        let is_first = rest.len() == bytes.len();
        assert!(
            !is_first || *kind == SETTINGS,
            "the first frame after {}",
            input.escape_ascii()
        );
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        match after.get(length + 5..) {
            Some(further) => rest = further,
            None => break,
        }
    }
    assert!(
        rest.is_empty() || is_reset,
        "half a frame after {}: {rest:?}",
        input.escape_ascii()
    );
}

/// The length of the body; `None` if the head is not a response head with one framing.
fn body_length(head: &str) -> Option<usize> {
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))?;
    let status: u16 = status.get(..3)?.parse().ok()?;
    let headers = headers(lines)?;
    let values = |name: &str| {
        headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
            .collect::<Vec<_>>()
    };
    match (
        values("content-length")[..].first(),
        values("content-length").len(),
        values("transfer-encoding").len(),
    ) {
        (None, 0, 0) if (100..200).contains(&status) || status == 204 || status == 304 => Some(0),
        (Some(length), 1, 0) if (200..600).contains(&status) => length.parse().ok(),
        _ => None,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
