//! Runs `scopegate` as a process, each at a loopback address of its own.

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

/// Maximum time that a test waits for one condition.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A loopback address that no other test uses. All of 127/8 is this machine, so fixed ports are
/// free.
pub(crate) fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    assert!(count < 126, "further addresses belong to the next process");
    let [_, high, middle, low] = (std::process::id() * 128 + 1 + count).to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, middle, low)
}

/// The shipped gateway.toml, with another address.
pub(crate) fn shipped_configuration(address: Ipv4Addr) -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml");
    fs::read_to_string(shipped)
        .expect("the shipped file")
        .replace("127.0.0.1", &address.to_string())
}

/// A running gateway, killed when dropped.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts the gateway with this file, and waits until it listens on port 8080 of `address`.
    pub(crate) fn start(address: Ipv4Addr, toml: &str) -> Self {
        Self::launch(command(), toml).wait_until_listening(address)
    }

    /// The same, with a limit on open descriptors.
    pub(crate) fn start_with_files(address: Ipv4Addr, toml: &str, descriptors: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -n {descriptors}; exec \"$0\""),
            env!("CARGO_BIN_EXE_scopegate"),
        ]);
        Self::launch(shell, toml).wait_until_listening(address)
    }

    /// Runs a command in a new folder that holds this file as gateway.toml.
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

    pub(crate) fn wait_until_listening(self, address: Ipv4Addr) -> Self {
        wait_for("the gateway listens", || {
            TcpStream::connect((address, 8080)).is_ok()
        });
        self
    }

    /// Standard output and standard error so far.
    pub(crate) fn printed(&self) -> (String, String) {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).expect("a file");
        (read("out"), read("err"))
    }

    /// The working folder of the process.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until the process exits.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for("the process exits", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("the process exited")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The folder is deleted with this value, so a test that fails prints the log.
        if thread::panicking() {
            for name in ["out", "err"] {
                let printed = fs::read(self.folder.path().join(name)).unwrap_or_default();
                eprintln!("{name}:\n{}", String::from_utf8_lossy(&printed));
            }
        }
    }
}

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_scopegate"))
}

/// The binary as systemd starts it: a socket as fd 3, and `LISTEN_*` variables that name it.
pub(crate) fn command_with_socket(socket: impl Into<OwnedFd>) -> Command {
    // The shell moves its standard input to fd 3; `exec` keeps the pid that LISTEN_PID names.
    let mut shell = Command::new("sh");
    let script =
        "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\"";
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_scopegate")])
        .stdin(socket.into());
    shell
}

/// Runs the binary until it exits, in a new folder with this gateway.toml, if any.
pub(crate) fn run(toml: Option<&str>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(toml) = toml {
        fs::write(folder.path().join("gateway.toml"), toml).expect("a file");
    }
    let mut command = command();
    command.args(arguments);
    run_in(command, folder.path())
}

/// Runs a command in a folder until it exits.
pub(crate) fn run_in(mut command: Command, folder: &Path) -> Output {
    let child = command
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary");
    // Read meanwhile: a pipe holds 64 KiB, and a command waits while it is full.
    let stdout = read_to_end(child.stdout.take().expect("a pipe"));
    let stderr = read_to_end(child.stderr.take().expect("a pipe"));
    let mut status = None;
    wait_for("the command exits", || {
        status = child.try_wait().expect("a child");
        status.is_some()
    });
    Output {
        status: status.expect("the command exited"),
        stdout: stdout.join().expect("its output"),
        stderr: stderr.join().expect("its output"),
    }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe");
        bytes
    })
}

/// Polls until `condition` holds.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Connects to a port of the gateway.
pub(crate) fn connect(address: Ipv4Addr, port: u16) -> TcpStream {
    let socket = TcpStream::connect((address, port)).expect("the gateway listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket
}

/// Sends one request on a new connection, and reads until the gateway closes it.
pub(crate) fn round_trip(address: Ipv4Addr, port: u16, request: &str) -> String {
    let mut socket = connect(address, port);
    socket
        .write_all(request.as_bytes())
        .expect("the gateway reads");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    response
}

/// An upstream that responds `ok` to every request and keeps its connections open.
pub(crate) fn start_upstream(address: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    let bound = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || while serve_one(&socket).is_ok() {});
        }
    });
    bound
}

fn serve_one(mut socket: &TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}
