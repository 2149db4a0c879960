//! A server that speaks as much of Redis as a gateway asks for, and lies where a test says so.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sync::lock;

/// How long a read waits for something new.
const BLOCK: Duration = Duration::from_millis(20);

pub(super) struct FakeRedis {
    folder: tempfile::TempDir,
    state: Arc<Mutex<State>>,
}

/// The messages of a stream, by their ids.
type Items = Vec<(u64, Vec<u8>)>;

#[derive(Default)]
struct State {
    streams: HashMap<Vec<u8>, Items>,
    last_id: u64,
    /// What a command gets instead of its reply.
    lies: HashMap<&'static str, Lie>,
}

/// A false reply.
#[derive(Clone)]
pub(super) enum Lie {
    Bytes(Vec<u8>),
    Close,
    Silence,
}

impl FakeRedis {
    pub(super) fn start() -> Self {
        let this = Self {
            folder: tempfile::tempdir().expect("a folder"),
            state: Arc::default(),
        };
        let listener = UnixListener::bind(this.socket()).expect("a socket");
        let state = Arc::clone(&this.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                // A client that is gone ends its thread.
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        this
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(super) fn lie(&self, command: &'static str, lie: Lie) {
        lock(&self.state).lies.insert(command, lie);
    }

    pub(super) fn be_honest(&self) {
        lock(&self.state).lies.clear();
    }

    pub(super) fn lose_everything(&self) {
        lock(&self.state).streams.clear();
    }

    pub(super) fn messages(&self, key: &str) -> Vec<Vec<u8>> {
        let state = lock(&self.state);
        let found = state.streams.get(key.as_bytes()).into_iter().flatten();
        found.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn remove_last(&self, key: &str) {
        let mut state = lock(&self.state);
        let found = state.streams.get_mut(key.as_bytes());
        found.and_then(Vec::pop).expect("a message");
    }

    /// Adds messages again that were there before.
    pub(super) fn replay(&self, key: &str, messages: &[Vec<u8>]) {
        let mut state = lock(&self.state);
        for message in messages {
            state.add(key.as_bytes(), message);
        }
    }
}

impl State {
    fn add(&mut self, key: &[u8], value: &[u8]) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let stream = self.streams.entry(key.to_vec()).or_default();
        stream.push((id, value.to_vec()));
        id
    }

    fn read(&self, key: &[u8], after: u64, max: usize) -> Items {
        let found = self.streams.get(key).into_iter().flatten();
        let newer = found.filter(|(id, _)| *id > after);
        newer.take(max).cloned().collect()
    }
}

fn serve(stream: &UnixStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream.try_clone().ok()?;
    loop {
        let command = read_command(&mut reader)?;
        let name = String::from_utf8_lossy(command.first()?).to_ascii_uppercase();
        let lie = lock(state).lies.get(name.as_str()).cloned();
        let reply = match lie {
            None => honest(&name, &command, state),
            Some(Lie::Bytes(bytes)) => bytes,
            Some(Lie::Close) => return None,
            Some(Lie::Silence) => continue,
        };
        writer.write_all(&reply).ok()?;
    }
}

fn read_command(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let number = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim_end().parse::<usize>().ok()
    };
    let count = number(reader)?;
    (0..count)
        .map(|_| {
            let mut bytes = vec![0; number(reader)? + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            Some(bytes)
        })
        .collect()
}

fn honest(name: &str, command: &[Vec<u8>], state: &Mutex<State>) -> Vec<u8> {
    match name {
        "ROLE" => b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_vec(),
        "XLEN" => {
            let length = lock(state).streams.get(&command[1]).map_or(0, Vec::len);
            format!(":{length}\r\n").into_bytes()
        }
        "SCRIPT" => b"$1\r\nx\r\n".to_vec(),
        "EVALSHA" => [&b"*2\r\n:"[..], &command[7], b"\r\n:0\r\n"].concat(),
        "XADD" => {
            let id = lock(state).add(&command[1], &command[command.len() - 1]);
            bulk(format!("{id}-0").as_bytes())
        }
        "XREAD" => read_streams(command, state),
        _ => b"+OK\r\n".to_vec(),
    }
}

// XREAD COUNT n BLOCK ms STREAMS key key id id
fn read_streams(command: &[Vec<u8>], state: &Mutex<State>) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let number = text.split('-').next().and_then(|text| text.parse().ok());
        number.unwrap_or_default()
    };
    let max = usize::try_from(number(&command[2])).unwrap_or_default();
    for _ in 0..2 {
        let mut streams = Vec::new();
        for (key, after) in [(&command[6], &command[8]), (&command[7], &command[9])] {
            let found = lock(state).read(key, number(after), max);
            if !found.is_empty() {
                streams.push((key.clone(), found));
            }
        }
        if !streams.is_empty() {
            return page(&streams);
        }
        std::thread::sleep(BLOCK);
    }
    b"*-1\r\n".to_vec()
}

fn page(streams: &[(Vec<u8>, Items)]) -> Vec<u8> {
    let mut reply = format!("*{}\r\n", streams.len()).into_bytes();
    for (key, items) in streams {
        reply.extend(b"*2\r\n");
        reply.extend(bulk(key));
        reply.extend(format!("*{}\r\n", items.len()).into_bytes());
        for (id, value) in items {
            reply.extend(b"*2\r\n");
            reply.extend(bulk(format!("{id}-0").as_bytes()));
            reply.extend(b"*2\r\n$1\r\nm\r\n");
            reply.extend(bulk(value));
        }
    }
    reply
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    let head = format!("${}\r\n", bytes.len());
    [head.as_bytes(), bytes, b"\r\n"].concat()
}
