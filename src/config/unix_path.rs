//! Paths of Unix sockets: `unix:/run/scopegate.sock`.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

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

/// Proposes `unix:` for a refused value that is the path of a socket as nginx (`http://unix:/a.sock`),
/// Docker (`unix:///a.sock`) or others (`http+unix:///a.sock`) write it, or the bare path.
pub(super) fn with_unix_hint(mismatch: Mismatch, value: &DeValue<'_>, folder: &Path) -> Mismatch {
    let hint = value.as_str().and_then(|text| hint(text, folder));
    Mismatch {
        help: hint.or(mismatch.help),
        ..mismatch
    }
}

fn hint(text: &str, folder: &Path) -> Option<String> {
    const SPELLINGS: [&str; 3] = ["http://unix:", "https://unix:", "http+unix://"];
    // What may be a credential is not repeated, and a placeholder has a hint of its own.
    if text.contains(['@', '$', '{', '<', '%']) {
        return None;
    }
    let spelling = SPELLINGS.iter().find(|one| text.starts_with(**one));
    let path = &text[spelling.map_or(0, |one| one.len())..];
    // nginx writes a colon between the path of the socket and that of the request.
    let path = path.split_once(':').map_or(path, |(socket, _)| socket);
    let is_valid = path.starts_with('/') && read_unix_path(path, folder).is_ok();
    is_valid.then(|| format!("did you mean \"{SCHEME}{path}\"?"))
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
    let path = folder.join(text.trim_start_matches("./"));
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        let found = format!("{length} bytes in {:?}", path.display());
        return Err(expected("a path of at most 107 bytes after unix:").but_found(found));
    }
    Ok(path)
}
