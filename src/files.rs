//! The files that an operator names: configuration, keys, certificates, secrets.
//!
//! 1. Only regular files are read. `/dev/zero` has no end, a named pipe has no beginning until somebody writes to it, and
//!    neither can be read again to detect a change. A file that is read only once may be a pipe. Symbolic links are
//!    followed: Kubernetes mounts ConfigMaps and Secrets through two of them.
//! 2. No file is read beyond a limit, whatever its size is said to be.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

const MEBIBYTE: u64 = 1024 * 1024;

/// The size of a configuration file at the most. 100,000 routes take about half of it.
pub const MAX_CONFIGURATION: u64 = 16 * MEBIBYTE;

/// The size of every other file at the most: keys, certificates, secrets. A system's bundle of roots takes a quarter of one
/// MiB.
pub const MAX_NAMED: u64 = 4 * MEBIBYTE;

/// Why a file cannot be used. It reads as what was found: "expected a key in a.pem, but found …".
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none, or it may not be read.
    #[error("none: {error}{}", literal.map(|text| format!("; {text:?} stands for itself there")).unwrap_or_default())]
    Unreadable {
        /// What the system says.
        #[source]
        error: io::Error,
        /// What a shell, which does not read it, would have put something else in the place of.
        literal: Option<&'static str>,
    },
    /// It is something else than a regular file.
    #[error("{0}, which is no regular file")]
    NotRegular(&'static str),
    /// It is longer than is read of any.
    #[error("more than {} MiB", .0 / MEBIBYTE)]
    TooLarge(u64),
}

/// Reads the regular file at `path`, which may be a link to one.
///
/// # Errors
/// [`FileError`] where there is none, or more in it than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::Unreadable {
        error,
        literal: literal_in(path),
    };
    // Before it is opened: opening a named pipe waits for a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular(kind(metadata.file_type())));
    }
    read_up_to(path, metadata.len(), limit)
}

/// As [`read`], for what is read only once: that may be a pipe that a shell has opened for this process as well, as in
/// `--jwks <(curl …)`.
///
/// # Errors
/// As [`read`].
pub fn read_once(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let is_own = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"]
        .iter()
        .any(|own| path.to_string_lossy().starts_with(own));
    let is_pipe = |metadata: fs::Metadata| metadata.file_type().is_fifo();
    if is_own && fs::metadata(path).is_ok_and(is_pipe) {
        read_up_to(path, 0, limit)
    } else {
        read(path, limit)
    }
}

fn read_up_to(path: &Path, length: u64, limit: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::Unreadable {
        error,
        literal: literal_in(path),
    };
    // At once, and with room to see the end: what a secret leaves behind when a buffer grows, nobody wipes.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or_default() + 1);
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        Err(FileError::TooLarge(limit))
    } else {
        Ok(bytes)
    }
}

fn kind(of: FileType) -> &'static str {
    if of.is_dir() {
        "a folder"
    } else if of.is_fifo() {
        "a pipe"
    } else if of.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn literal_in(path: &Path) -> Option<&'static str> {
    let is_there = |literal: &&str| match *literal {
        "~" => path.iter().any(|part| part == "~"),
        other => path.to_string_lossy().contains(other),
    };
    ["~", "${", "$("].into_iter().find(is_there)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn found(path: &Path) -> String {
        match read(path, 4) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn regular_file_is_read_up_to_the_limit_and_nothing_else_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [("empty", ""), ("whole", "1234"), ("long", "12345")] {
            fs::write(path(name), text).expect("a file");
        }
        symlink("whole", path("link")).expect("a link");
        symlink("link", path("link to link")).expect("a link");
        symlink("/dev/zero", path("link to a device")).expect("a link");
        // Opened, it would be waited for without end.
        let made = Command::new("mkfifo")
            .arg(path("pipe"))
            .status()
            .expect("mkfifo is a part of every system");
        assert!(made.success());
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        for (name, expected) in [
            ("empty", "0 bytes"),
            ("whole", "4 bytes"),
            ("long", "more than 0 MiB"),
            ("link to link", "4 bytes"),
            ("link to a device", "a device, which is no regular file"),
            ("pipe", "a pipe, which is no regular file"),
            ("socket", "a socket, which is no regular file"),
            ("", "a folder, which is no regular file"),
            ("none", "none: No such file or directory (os error 2)"),
            (
                "~/key",
                "none: No such file or directory (os error 2); \"~\" stands for itself there",
            ),
            (
                "${HOME}/key",
                "none: No such file or directory (os error 2); \"${\" stands for itself there",
            ),
        ] {
            assert_eq!(found(&path(name)), expected, "{name}");
        }
        assert_eq!(
            found(Path::new("/dev/zero")),
            "a device, which is no regular file"
        );
        assert_eq!(
            FileError::TooLarge(MAX_CONFIGURATION).to_string(),
            "more than 16 MiB"
        );
    }

    #[test]
    fn pipe_that_this_process_was_given_is_read_once() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"1234").expect("it is read later");
        drop(writer);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(found(Path::new(&path)), "a pipe, which is no regular file");
        assert_eq!(read_once(Path::new(&path), 4).expect("a pipe"), b"1234");
        assert!(read_once(Path::new("/dev/zero"), 4).is_err());
    }

    #[test]
    fn file_that_says_it_is_empty_is_read_all_the_same() {
        // The kernel's files are made as they are read.
        assert!(
            read(Path::new("/proc/self/status"), MAX_NAMED)
                .expect("a file")
                .len()
                > 100
        );
    }
}
