//! A client that sends the given bytes and reads every byte of the response.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::TIMEOUT;
use super::server::find;

/// A response, as received.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the whole body arrived, as `Content-Length` or the last chunk shows.
    pub complete: bool,
}

impl Response {
    /// The value of a header.
    ///
    /// # Panics
    /// If the header occurs twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} occurs twice");
        value
    }

    pub fn challenge(&self) -> Option<&str> {
        self.header("www-authenticate")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A persistent connection.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("a listening gateway");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        socket.set_write_timeout(Some(TIMEOUT)).expect("a timeout");
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket
            .write_all(bytes.as_ref())
            .expect("the gateway reads the request");
    }

    /// Like [`write`](Self::write), but ignores that the gateway closes before it has read everything.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.socket.write_all(bytes.as_ref());
    }

    /// A second handle of the socket, to write while another thread reads.
    pub fn clone_socket(&self) -> TcpStream {
        self.socket.try_clone().expect("an open socket")
    }

    /// Closes the sending half.
    pub fn shutdown_write(&mut self) {
        self.socket
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        let bodiless = request.as_ref().starts_with(b"HEAD ");
        self.write(request);
        self.read(bodiless)
    }

    /// Reads the final response, and skips interim ones.
    pub fn read(&mut self, bodiless: bool) -> Response {
        loop {
            let response = self
                .try_read(bodiless)
                .expect("a response, but the connection was closed");
            if response.status >= 200 {
                return response;
            }
        }
    }

    /// Reads one response, interim or final; `None` if the connection closes instead.
    pub fn try_read(&mut self, bodiless: bool) -> Option<Response> {
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.read_more() {
                assert!(
                    self.buffer.is_empty(),
                    "half a response: {:?}",
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
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
            complete: true,
        };
        if bodiless || status < 200 || status == 204 || status == 304 {
            return Some(response);
        }
        if let Some(length) = response
            .header("content-length")
            .and_then(|length| length.parse::<usize>().ok())
        {
            while self.buffer.len() < length && self.read_more() {}
            response.complete = self.buffer.len() >= length;
            response.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else if response.header("transfer-encoding") == Some("chunked") {
            response.complete = self.read_chunks(&mut response);
        } else {
            while self.read_more() {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Some(response)
    }

    /// Reads until these bytes arrive; `false` if the connection closes first.
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

    /// Waits for the gateway to close the connection; `false` if another byte arrives.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.read_more()
    }

    fn read_chunks(&mut self, response: &mut Response) -> bool {
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
            response.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
        loop {
            match self.line() {
                Some(line) if line.is_empty() => return true,
                Some(line) => {
                    let (name, value) = line.split_once(':').expect("a trailer");
                    response
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

    // A reset counts as the end of the connection, like an end of file.
    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no response: {error}"),
        }
    }
}

/// Sends one request on a new connection.
pub fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    Connection::open(address).ask(request)
}

/// Sends a GET on a new connection, with the token if there is one.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Response {
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    send(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{authorization}\r\n"),
    )
}
