//! Generates requests that an attacker might try.

mod pieces;

use pieces::{DOTS, ENDS, FRAMINGS, HOSTS, LINES, METHODS, ODD_METHODS, PATHS, PIECES, SUFFIXES};

/// A reproducible random number generator (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    /// The generator of one case.
    pub(super) fn new(seed: usize, case: usize) -> Self {
        Self(
            (seed as u64).wrapping_mul(0xD134_2543_DE82_EF95)
                ^ (case as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    /// Returns true once in `times` calls on average.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'c, T: ?Sized>(&mut self, choices: &[&'c T]) -> &'c T {
        choices[self.below(choices.len())]
    }
}

/// A request as sent, and how a strict server reads it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) bytes: Vec<u8>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Case {
    pub(super) fn generate(index: usize, random: &mut Random, tokens: &[String]) -> Self {
        let mut target = random.pick(&PATHS).to_owned();
        for _ in 0..[0, 0, 0, 1, 1, 1, 2, 3][random.below(8)] {
            target = mutated(&target, random);
        }
        let method = if random.once_in(20) {
            random.pick(&ODD_METHODS)
        } else {
            random.pick(&METHODS)
        };
        let host = random.pick(&HOSTS);
        let mut head = format!("{method} {} HTTP/1.1\r\n", in_form(&target, host, random));
        head.push_str(&host_lines(host, random));
        if !random.once_in(6) {
            // The last token grants everything, so that enough requests are forwarded.
            let token = if random.once_in(3) {
                tokens.len() - 1
            } else {
                random.below(tokens.len())
            };
            head.push_str(&format!("Authorization: Bearer {}\r\n", tokens[token]));
        }
        for _ in 0..[0, 0, 0, 0, 0, 1, 1, 2][random.below(8)] {
            head.push_str(&format!("{}\r\n", random.pick(&LINES)));
        }
        let body = if random.once_in(5) {
            smuggled(index)
        } else {
            Vec::new()
        };
        let mut bytes = Vec::new();
        if body.is_empty() {
            bytes.extend_from_slice(
                format!("{head}X-Case: {index}\r\nConnection: close\r\n\r\n").as_bytes(),
            );
        } else {
            let (lines, form) = FRAMINGS[random.below(FRAMINGS.len())];
            let lines = lines.replace("LEN", &body.len().to_string());
            head.push_str(&format!(
                "X-Case: {index}\r\nConnection: close\r\n{lines}\r\n\r\n"
            ));
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend(framed(&body, form));
        }
        Self::from_target(bytes, method, &target, body)
    }

    /// A plain GET.
    pub(super) fn plain(index: usize, path: &str) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Case: {index}\r\n\r\n");
        Self::from_target(head.into_bytes(), "GET", path, Vec::new())
    }

    fn from_target(bytes: Vec<u8>, method: &str, target: &str, body: Vec<u8>) -> Self {
        // A fragment is not part of the target (RFC 9110 §4.2.5).
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        // An absolute-form target without a path means the root (RFC 9110 §4.2.3).
        let path = if path.is_empty() { "/" } else { path };
        Self {
            bytes,
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            body,
        }
    }
}

fn mutated(path: &str, random: &mut Random) -> String {
    // A mutated path may hold multi-byte characters.
    let places: Vec<usize> = path
        .char_indices()
        .map(|(place, _)| place)
        .chain([path.len()])
        .collect();
    let place = places[random.below(places.len())];
    let (before, after) = path.split_at(place);
    let piece = random.pick(&PIECES);
    match random.below(14) {
        0 | 1 => format!("{before}{piece}{after}"),
        2 => format!("{path}{piece}"),
        3 => format!("/open/{piece}{path}"),
        4 => format!("/open/x/..{path}"),
        // One character in another encoding or case.
        5 | 6 => {
            let Some(character) = after.chars().next().filter(char::is_ascii) else {
                return path.to_owned();
            };
            let rest = &after[1..];
            match random.below(5) {
                0 => format!("{before}%{:02x}{rest}", u32::from(character)),
                1 => format!("{before}%{:02X}{rest}", u32::from(character)),
                2 => format!("{before}%25{:02x}{rest}", u32::from(character)),
                3 => format!("{before}{}{rest}", character.to_ascii_uppercase()),
                _ => format!("{before}{}{rest}", character.to_ascii_lowercase()),
            }
        }
        7 => {
            let flipped = |character: char| {
                if character.is_ascii_lowercase() {
                    character.to_ascii_uppercase()
                } else {
                    character.to_ascii_lowercase()
                }
            };
            path.chars().map(flipped).collect()
        }
        8 => format!(
            "{path}{}",
            random.pick(&["/", ".", "..", "%20", "%2e", "/.", "/..", ";", "?", "#"])
        ),
        9 => with_dot_segment(path, random),
        10 | 11 => with_suffix(path, random),
        _ => with_compatible_character(before, after, random),
    }
}

