//! Reads the files that an operator names: configuration, keys, certificates, secrets.
//!
//! 1. Only regular files are read. `/dev/zero` has no end, opening a named pipe waits for a writer,
//!    and neither can be read again to detect a change. A file that is read only once may be a
//!    pipe. Symbolic links are followed: Kubernetes mounts ConfigMaps and Secrets through two.
//! 2. At most a limit is read, whatever size the metadata states.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

const MEBIBYTE: u64 = 1024 * 1024;

/// Maximum size of a configuration file. 100,000 routes take about half of it.
pub const MAX_CONFIGURATION: u64 = 16 * MEBIBYTE;

/// Maximum size of every other file: keys, certificates, secrets. A system's bundle of root
/// certificates takes a quarter of one MiB.
pub const MAX_NAMED: u64 = 4 * MEBIBYTE;

/// Why a file cannot be used. The text completes a message: "expected a key in a.pem, but found …".
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file does not exist, or cannot be read.
    #[error("none: {error}{}", literal.map(|text| format!("; {text:?} is not expanded")).unwrap_or_default())]
    Unreadable {
        /// The error of the system.
        #[source]
        error: io::Error,
        /// A part of the path that a shell would expand.
        literal: Option<&'static str>,
    },
    /// The path names a directory, a pipe, a socket or a device.
    #[error("{0}, which is not a regular file")]
    NotRegular(&'static str),
    /// The file is larger than this limit in bytes.
    #[error("more than {} MiB", .0 / MEBIBYTE)]
    TooLarge(u64),
}

/// Reads the regular file at `path`, following links.
///
/// # Errors
/// [`FileError`] if there is none, or it has more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| FileError::Unreadable {
        error,
        literal: literal_in(path),
    };
    // Checked before opening, because opening a named pipe waits for a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular(kind(metadata.file_type())));
    }
    read_up_to(path, metadata.len(), limit)
}

/// As [`read`], for a file that is read only once.
///
/// It may also be a pipe that a shell opened for this process, as in `--jwks <(curl …)`.
///
/// # Errors
/// As [`read`].
pub fn read_once(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let is_inherited = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"]
        .iter()
        .any(|prefix| path.to_string_lossy().starts_with(prefix));
    let is_pipe = |metadata: fs::Metadata| metadata.file_type().is_fifo();
    if is_inherited && fs::metadata(path).is_ok_and(is_pipe) {
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
    // Allocated once, with one byte more to detect the end. A growing buffer would leave copies of
    // a secret in memory that nothing erases.
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

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn literal_in(path: &Path) -> Option<&'static str> {
    let is_in_path = |literal: &&str| match *literal {
        "~" => path.iter().any(|part| part == "~"),
        other => path.to_string_lossy().contains(other),
    };
    ["~", "${", "$("].into_iter().find(is_in_path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn outcome(path: &Path) -> String {
        match read(path, 4) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_regular_files_are_read_up_to_the_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [("empty", ""), ("whole", "1234"), ("long", "12345")] {
            fs::write(path(name), text).expect("a file");
        }
        symlink("whole", path("link")).expect("a link");
        symlink("link", path("link to link")).expect("a link");
        symlink("/dev/zero", path("link to a device")).expect("a link");
        // Opening it would block for ever.
        let status = Command::new("mkfifo")
            .arg(path("pipe"))
            .status()
            .expect("mkfifo is installed");
        assert!(status.success());
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        for (name, expected) in [
            ("empty", "0 bytes"),
            ("whole", "4 bytes"),
            ("long", "more than 0 MiB"),
            ("link to link", "4 bytes"),
            ("link to a device", "a device, which is not a regular file"),
            ("pipe", "a pipe, which is not a regular file"),
            ("socket", "a socket, which is not a regular file"),
            ("", "a directory, which is not a regular file"),
            ("none", "none: No such file or directory (os error 2)"),
            (
                "~/key",
                "none: No such file or directory (os error 2); \"~\" is not expanded",
            ),
            (
                "${HOME}/key",
                "none: No such file or directory (os error 2); \"${\" is not expanded",
            ),
        ] {
            assert_eq!(outcome(&path(name)), expected, "{name}");
        }
        assert_eq!(
            outcome(Path::new("/dev/zero")),
            "a device, which is not a regular file"
        );
        assert_eq!(
            FileError::TooLarge(MAX_CONFIGURATION).to_string(),
            "more than 16 MiB"
        );
    }

    #[test]
    fn inherited_pipe_is_read_once() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        writer.write_all(b"1234").expect("it is read later");
        drop(writer);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(
            outcome(Path::new(&path)),
            "a pipe, which is not a regular file"
        );
        assert_eq!(read_once(Path::new(&path), 4).expect("a pipe"), b"1234");
        assert!(read_once(Path::new("/dev/zero"), 4).is_err());
    }

    #[test]
    fn file_of_stated_size_zero_is_read() {
        // The kernel generates files in /proc when they are read.
        assert!(
            read(Path::new("/proc/self/status"), MAX_NAMED)
                .expect("a file")
                .len()
                > 100
        );
    }
}
