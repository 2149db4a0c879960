//! A connection whose frames are written by hand, from either side.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::frames::{
    ACK, DATA, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS, NONE, PING, PREFACE, RST_STREAM,
    SETTINGS, WHOLE, block, frame, settings, status,
};
use harness::TIMEOUT;

/// A frame as it came.
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
    Whole,
    /// With this error code.
    Reset(u32),
    /// With its connection.
    Gone,
}

/// What the other side has said on a stream so far.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamState {
    pub(super) status: Option<u16>,
    pub(super) body: Vec<u8>,
    pub(super) end: Option<End>,
}

impl StreamState {
    /// Whether the request was turned away: by its status, its stream's reset or its connection's end.
    pub(super) fn is_refusal(&self) -> bool {
        match self.status {
            Some(status) => (400..500).contains(&status),
            None => self.end.is_some_and(|end| end != End::Whole),
        }
    }
}

trait Socket: Read + Write + Send {}

impl<S: Read + Write + Send> Socket for S {}

/// A connection. What it reads is acknowledged as the protocol asks for.
pub(super) struct FrameConnection {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
    streams: HashMap<u32, StreamState>,
    next: u32,
    /// The error codes of the GOAWAYs that came.
    pub(super) goaways: Vec<u32>,
    /// Whether settings and pings are acknowledged; those that are not may be later.
    pub(super) answers: bool,
    unanswered: Vec<u8>,
}

impl FrameConnection {
    /// A client's side: its preface is sent, and these settings.
    pub(super) fn open(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut wire = Self::over(connect(address));
        wire.begin(values);
        wire
    }

    /// On a connection that is there, of which nothing is sent yet.
    pub(super) fn over(socket: impl Read + Write + Send + 'static) -> Self {
        let (socket, streams) = (Box::new(socket), HashMap::new());
        Self {
            socket,
            buffer: Vec::new(),
            streams,
            next: 1,
            goaways: Vec::new(),
            answers: true,
            unanswered: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, values: &[(u16, u32)]) {
        // Without a table, statuses can be read out of any field block by itself.
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        self.write([PREFACE, &settings(&values)].concat());
    }

    /// The server's side: the preface is read, and these settings are sent.
    pub(super) fn welcome(&mut self, values: &[(u16, u32)]) -> bool {
        while self.buffer.len() < PREFACE.len() {
            if !self.read_more() {
                return false;
            }
        }
        assert_eq!(self.buffer.drain(..PREFACE.len()).as_slice(), PREFACE);
        self.try_write(settings(values))
    }

    pub(super) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_write(bytes), "the other side is gone");
    }

    /// As [`write`](Self::write), where the other side may close before it has read all. Whether it did not.
    pub(super) fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket
            .write_all(bytes.as_ref())
            .and_then(|()| self.socket.flush())
            .is_ok()
    }

    /// A stream for a request with this field block.
    pub(super) fn begin_request(&mut self, flags: u8, fields: &[(&str, &str)]) -> u32 {
        let stream = self.next_stream();
        self.write(frame(HEADERS, flags, stream, block(fields)));
        stream
    }

    /// The next stream's number.
    pub(super) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request without a body and reads its answer.
    pub(super) fn ask(&mut self, fields: &[(&str, &str)]) -> StreamState {
        let stream = self.begin_request(WHOLE, fields);
        self.answer(stream)
    }

    /// Reads until a stream has ended.
    pub(super) fn answer(&mut self, stream: u32) -> StreamState {
        self.until(|wire| wire.told(stream).end.is_some());
        let mut told = self.told(stream);
        told.end.get_or_insert(End::Gone);
        told
    }

    /// What was said on a stream so far.
    pub(super) fn told(&self, stream: u32) -> StreamState {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Reads until something holds. Whether it came to that before the connection ended.
    pub(super) fn until(&mut self, holds: impl Fn(&Self) -> bool) -> bool {
        while !holds(self) {
            if self.read().is_none() {
                return false;
            }
        }
        true
    }

    /// Reads until the other side has closed; fails where it does not.
    pub(super) fn is_closed(&mut self) -> bool {
        !self.until(|_| false)
    }

    /// Waits for the other side to have seen all that was written. Whether it still answers.
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

    /// Acknowledges what came and was not acknowledged.
    pub(super) fn acknowledge(&mut self) {
        let answers = std::mem::take(&mut self.unanswered);
        self.try_write(answers);
    }

    /// Reads the next frame, none where the connection has ended.
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
        self.note(&frame);
        Some(frame)
    }

    fn note(&mut self, got: &Frame) {
        let told = self.streams.entry(got.stream).or_default();
        match got.kind {
            HEADERS if told.status.is_none() => told.status = status(&got.payload),
            DATA => told.body.extend_from_slice(&got.payload),
            RST_STREAM => _ = told.end.get_or_insert(End::Reset(code(&got.payload))),
            GOAWAY => self.goaways.push(code(&got.payload[4..])),
            SETTINGS if got.flags & ACK == 0 => self.unanswered.extend(frame(SETTINGS, ACK, 0, [])),
            PING if got.flags & ACK == 0 => {
                self.unanswered.extend(frame(PING, ACK, 0, &got.payload))
            }
            _ => {}
        }
        if self.answers {
            self.acknowledge();
        }
        if matches!(got.kind, HEADERS | DATA) && got.flags & END_STREAM != 0 {
            self.streams
                .entry(got.stream)
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

    // A reset ends a connection as surely as an end of file does.
    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came: {error}")
            }
            Err(_) => false,
        }
    }
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("somebody listens");
    socket.set_nodelay(true).expect("an open socket");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
    socket
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])
}
