//! A client that sends what it is told and sees every byte that comes back.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::TIMEOUT;
use super::server::find;

/// An answer as it came.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body was as long as it said it would be.
    pub complete: bool,
}

impl Response {
    /// The value of a header; a header that stands twice is a failure.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    pub fn challenge(&self) -> Option<&str> {
        self.header("www-authenticate")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that is kept.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("somebody listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket
            .write_all(bytes.as_ref())
            .expect("the gateway reads");
    }

    /// As [`write`](Self::write), where the other side may close before it has read all.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// The same connection, to write to while an answer is awaited.
    pub fn another_hand(&self) -> TcpStream {
        self.socket.try_clone().expect("an open socket")
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        self.socket
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        let bodiless = request.as_ref().starts_with(b"HEAD ");
        self.write(request);
        self.read(bodiless)
    }

    /// Reads one answer; interim ones are passed over.
    pub fn read(&mut self, bodiless: bool) -> Response {
        loop {
            let answer = self
                .try_read(bodiless)
                .expect("an answer, but the connection was closed");
            if answer.status >= 200 {
                return answer;
            }
        }
    }

    /// Reads one answer, interim or not; `None` where the connection is closed instead.
    pub fn try_read(&mut self, bodiless: bool) -> Option<Response> {
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.read_more() {
                assert!(
                    self.buffer.is_empty(),
                    "half an answer: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                return None;
            }
        };
        let head =
            String::from_utf8(self.buffer.drain(..head_end).collect()).expect("an ASCII head");
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .expect("a status line");
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Response {
            status,
            headers,
            body: Vec::new(),
            complete: true,
        };
        if bodiless || status < 200 || status == 204 || status == 304 {
            return Some(answer);
        }
        if let Some(length) = answer
            .header("content-length")
            .and_then(|length| length.parse::<usize>().ok())
        {
            while self.buffer.len() < length && self.read_more() {}
            answer.complete = self.buffer.len() >= length;
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else if answer.header("transfer-encoding") == Some("chunked") {
            answer.complete = self.read_chunks(&mut answer);
        } else {
            while self.read_more() {}
            answer.body = std::mem::take(&mut self.buffer);
        }
        Some(answer)
    }

    /// Whether these bytes come, whatever stands around them.
    pub fn reads_until(&mut self, bytes: &str) -> bool {
        loop {
            if find(&self.buffer, bytes.as_bytes()).is_some() {
                return true;
            }
            if !self.read_more() {
                return false;
            }
        }
    }

    /// Whether the other side closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.read_more()
    }

    fn read_chunks(&mut self, answer: &mut Response) -> bool {
        loop {
            let Some(line) = self.line() else {
                return false;
            };
            let Ok(size) = usize::from_str_radix(&line, 16) else {
                panic!("no chunk size: {line:?}")
            };
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                if !self.read_more() {
                    return false;
                }
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
        loop {
            match self.line() {
                Some(line) if line.is_empty() => return true,
                Some(line) => {
                    let (name, value) = line.split_once(':').expect("a trailer");
                    answer
                        .headers
                        .push((format!("trailer {name}"), value.trim().to_owned()));
                }
                None => return false,
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Some(line);
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    // A reset ends a connection as surely as an end of file does.
    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

/// Sends one request on a connection of its own.
pub fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    Connection::open(address).ask(request)
}

/// A GET, with a token if there is one.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Response {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{authorization}\r\n"),
    )
}
