//! The file of a Unix socket that this process listens on.
//!
//! 1. The socket is bound to a temporary name in the same folder, gets its mode, and is renamed. So
//!    nobody finds a socket with other permissions, and nobody finds no socket while one replaces
//!    another.
//! 2. A socket file that nobody listens on is left over, and is replaced. One that somebody listens
//!    on is replaced only with `share_port`: both processes then run, and new connections reach the
//!    new one.
//! 3. Nothing but a socket is ever replaced or removed.
//! 4. The file is removed when this process stops, if it is still the one that this process made.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;

use socket2::{SockAddr, Socket};

use crate::transport::unix_socket;

/// Owner and group may connect: to connect takes the permission to write.
const MODE: u32 = 0o660;

/// A socket file that this process made. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens on a Unix socket at `path`.
///
/// # Errors
/// If something else has that path, another process listens there and `may_replace` is false, or the
/// folder cannot be written to.
pub(super) fn listen_at(
    path: &Path,
    backlog: i32,
    may_replace: bool,
) -> io::Result<(UnixListener, SocketFile)> {
    refuse_occupied(path, may_replace)?;
    // Short: it must fit into an address as well.
    let temporary = path.with_file_name(format!(".{}", process::id()));
    remove_left_over(&temporary)?;
    let socket = unix_socket()?;
    socket.bind(&SockAddr::unix(&temporary)?)?;
    match publish(&socket, &temporary, path, backlog) {
        Ok(file) => Ok((socket.into(), file)),
        Err(error) => {
            // The first error is the one that matters.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn publish(socket: &Socket, temporary: &Path, path: &Path, backlog: i32) -> io::Result<SocketFile> {
    fs::set_permissions(temporary, Permissions::from_mode(MODE))?;
    let made = fs::symlink_metadata(temporary)?;
    // Before the rename: a client that finds the file can connect.
    socket.listen(backlog)?;
    fs::rename(temporary, path)?;
    Ok(SocketFile {
        path: path.to_owned(),
        device: made.dev(),
        inode: made.ino(),
    })
}

fn refuse_occupied(path: &Path, may_replace: bool) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something else than a socket at this path; remove it, or choose another path",
        ));
    }
    // It does not block: the queue of the other process may be full.
    match unix_socket()?.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
        // Such as missing permission: it does not show that nobody listens.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(
                error.kind(),
                format!(
                    "cannot find out whether another process listens on this socket ({error}); remove it if none does"
                ),
            ));
        }
        Ok(()) | Err(_) => {}
    }
    if may_replace {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "another process listens on this socket; stop it, choose another path, or set share_port",
    ))
}

// Of a process with the same id that was killed while it started.
fn remove_left_over(temporary: &Path) -> io::Result<()> {
    match fs::symlink_metadata(temporary) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(temporary),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if is_ours {
            // A file that cannot be removed is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, PathBuf) {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("gateway.sock");
        (folder, path)
    }

    #[test]
    fn socket_has_its_mode_and_is_removed_with_its_guard() {
        let (folder, path) = folder();
        let (_listener, file) = listen_at(&path, 8, false).expect("an empty folder");
        let mode = fs::symlink_metadata(&path).expect("a file").mode();
        assert_eq!(mode & 0o7777, MODE);
        UnixStream::connect(&path).expect("it listens");
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn left_over_socket_is_replaced() {
        let (_folder, path) = folder();
        drop(UnixListener::bind(&path).expect("an empty folder"));
        let (_listener, _file) = listen_at(&path, 8, false).expect("nobody listens");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn socket_in_use_is_an_error_unless_it_may_be_shared() {
        let (_folder, path) = folder();
        let (first, first_file) = listen_at(&path, 8, false).expect("an empty folder");
        let error = listen_at(&path, 8, false).expect_err("it is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("the first still listens");
        first.accept().expect("the probe");
        first.accept().expect("the client");

        let (second, _file) = listen_at(&path, 8, true).expect("it may be shared");
        first.accept().expect("the second probe");
        drop(first_file);
        UnixStream::connect(&path).expect("the file of the second stays");
        second.accept().expect("the client");
    }

    #[test]
    fn nothing_but_a_socket_is_replaced() {
        let (folder, path) = folder();
        let refused = || {
            let error = listen_at(&path, 8, true).expect_err("it is no socket");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        };
        fs::write(&path, "text").expect("an empty folder");
        refused();
        assert_eq!(fs::read(&path).expect("the file"), b"text");
        fs::remove_file(&path).expect("a file");
        fs::create_dir(&path).expect("an empty folder");
        refused();
        fs::remove_dir(&path).expect("a folder");
        let other = folder.path().join("other");
        drop(UnixListener::bind(&other).expect("a new socket"));
        symlink(&other, &path).expect("an empty folder");
        refused();
    }

    #[test]
    fn file_that_replaced_ours_is_not_removed() {
        let (_folder, path) = folder();
        let (_listener, file) = listen_at(&path, 8, false).expect("an empty folder");
        fs::remove_file(&path).expect("the socket");
        fs::write(&path, "text").expect("an empty folder");
        drop(file);
        assert_eq!(fs::read(&path).expect("the file"), b"text");
    }
}
