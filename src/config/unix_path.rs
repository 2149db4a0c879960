//! Paths of Unix sockets: `unix:/run/scopegate.sock`.

use std::path::{Path, PathBuf};

use super::mismatch::{Mismatch, expected};

/// Maximum bytes of a path that the kernel takes: `sun_path` without its NUL (unix(7)).
const MAX_PATH: usize = 107;
const SCHEME: &str = "unix:";

/// The JSON Schema pattern of what [`read_unix_path`] accepts, but for the length.
pub(super) const UNIX_PATH: &str = r"^unix:/?[^/@\u0000][^\u0000]*$";

/// What follows `unix:`, if a text begins with it.
pub(super) fn unix_text(text: &str) -> Option<&str> {
    text.strip_prefix(SCHEME)
}

/// The path of a Unix socket after `unix:`; a relative one starts in `folder`.
pub(super) fn read_unix_path(text: &str, folder: &Path) -> Result<PathBuf, Mismatch> {
    let name = text.strip_prefix('/').unwrap_or(text);
    let mismatch = || expected("unix: and the path of a socket");
    if let Some(path) = name.strip_prefix('/') {
        let path = path.trim_start_matches('/');
        return Err(mismatch().with_help(format!("did you mean \"unix:/{path}\"?")));
    }
    if name.starts_with('@') {
        return Err(mismatch().with_help("sockets without a file are not supported"));
    }
    if name.is_empty() || name.contains('\0') {
        return Err(mismatch());
    }
    let path = folder.join(text);
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        let found = format!("{length} bytes in {:?}", path.display());
        return Err(expected("a path of at most 107 bytes after unix:").but_found(found));
    }
    Ok(path)
}
