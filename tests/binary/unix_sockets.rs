//! The binary on a Unix socket: its file from start to stop, several workers, and systemd's socket.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tempfile::TempDir;

use crate::process::{Process, TIMEOUT, command, command_with_socket, run_in, wait_for};

const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn file(path: &Path, share_port: bool) -> String {
    format!(
        "[server]\nworkers = 3\nshare_port = {share_port}\n\
         [[listeners]]\naddress = \"unix:{}\"\n\
         [upstreams.up]\ntargets = \"http://127.0.0.1:9\"\n\
         [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n",
        path.display()
    )
}

/// Whether a gateway responds on the socket.
fn responds(path: &Path) -> bool {
    let Ok(mut socket) = UnixStream::connect(path) else {
        return false;
    };
    socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    socket.write_all(NOWHERE.as_bytes()).expect("it reads");
    let mut response = String::new();
    socket.read_to_string(&mut response).expect("a response");
    response.starts_with("HTTP/1.1 404 ")
}

fn start(path: &Path, share_port: bool) -> Process {
    let process = Process::launch(command(), &file(path, share_port));
    wait_for("the gateway listens", || {
        process.printed().1.contains("\"listening\"")
    });
    assert!(responds(path));
    process
}

/// The last line that a gateway prints that cannot listen there.
fn refusal(path: &Path) -> String {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), file(path, false)).expect("a file");
    let output = run_in(command(), folder.path());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last();
    last.expect("why it does not start").to_owned()
}

#[test]
fn all_workers_serve_the_socket_and_a_stop_removes_it() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let mut process = start(&path, false);
    for _ in 0..30 {
        assert!(responds(&path));
    }
    let line = format!("\"listening\",\"address\":\"unix:{}\"", path.display());
    assert!(process.printed().1.contains(&line));
    process.signal("TERM");
    assert!(process.wait_for_exit().success());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn killed_gateway_leaves_a_socket_that_the_next_one_replaces() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let mut killed = start(&path, false);
    killed.signal("KILL");
    killed.wait_for_exit();
    assert!(path.exists());
    drop(start(&path, false));
}

#[test]
fn socket_in_use_and_other_files_are_errors_that_say_so() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let process = start(&path, false);
    let message = |found: &str| {
        format!(
            "scopegate: listeners[0].address: cannot listen on unix:{}: {found}",
            path.display()
        )
    };
    assert_eq!(
        refusal(&path),
        message(
            "another process listens on this socket; stop it, choose another path, or set share_port"
        )
    );
    assert!(responds(&path));
    drop(process);
    fs::remove_file(&path).expect("the socket of the killed process");
    fs::write(&path, "text").expect("a writable folder");
    assert_eq!(
        refusal(&path),
        message(
            "there is something else than a socket at this path; remove it, or choose another path"
        )
    );
    assert_eq!(fs::read(&path).expect("the file"), b"text");
}

#[test]
fn next_gateway_takes_the_socket_over_with_share_port() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let mut first = start(&path, true);
    let _second = start(&path, true);
    first.signal("TERM");
    assert!(first.wait_for_exit().success());
    assert!(responds(&path), "the first has not removed it");
}

#[test]
fn inherited_unix_socket_is_served_and_its_file_stays() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let socket = UnixListener::bind(&path).expect("a new socket");
    let mut process = Process::launch(command_with_socket(socket), &file(&path, false));
    wait_for("the gateway listens", || {
        process.printed().1.contains("\"listening\"")
    });
    assert!(responds(&path));
    process.signal("TERM");
    assert!(process.wait_for_exit().success());
    assert!(path.exists());
}
