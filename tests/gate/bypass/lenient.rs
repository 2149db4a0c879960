//! How lenient servers read a path.
//!
//! They decode twice, split after decoding, resolve dot segments, drop suffixes, streams and
//! parameters, or ignore case, accents and invisible characters. Each of these was seen in a
//! server.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

// More readings take too long; this bound leaves out only suffixes of suffixes.
const MAX_READINGS: usize = 64;

/// All readings of a path.
///
/// `literal` says for each segment whether the served resource declares it literally. Such a name
/// has no suffix to drop.
pub(super) fn readings(path: &str, literal: &[bool]) -> Vec<Vec<String>> {
    let mut readings = Vec::new();
    for read in read(path) {
        let is_aligned = text(path).split('/').count() == path.split('/').count();
        for reading in names(&read, if is_aligned { literal } else { &[] }) {
            if !readings.contains(&reading) {
                readings.push(reading);
            }
        }
    }
    readings
}

/// Whether some server finds a dot segment in the path.
pub(super) fn has_dot_segment(path: &str) -> bool {
    let is_dots =
        |segment: &str| [".", ".."].contains(&segment.split(';').next().unwrap_or_default().trim());
    read(path).iter().any(|read| read.split('/').any(is_dots))
}

fn text(path: &str) -> String {
    folded(&decode(&decode(path))).replace('\\', "/")
}

// The path as truncated by servers that see a query, a fragment or a NUL.
fn read(path: &str) -> Vec<String> {
    let text = text(path);
    let ends: [&[char]; 3] = [&['?', '#', '\0'], &['?'], &['#']];
    let cut = |ends: &[char]| text.split(ends).next().unwrap_or_default().to_owned();
    ends.map(cut).into_iter().chain([text.clone()]).collect()
}

/// A name, normalized as such a server compares it.
pub(super) fn folded(text: &str) -> String {
    let visible = text.nfkd().filter(|character| {
        canonical_combining_class(*character) == 0 && !is_invisible(*character)
    });
    let lower: String = visible
        .collect::<String>()
        .to_lowercase()
        .to_uppercase()
        .to_lowercase();
    lower
        .nfkd()
        .filter(|character| canonical_combining_class(*character) == 0)
        .collect()
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

fn names(path: &str, literal: &[bool]) -> Vec<Vec<String>> {
    let mut readings: Vec<Vec<String>> = vec![Vec::new()];
    for (place, segment) in path.split('/').skip(1).enumerate() {
        let is_literal = literal.get(place).copied().unwrap_or_default();
        let segment = segment.split(';').next().unwrap_or_default();
        match segment.trim() {
            "" | "." => continue,
            ".." => {
                readings.iter_mut().for_each(|reading| drop(reading.pop()));
                continue;
            }
            _ => {}
        }
        let names: Vec<String> = prefixes(segment, is_literal).collect();
        if !names.is_empty() {
            let with = |name: &String| {
                readings
                    .iter()
                    .map(|start| [&start[..], std::slice::from_ref(name)].concat())
                    .collect::<Vec<_>>()
            };
            readings = names.iter().flat_map(with).take(MAX_READINGS).collect();
        }
    }
    readings
}

// The name, and the part before each dot and colon.
fn prefixes(segment: &str, is_literal: bool) -> impl Iterator<Item = String> {
    let places = segment
        .match_indices(['.', ':'])
        .map(|(place, _)| place)
        .filter(move |_| !is_literal);
    let bare = |end: usize| {
        segment[..end]
            .trim_end_matches(|last: char| last == '.' || last.is_whitespace())
            .trim_start()
    };
    let mut names: Vec<&str> = std::iter::once(segment.len())
        .chain(places)
        .map(bare)
        .collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

pub(super) fn decode(text: &str) -> String {
    let (mut octets, bytes) = (Vec::new(), text.as_bytes());
    let mut place = 0;
    while place < bytes.len() {
        let encoded = bytes
            .get(place + 1..place + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match encoded
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|_| bytes[place] == b'%')
        {
            Some(octet) => {
                octets.push(octet);
                place += 3;
            }
            None => {
                octets.push(bytes[place]);
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[test]
fn lenient_readings_include_those_of_known_servers() {
    for (path, expected) in [
        ("/admin", "admin"),
        ("/Admin", "admin"),
        ("/admin.json", "admin"),
        ("/admin%2ejson", "admin"),
        ("/admin::$DATA", "admin"),
        ("/admin%3A%3A$DATA", "admin"),
        ("/admin;v=1", "admin"),
        ("/admin%20", "admin"),
        ("/admin%c2%a0", "admin"),
        ("/admin%e2%80%8b", "admin"),
        ("/%EF%BD%81dmin", "admin"),
        ("/%C3%A1dmin", "admin"),
        ("/admin%EF%BC%8Ejson", "admin"),
        ("/admin%23/x", "admin"),
        ("/admin%3Fx/y", "admin"),
        ("/open/..%23", ""),
        ("/open/../admin", "admin"),
        ("/open/..%3Fx/admin", ""),
        ("/open/..;/admin", "admin"),
        ("/open%EF%BC%8F..%EF%BC%8Fadmin", "admin"),
        ("/open/%EF%BC%8E%EF%BC%8E/admin", "admin"),
        ("/open/%E2%80%A5/admin", "admin"),
        ("/open/%252e%252e/admin", "admin"),
        ("/open%5c..%5cadmin", "admin"),
        ("//admin//", "admin"),
        ("/.../%20/admin", "admin"),
    ] {
        let readings: Vec<String> = readings(path, &[])
            .iter()
            .map(|names| names.join("/"))
            .collect();
        assert!(
            readings.iter().any(|reading| reading == expected),
            "{path}: {readings:?}"
        );
    }
    for path in [
        "/open/..%23",
        "/..;/x",
        "/open/%EF%BC%8E",
        "/x%EF%BC%8F..",
        "/a/..%3F/b",
        "/a/%2e%2e",
        "/a/..%C2%A0/b",
    ] {
        assert!(has_dot_segment(path), "{path}");
    }
    assert!(
        !["/a", "/...", "/.a", "/a..", "/a..%23", "/%23.."]
            .iter()
            .any(|path| has_dot_segment(path))
    );
    assert_eq!(
        readings("/app.js/x.y", &[true, false]),
        [["app.js", "x.y"], ["app.js", "x"]]
    );
}
