//! Bytes that arrive at a real gateway, with a request behind them that ends the connection. What comes back is a row
//! of well-formed answers, if anything, and then the connection is closed, within a bound. The upstream sees whole
//! requests of one framing, and none for a protected path without the one good token.
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

/// Signed with the shared secret of [`Stand::start`], good until long after [`NOW`], and grants `read`.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2lkLnRlc3QiLCJhdWQiOiJodHRwc\
    zovL2FwaS50ZXN0Iiwic3ViIjoiYSIsInNjb3BlIjoicmVhZCIsImV4cCI6MTkwMDAwMDAwMH0.pkrKVp7JDR0Bs8s\
    AQUheRL6XrFuqPNc4F0x5iX4MSz4";
const NOW: i64 = 1_800_000_000;

/// How long an input may take, from the connection's start to its end.
const TIMEOUT: Duration = Duration::from_secs(10);

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const LAST: &[u8] = b"GET /public/last HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";

pub(crate) fn check(input: &[u8]) {
    static STAND: OnceLock<Stand> = OnceLock::new();
    let stand = STAND.get_or_init(Stand::start);
    let (bytes, is_reset) = stand.tell(input);
    are_answers(&bytes, is_reset, input);
    let seen = mem::take(&mut *stand.complaints.lock().expect("no panic"));
    assert!(
        seen.is_empty(),
        "{seen:?}, last after {}",
        input.escape_ascii()
    );
}

struct Stand {
    gateway: SocketAddr,
    // What the upstream should not have seen, and panics of the gateway.
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Stand {
    fn start() -> Self {
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let upstream = start_upstream(&complaints);
        listen_for_panics(&complaints);
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
             header_timeout = \"100ms\"\nbody_idle_timeout = \"100ms\"\nkeep_alive_timeout = \"100ms\"\n\
             [issuers.corp]\nissuer = \"https://id.test\"\naudience = \"https://api.test\"\n\
             shared_secret = \"a shared secret of the fuzzed listener, of no use to anybody\"\n\
             [upstreams.up]\ntargets = \"http://{upstream}\"\n\
             [[routes]]\npath = \"/public/{{*rest}}\"\npublic = true\nupstream = \"up\"\n\
             [[routes]]\npath = \"/{{*rest}}\"\nscope = \"read\"\nupstream = \"up\"\n"
        );
        let stand = Self {
            gateway: start_gateway(&toml),
            complaints,
        };
        // The good token gets through, so that what is said of protected paths is said of something.
        for (authorization, status) in [
            ("", "401"),
            (&*format!("Authorization: Bearer {TOKEN}\r\n"), "200"),
        ] {
            let request = format!("GET /secret HTTP/1.1\r\nHost: api.test\r\n{authorization}\r\n");
            let (answers, _) = stand.tell(request.as_bytes());
            assert!(
                answers.starts_with(format!("HTTP/1.1 {status}").as_bytes()),
                "{}",
                answers.escape_ascii()
            );
        }
        stand
    }

    /// Everything that came back, and whether a reset may have taken the rest of it.
    fn tell(&self, input: &[u8]) -> (Vec<u8>, bool) {
        let begin = Instant::now();
        let mut socket = TcpStream::connect(self.gateway).expect("the gateway listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
        // The gateway may close before it has read all.
        let _ = socket.write_all(&[input, LAST].concat());
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            assert!(
                begin.elapsed() < TIMEOUT,
                "no end after {TIMEOUT:?}: {}",
                input.escape_ascii()
            );
            match socket.read(&mut chunk) {
                Ok(0) => return (bytes, false),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, true),
                // A fuzzer watches the time with a signal.
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
    let settings = Settings::from(&config.server);
    let listeners = listen(&[config.listeners[0].address.value], 1, false).expect("a free port");
    let address = listeners.addresses()[0];
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let publisher: SharedSnapshot = Arc::new(ArcSwap::from_pointee(snapshot));
            gateway::start_background_tasks(&publisher.load(), None);
            let clock = Clock::by_hand(UnixTime::from_seconds(NOW));
            let _server = Server::start(
                listeners,
                &[CurrentCertificates::new(None)],
                &settings,
                &publisher,
                &clock,
                &Telemetry::new(),
            )
            .expect("threads");
            // It serves for as long as this process lives.
            std::future::pending::<()>().await;
        });
    });
    address
}

