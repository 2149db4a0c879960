//! The file that keeps revocations over a restart.
//!
//! 1. Lines are only appended, and synchronised with the disk before a revocation is confirmed.
//! 2. A last line without its line feed was cut off by a crash, is logged and removed. Any other
//!    damage is an error: what the file no longer says would pass again.
//! 3. One process at a time has the file: it holds a lock.
//! 4. A file with many expired lines is rewritten beside it, and replaces it.
//! 5. A file that somebody removed, replaced or cut is noticed before the next line is written: what
//!    is written to a file without a name is lost, and after a hole it is damage.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::entries::Entry;
use super::file_format::{self, Contents, DamagedLine, HEADER};

/// Readable for its owner alone.
const MODE: u32 = 0o600;
/// 16 million lines.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// It cannot be opened, read or written.
    #[error(
        "expected a file that can be read and written at {path}, but found: {error} (see [revocations] file)"
    )]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// The error of the system.
        #[source]
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "expected {path} for this process alone, but found it locked by another one \
         (stop that process, or give each its own file)"
    )]
    Locked {
        /// Where it is.
        path: PathBuf,
    },
    /// A line is none that was written, and not the last one.
    #[error(
        "{path}:{line}: expected a revocation, but found something else (the file is damaged: restore it from a \
         backup; or delete this line, and revoke again what it revoked)"
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// The number of the line.
        line: usize,
    },
    /// It has more than a GiB.
    #[error("expected at most 1 GiB in {path}, but found {size} bytes")]
    TooLarge {
        /// Where it is.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

/// The open and locked file.
pub(super) struct RevocationFile {
    path: PathBuf,
    file: File,
    /// The bytes of complete lines; whatever follows is from a failed write.
    length: u64,
    /// The number of lines, expired ones included.
    lines: usize,
}

impl RevocationFile {
    /// Opens or creates the file, and reads it.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Entry>), FileFault> {
        let unusable = |error| FileFault::Unusable {
            path: path.to_owned(),
            error,
        };
        let mut file = lock_current(path)?;
        let metadata = file.metadata().map_err(unusable)?;
        if metadata.mode() & 0o777 != MODE {
            let mode = fs::Permissions::from_mode(MODE);
            file.set_permissions(mode).map_err(unusable)?;
        }
        let (contents, length) = read_from(&mut file, path)?;
        let Contents { entries, complete } = contents;
        let cut_off = length - complete;
        if cut_off > 0 {
            tracing::warn!(
                file = %path.display(),
                bytes = cut_off,
                "last line of the revocation file was cut off and is removed"
            );
        }
        let mut this = Self {
            path: path.to_owned(),
            file,
            length: complete as u64,
            lines: entries.len(),
        };
        this.begin().map_err(unusable)?;
        Ok((this, entries))
    }

    // Removes what was cut off, and writes the header of a new file.
    fn begin(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        if self.length == 0 {
            self.file.write_all(HEADER.as_bytes())?;
            self.length = HEADER.len() as u64;
        }
        self.file.sync_all()?;
        sync_folder(&self.path)
    }

    /// Appends entries, and returns once they are on the disk.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut text = String::new();
        for entry in entries {
            file_format::write_line(&mut text, entry);
        }
        // A restart reads no larger one.
        if self.length + text.len() as u64 > MAX_FILE {
            return Err(io::Error::other("it would have more than 1 GiB"));
        }
        // An earlier write may have failed half-way.
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.length += text.len() as u64;
        self.lines += entries.len();
        Ok(())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it still has its name.
    pub(super) fn is_current(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(named) => Ok(is_same(&self.file.metadata()?, &named)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it has at least the bytes that were written.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() >= self.length)
    }

    /// The number of lines, expired ones included.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Replaces the file by one with these entries only.
    pub(super) fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let beside = PathBuf::from(name);
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(MODE);
        let mut file = options.open(&beside)?;
        // Before it has the name, so that no other process gets it.
        file.try_lock().map_err(io::Error::from)?;
        let mut text = HEADER.to_owned();
        for entry in entries {
            file_format::write_line(&mut text, entry);
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // From here on the new file is the one that a restart reads.
        self.file = file;
        self.length = text.len() as u64;
        self.lines = entries.len();
        sync_folder(&self.path)
    }
}

/// Reads the file of another process, without its last line if that is being written.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, FileFault> {
    let unusable = |error| FileFault::Unusable {
        path: path.to_owned(),
        error,
    };
    if !fs::metadata(path).map_err(unusable)?.is_file() {
        return Err(unusable(io::Error::other("not a regular file")));
    }
    let mut file = File::open(path).map_err(unusable)?;
    Ok(read_from(&mut file, path)?.0.entries)
}

// What a file contains, and its length in bytes.
fn read_from(file: &mut File, path: &Path) -> Result<(Contents, usize), FileFault> {
    let unusable = |error| FileFault::Unusable {
        path: path.to_owned(),
        error,
    };
    let size = file.metadata().map_err(unusable)?.len();
    if size > MAX_FILE {
        return Err(FileFault::TooLarge {
            path: path.to_owned(),
            size,
        });
    }
    let mut bytes = Vec::new();
    let mut limited = Read::by_ref(file).take(MAX_FILE);
    limited.read_to_end(&mut bytes).map_err(unusable)?;
    let contents = file_format::read(&bytes).map_err(|DamagedLine(line)| FileFault::Damaged {
        path: path.to_owned(),
        line,
    })?;
    Ok((contents, bytes.len()))
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

// Another process may replace the file between opening and locking it. Then the lock is on a file
// without a name.
fn lock_current(path: &Path) -> Result<File, FileFault> {
    let unusable = |error| FileFault::Unusable {
        path: path.to_owned(),
        error,
    };
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unusable(io::Error::other("not a regular file")));
    }
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE);
    let locked = || FileFault::Locked {
        path: path.to_owned(),
    };
    let file = options.open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(locked()),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let (opened, named) = (file.metadata(), fs::metadata(path));
    let (opened, named) = (opened.map_err(unusable)?, named.map_err(unusable)?);
    if is_same(&opened, &named) {
        Ok(file)
    } else {
        Err(locked())
    }
}

// The name of a new file is on the disk only once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
