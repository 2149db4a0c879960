//! An HTTP/2 connection, as client or server, whose frames a test writes itself.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::frames::{
    ACK, DATA, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS, NONE, PING, PREFACE, RST_STREAM,
    SETTINGS, WHOLE, block, frame, settings, status,
};
use harness::TIMEOUT;

/// A frame, as received.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By END_STREAM.
    Whole,
    /// By RST_STREAM, with this error code.
    Reset(u32),
    /// By the end of its connection.
    ConnectionClosed,
}

/// What was received on a stream so far.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamState {
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) end: Option<End>,
}

impl StreamState {
    /// Whether the request was refused: by a 4xx status, a reset, or the end of the connection.
    pub(super) fn is_refusal(&self) -> bool {
        match self.status {
            Some(status) => (400..500).contains(&status),
            None => self.end.is_some_and(|end| end != End::Whole),
        }
    }
}

trait Socket: Read + Write + Send {}

impl<S: Read + Write + Send> Socket for S {}

/// A connection that acknowledges SETTINGS and PING frames while it reads.
pub(super) struct FrameConnection {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
    streams: HashMap<u32, StreamState>,
    next: u32,
    /// The error codes of the received GOAWAY frames.
    pub(super) goaways: Vec<u32>,
    /// Whether SETTINGS and PING are acknowledged at once, and not by `acknowledge`.
    pub(super) acknowledges: bool,
    unacknowledged: Vec<u8>,
}

impl FrameConnection {
    /// Connects as a client and sends the preface with these settings.
    pub(super) fn open(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut connection = Self::over(connect(address));
        connection.send_preface(values);
        connection
    }

    /// Wraps a connection without sending anything.
    pub(super) fn over(socket: impl Read + Write + Send + 'static) -> Self {
        Self {
            socket: Box::new(socket),
            buffer: Vec::new(),
            streams: HashMap::new(),
            next: 1,
            goaways: Vec::new(),
            acknowledges: true,
            unacknowledged: Vec::new(),
        }
    }

    /// Sends the preface of a client with these settings.
    pub(super) fn send_preface(&mut self, values: &[(u16, u32)]) {
        // Without a dynamic table, each field block can be decoded alone.
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        self.write([PREFACE, &settings(&values)].concat());
    }

    /// Reads the preface as a server and sends these settings; `false` if the connection ends
    /// first.
    pub(super) fn accept_preface(&mut self, values: &[(u16, u32)]) -> bool {
        while self.buffer.len() < PREFACE.len() {
            if !self.read_more() {
                return false;
            }
        }
        assert_eq!(self.buffer.drain(..PREFACE.len()).as_slice(), PREFACE);
        self.try_write(settings(values))
    }

    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_write(bytes), "the peer has closed the connection");
    }

    /// Like [`write`](Self::write), but returns `false` if the peer has closed the connection.
    pub(super) fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket
            .write_all(bytes.as_ref())
            .and_then(|()| self.socket.flush())
            .is_ok()
    }

    /// Sends a request head and returns its stream.
    pub(super) fn begin_request(&mut self, flags: u8, fields: &[(&str, &str)]) -> u32 {
        let stream = self.next_stream();
        self.write(frame(HEADERS, flags, stream, block(fields)));
        stream
    }

    /// Reserves the next stream identifier.
    pub(super) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request without a body and reads its response.
    pub(super) fn ask(&mut self, fields: &[(&str, &str)]) -> StreamState {
        let stream = self.begin_request(WHOLE, fields);
        self.response(stream)
    }

    /// Reads until a stream has ended.
    pub(super) fn response(&mut self, stream: u32) -> StreamState {
        self.until(|connection| connection.stream(stream).end.is_some());
        let mut response = self.stream(stream);
        response.end.get_or_insert(End::ConnectionClosed);
        response
    }

    /// What was received on a stream so far.
    pub(super) fn stream(&self, stream: u32) -> StreamState {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Reads until a condition holds; `false` if the connection ends first.
    pub(super) fn until(&mut self, holds: impl Fn(&Self) -> bool) -> bool {
        while !holds(self) {
            if self.read().is_none() {
                return false;
            }
        }
        true
    }

    /// Reads until the peer closes the connection; panics after the timeout.
    pub(super) fn is_closed(&mut self) -> bool {
        !self.until(|_| false)
    }

    /// Waits for a PING acknowledgement, by which the peer has read everything written before;
    /// `false` if the connection ends first.
    pub(super) fn ping(&mut self) -> bool {
        if !self.try_write(frame(PING, NONE, 0, b"are you?")) {
            return false;
        }
        while let Some(frame) = self.read() {
            if frame.kind == PING && frame.flags == ACK {
                return true;
            }
        }
        false
    }

    /// Acknowledges all frames that are not acknowledged yet.
    pub(super) fn acknowledge(&mut self) {
        let acknowledgements = std::mem::take(&mut self.unacknowledged);
        self.try_write(acknowledgements);
    }

    /// Reads the next frame; `None` if the connection has ended.
    pub(super) fn read(&mut self) -> Option<Frame> {
        while self.buffer.len() < 9 || self.buffer.len() < 9 + self.length() {
            if !self.read_more() {
                return None;
            }
        }
        let end = 9 + self.length();
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]);
        let frame = Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream,
            payload: bytes[9..].to_vec(),
        };
        self.record(&frame);
        Some(frame)
    }

    fn record(&mut self, received: &Frame) {
        let state = self.streams.entry(received.stream).or_default();
        match received.kind {
            HEADERS if state.status.is_none() => state.status = status(&received.payload),
            DATA => state.body.extend_from_slice(&received.payload),
            RST_STREAM => _ = state.end.get_or_insert(End::Reset(code(&received.payload))),
            GOAWAY => self.goaways.push(code(&received.payload[4..])),
            SETTINGS if received.flags & ACK == 0 => {
                self.unacknowledged.extend(frame(SETTINGS, ACK, 0, []))
            }
            PING if received.flags & ACK == 0 => {
                self.unacknowledged
                    .extend(frame(PING, ACK, 0, &received.payload))
            }
            _ => {}
        }
        if self.acknowledges {
            self.acknowledge();
        }
        if matches!(received.kind, HEADERS | DATA) && received.flags & END_STREAM != 0 {
            self.streams
                .entry(received.stream)
                .or_default()
                .end
                .get_or_insert(End::Whole);
        }
    }

    fn length(&self) -> usize {
        usize::from(self.buffer[0]) << 16
            | usize::from(self.buffer[1]) << 8
            | usize::from(self.buffer[2])
    }

    // A reset counts as the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing arrived: {error}")
            }
            Err(_) => false,
        }
    }
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a listener");
    socket.set_nodelay(true).expect("an open socket");
    socket
        .set_read_timeout(Some(TIMEOUT))
        .expect("an open socket");
    socket
        .set_write_timeout(Some(TIMEOUT))
        .expect("an open socket");
    socket
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])
}
