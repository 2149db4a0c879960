//! `scopegate` as a process, at an address of its own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// An address of the loopback network that no other test uses: all of 127/8 is this machine, so ports need not be free.
pub(crate) fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    assert!(count < 62, "more would be those of the next process");
    let [_, high, middle, low] = (std::process::id() * 64 + 1 + count).to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, middle, low)
}

/// The shipped gateway.toml, at another address.
pub(crate) fn shipped(address: Ipv4Addr) -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml");
    fs::read_to_string(shipped)
        .expect("the shipped file")
        .replace("127.0.0.1", &address.to_string())
}

/// A running gateway.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it with this file, and waits until it listens on port 8080 of `address`.
    pub(crate) fn start(address: Ipv4Addr, toml: &str) -> Self {
        Self::launch(command(), toml).listening(address)
    }

    /// The same, with so many files that it may open.
    pub(crate) fn start_with_files(address: Ipv4Addr, toml: &str, files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -n {files}; exec \"$0\""),
            env!("CARGO_BIN_EXE_scopegate"),
        ]);
        Self::launch(shell, toml).listening(address)
    }

    /// Starts a command in a folder with this file.
    pub(crate) fn launch(mut command: Command, toml: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
        let log =
            |name: &str| Stdio::from(fs::File::create(folder.path().join(name)).expect("a file"));
        let child = command
            .current_dir(folder.path())
            .stdout(log("out"))
            .stderr(log("err"))
            .spawn();
        Self {
            child: child.expect("the binary"),
            folder,
        }
    }

    /// Waits until it listens on port 8080 of `address`.
    fn listening(self, address: Ipv4Addr) -> Self {
        wait("it listens", || TcpStream::connect((address, 8080)).is_ok());
        self
    }

    /// What it printed so far: its answers, its log.
    pub(crate) fn printed(&self) -> (String, String) {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).expect("a file");
        (read("out"), read("err"))
    }

    /// The folder that it runs in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill is a part of every system").success());
    }

    /// Waits until it has stopped.
    pub(crate) fn stopped(&mut self) -> ExitStatus {
        let mut status = None;
        wait("it stops", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has stopped")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_scopegate"))
}

/// The binary as systemd starts it: with a socket as fd 3, and variables that tell of it.
pub(crate) fn inheriting(socket: impl Into<OwnedFd>) -> Command {
    // The shell makes fd 3 of its standard input, and its process becomes the gateway's.
    let mut shell = Command::new("sh");
    let script =
        "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\"";
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_scopegate")])
        .stdin(socket.into());
    shell
}

/// Runs the binary to its end in a folder with this gateway.toml, if there is one.
pub(crate) fn run(toml: Option<&str>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(toml) = toml {
        fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
    }
    let mut command = command();
    command.args(arguments);
    finished(command, folder.path())
}

/// Runs a command to its end in a folder.
pub(crate) fn finished(mut command: Command, folder: &Path) -> Output {
    let child = command
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary");
    wait("it ends", || child.try_wait().expect("a child").is_some());
    child.wait_with_output().expect("its output")
}

pub(crate) fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends one request and reads until the connection is closed.
pub(crate) fn ask(address: Ipv4Addr, port: u16, request: &str) -> String {
    let mut socket = TcpStream::connect((address, port)).expect("it listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    socket.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    answer
}

/// An upstream that answers whatever it is asked, and closes nothing.
pub(crate) fn upstream(address: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    let bound = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || while answer(&socket).is_ok() {});
        }
    });
    bound
}

fn answer(mut socket: &TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}