fn start_upstream(complaints: &Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let complaints = Arc::clone(complaints);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(socket), complaints) = (socket, Arc::clone(&complaints)) else {
                continue;
            };
            thread::spawn(move || {
                if let Err(Stop::Complaint(complaint)) = serve(socket) {
                    complaints.lock().expect("no panic").push(complaint);
                }
            });
        }
    });
    address
}

// A panic of a worker ends one connection and no more, which would pass for a close.
fn listen_for_panics(complaints: &Arc<Mutex<Vec<String>>>) {
    let (complaints, earlier) = (Arc::clone(complaints), panic::take_hook());
    panic::set_hook(Box::new(move |news| {
        if thread::current()
            .name()
            .is_some_and(|name| name.starts_with("worker-"))
        {
            complaints.lock().expect("no panic").push(news.to_string());
        }
        earlier(news);
    }));
}

enum Stop {
    /// The gateway went away, which is its right.
    Gone,
    Complaint(String),
}

/// A connection from the gateway, read as strictly as can be: whatever is left over from one request begins the next.
struct Reader {
    socket: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    fn more(&mut self) -> Result<(), Stop> {
        let mut chunk = [0; 4096];
        match self.socket.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Ok(0) | Err(_) => Err(Stop::Gone),
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

    /// What stands before `end`, which is taken as well.
    fn until(&mut self, end: &str) -> Result<String, Stop> {
        loop {
            if let Some(place) = self
                .bytes
                .windows(end.len())
                .position(|window| window == end.as_bytes())
            {
                let text = self.take(place + end.len())?;
                return Ok(text[..place].iter().copied().map(char::from).collect());
            }
            self.more()?;
        }
    }

    fn chunks(&mut self) -> Result<(), Stop> {
        loop {
            let size = self.until("\r\n")?;
            let Ok(size) = usize::from_str_radix(&size, 16) else {
                return complain("no size of a chunk", &size);
            };
            if size == 0 {
                while !self.until("\r\n")?.is_empty() {}
                return Ok(());
            }
            if !self.take(size + 2)?.ends_with(b"\r\n") {
                return complain("no end of a chunk", &size.to_string());
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
            return complain("no request", &head);
        };
        if !request.is_permitted() {
            return complain("a request that nobody permitted", &head);
        }
        match (
            &request.values("content-length")[..],
            &request.values("transfer-encoding")[..],
        ) {
            ([], []) => {}
            ([length], []) => match length.parse() {
                Ok(length) => drop(reader.take(length)?),
                Err(_) => return complain("no length", &head),
            },
            ([], ["chunked"]) => reader.chunks()?,
            _ => return complain("a body that ends in two places", &head),
        }
        let body = if request.method == "HEAD" { "" } else { "seen" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{body}");
        reader
            .socket
            .write_all(answer.as_bytes())
            .map_err(|_| Stop::Gone)?;
    }
}

fn complain<T>(what: &str, text: &str) -> Result<T, Stop> {
    Err(Stop::Complaint(format!("{what}: {text:?}")))
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
            .all(|(place, segment)| match *segment {
                "" => place == 0 || place + 1 == segments.len(),
                name => place > 0 && name != "." && name != "..",
            });
        let is_public = segments.get(1) == Some(&"public");
        let has_token = match self.values("authorization")[..] {
            [value] => value.split(' ').next_back() == Some(TOKEN),
            _ => false,
        };
        is_plain && self.values("host").len() == 1 && (is_public || has_token)
    }
}

/// Fields of a head: names of a token's characters, values without control characters (RFC 9110 §5).
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

fn are_answers(bytes: &[u8], is_reset: bool, input: &[u8]) {
    if input.starts_with(HTTP2_PREFACE) {
        return are_frames(bytes, is_reset, input);
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
        // An answer to HEAD tells the length of a body that does not come.
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

/// What comes back over HTTP/2 are whole frames, SETTINGS first (RFC 9113 §3.4, §4.1).
fn are_frames(bytes: &[u8], is_reset: bool, input: &[u8]) {
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

/// How long the body of an answer is; `None` where the head is none of an answer with one framing.
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