// A dot segment in some encoding, followed by a delimiter.
fn with_dot_segment(path: &str, random: &mut Random) -> String {
    let (dots, end) = (random.pick(&DOTS), random.pick(&ENDS));
    let more = random.pick(&["", "", "x", "/x"]);
    match random.below(3) {
        0 => format!("/open/{dots}{end}{more}"),
        1 => format!("/open/{dots}{end}{path}"),
        _ => format!("{path}/{dots}{end}{more}"),
    }
}

// A suffix of a segment, most often of the last one.
fn with_suffix(path: &str, random: &mut Random) -> String {
    let ends: Vec<usize> = path
        .match_indices('/')
        .map(|(slash, _)| slash)
        .skip(1)
        .chain([path.len()])
        .collect();
    let end = if random.once_in(3) {
        ends[random.below(ends.len())]
    } else {
        path.len()
    };
    format!("{}{}{}", &path[..end], random.pick(&SUFFIXES), &path[end..])
}

// Replaces a character by a compatible one, or adds an accent.
fn with_compatible_character(before: &str, after: &str, random: &mut Random) -> String {
    let Some(character) = after.chars().next().filter(char::is_ascii_graphic) else {
        return format!("{before}{after}");
    };
    let full_width = char::from_u32(u32::from(character) + 0xFEE0).unwrap_or(character);
    let other = match random.below(4) {
        0 | 1 => full_width.to_string(),
        2 => format!("{character}\u{301}"),
        _ => format!("{}\u{200b}", character.to_ascii_uppercase()),
    };
    format!("{before}{}{}", encoded(&other), &after[1..])
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

fn in_form(target: &str, host: &str, random: &mut Random) -> String {
    match random.below(80) {
        0 => format!("http://{host}{target}"),
        1 => format!("http://a{target}"),
        2 => format!("//{host}{target}"),
        3 => target.trim_start_matches('/').to_owned(),
        _ => target.to_owned(),
    }
}

fn host_lines(host: &str, random: &mut Random) -> String {
    match random.below(66) {
        0 => String::new(),
        1 => format!("Host: {host}\r\nHost: a\r\n"),
        2 => format!("Host: a@{host}\r\n"),
        3 => format!("Host: {host}/admin\r\n"),
        4 => format!("Host : {host}\r\n"),
        5 => format!("Host: {host}.\r\n"),
        6 => format!("Host: {host}:80\r\n"),
        7 => format!("Host: {}\r\n", host.to_uppercase()),
        8 => format!("Host: {host}, a\r\n"),
        9 => format!("Host: {host}%00\r\n"),
        10 => format!("Host:\t{host} \r\n"),
        _ => format!("Host: {host}\r\n"),
    }
}

// A request within a body: a server that frames the body differently reads it as a request.
fn smuggled(index: usize) -> Vec<u8> {
    format!("0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\nX-Smuggled-By: {index}\r\n\r\n")
        .into_bytes()
}

fn framed(body: &[u8], form: &str) -> Vec<u8> {
    let extension = if form.ends_with("EXTENSIONS") {
        ";x=\"y\""
    } else {
        ""
    };
    if form == "BODY" {
        return body.to_vec();
    }
    let (first, second) = body.split_at(body.len() / 2);
    let mut chunks = Vec::new();
    for chunk in [first, second] {
        chunks.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}
