//! Hostile responses, in classes. Each is sent whole, and cut in two at every byte.

use http::Method;

/// One response as an upstream sends it, and the method of the request that it answers.
pub(crate) struct Hostile {
    pub(crate) class: &'static str,
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) bytes: Vec<u8>,
}

impl Hostile {
    /// Its class and its name.
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.class, self.name)
    }
}

/// A class of responses: its name, and for each response a name and its bytes.
type Class = (&'static str, &'static [(&'static str, &'static [u8])]);

/// The classes whose responses are written down from the first chunk on, and the head of them all.
const OF_CHUNKS: [&str; 3] = ["chunk sizes", "chunk data", "trailers"];
const CHUNKED_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Every response, those of the classes and those that are too long to be written down.
pub(crate) fn all() -> Vec<Hostile> {
    let mut all = Vec::new();
    for (class, responses) in CLASSES {
        for (name, bytes) in responses {
            let method = if class == "head request" {
                Method::HEAD
            } else {
                Method::GET
            };
            all.push(Hostile {
                class,
                name: (*name).to_owned(),
                method,
                bytes: if OF_CHUNKS.contains(&class) {
                    [CHUNKED_HEAD, bytes].concat()
                } else {
                    bytes.to_vec()
                },
            });
        }
    }
    all.extend(limits());
    all
}

/// At the limits, and one beyond.
fn limits() -> Vec<Hostile> {
    let fields = |count: usize| "a: b\r\n".repeat(count);
    let value = |length: usize| "x".repeat(length);
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
    let chunked =
        |content: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}");
    [
        ("99 fields", head(&fields(98))),
        ("100 fields", head(&fields(99))),
        ("101 fields", head(&fields(100))),
        ("1000 fields", head(&fields(999))),
        ("value of 1 KiB", head(&format!("a: {}\r\n", value(1024)))),
        ("name of 1 KiB", head(&format!("{}: b\r\n", value(1024)))),
        ("reason of 1 KiB", {
            format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", value(1024))
        }),
        ("20 interim responses", {
            format!(
                "{}{}",
                "HTTP/1.1 103 Early\r\na: b\r\n\r\n".repeat(20),
                head("")
            )
        }),
        (
            "100 trailers",
            chunked(&format!("0\r\n{}\r\n", fields(100))),
        ),
        (
            "101 trailers",
            chunked(&format!("0\r\n{}\r\n", fields(101))),
        ),
        (
            "extension of 1 KiB",
            chunked(&format!("2;{}\r\nok\r\n0\r\n\r\n", value(1024))),
        ),
        (
            "100 chunks of one byte",
            chunked(&format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(100))),
        ),
    ]
    .into_iter()
    .map(|(name, response)| Hostile {
        class: "limits",
        name: name.to_owned(),
        method: Method::GET,
        bytes: response.into_bytes(),
    })
    .collect()
}

const CLASSES: [Class; 16] = [
    ("status line", STATUS_LINE),
    ("version", VERSION),
    ("field names", FIELD_NAMES),
    ("field values", FIELD_VALUES),
    ("line ends", LINE_ENDS),
    ("obs-fold", OBS_FOLD),
    ("content-length", CONTENT_LENGTH),
    ("transfer-encoding", TRANSFER_ENCODING),
    ("chunk sizes", CHUNK_SIZES),
    ("chunk data", CHUNK_DATA),
    ("trailers", TRAILERS),
    ("interim", INTERIM),
    ("bodiless", BODILESS),
    ("head request", HEAD_REQUEST),
    ("early close", EARLY_CLOSE),
    ("surplus", SURPLUS),
];

const STATUS_LINE: &[(&str, &[u8])] = &[
    ("plain", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no reason", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
    (
        "no space after status",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "two spaces before status",
        b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "tab before status",
        b"HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status of two digits",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status of four digits",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status 000",
        b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status 099",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status 600",
        b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status 999",
        b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status with sign",
        b"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "status in letters",
        b"HTTP/1.1 two OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "reason with obs-text",
        b"HTTP/1.1 200 gr\xc3\xbcn\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "reason with NUL",
        b"HTTP/1.1 200 a\0b\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "reason with lone CR",
        b"HTTP/1.1 200 a\rb\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "reason with tab",
        b"HTTP/1.1 200 a\tb\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "leading empty line",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "leading bare LF",
        b"\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "leading space",
        b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "request in place of a response",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    ("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    ("HTTP/2 settings", b"\0\0\0\x04\0\0\0\0\0\r\n\r\n"),
];

const VERSION: &[(&str, &[u8])] = &[
    (
        "HTTP/1.0 with length",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("HTTP/1.0 without length", b"HTTP/1.0 200 OK\r\n\r\nok"),
    (
        "HTTP/1.0 keep-alive",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "HTTP/1.0 chunked",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "HTTP/1.2",
        b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "HTTP/2.0",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "HTTP/0.9",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("HTTP/11", b"HTTP/11 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "HTTP/1.10",
        b"HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "lower case",
        b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "another protocol",
        b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    ("no version", b"200 OK\r\nContent-Length: 2\r\n\r\nok"),
];

const FIELD_NAMES: &[(&str, &[u8])] = &[
    (
        "space before colon",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    ),
    (
        "tab before colon",
        b"HTTP/1.1 200 OK\r\nContent-Length\t: 2\r\n\r\nok",
    ),
    (
        "leading space",
        b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\nok",
    ),
    (
        "empty name",
        b"HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "no colon",
        b"HTTP/1.1 200 OK\r\nabc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "NUL in name",
        b"HTTP/1.1 200 OK\r\na\0b: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "obs-text in name",
        b"HTTP/1.1 200 OK\r\na\xffb: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "space in name",
        b"HTTP/1.1 200 OK\r\na b: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "quote in name",
        b"HTTP/1.1 200 OK\r\na\"b: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "slash in name",
        b"HTTP/1.1 200 OK\r\na/b: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "underscore",
        b"HTTP/1.1 200 OK\r\nContent_Length: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "every token character",
        b"HTTP/1.1 200 OK\r\n!#$%&'*+-.^_`|~9z: c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "upper case",
        b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\n\r\nok",
    ),
];

const FIELD_VALUES: &[(&str, &[u8])] = &[
    (
        "no space",
        b"HTTP/1.1 200 OK\r\na:b\r\nContent-Length:2\r\n\r\nok",
    ),
    (
        "white space around",
        b"HTTP/1.1 200 OK\r\na: \t b \t \r\nContent-Length: \t2\t \r\n\r\nok",
    ),
    (
        "empty",
        b"HTTP/1.1 200 OK\r\na:\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "NUL",
        b"HTTP/1.1 200 OK\r\na: b\0c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "lone CR",
        b"HTTP/1.1 200 OK\r\na: b\rc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "lone CR before CRLF",
        b"HTTP/1.1 200 OK\r\na: b\r\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "obs-text",
        b"HTTP/1.1 200 OK\r\na: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "DEL",
        b"HTTP/1.1 200 OK\r\na: b\x7fc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "escape",
        b"HTTP/1.1 200 OK\r\na: b\x1bc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "vertical tab",
        b"HTTP/1.1 200 OK\r\na: b\x0bc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "tab within",
        b"HTTP/1.1 200 OK\r\na: b\tc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "colons",
        b"HTTP/1.1 200 OK\r\na: b:c: d\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "twice",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
    ),
];

const LINE_ENDS: &[(&str, &[u8])] = &[
    (
        "bare LF everywhere",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    ),
    (
        "bare LF after status line",
        b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "bare LF after a field",
        b"HTTP/1.1 200 OK\r\na: b\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "bare LF at the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
    ),
    (
        "bare LF then CRLF",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
    ),
    (
        "bare CR after status line",
        b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok",
    ),
    (
        "bare CR at the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\rok",
    ),
    (
        "CR CR LF at the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\r\nok",
    ),
    ("LF CR", b"HTTP/1.1 200 OK\n\rContent-Length: 2\n\r\n\rok"),
    (
        "form feed as line end",
        b"HTTP/1.1 200 OK\x0cContent-Length: 2\r\n\r\nok",
    ),
];

const OBS_FOLD: &[(&str, &[u8])] = &[
    (
        "space",
        b"HTTP/1.1 200 OK\r\na: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "tab",
        b"HTTP/1.1 200 OK\r\na: b\r\n\tc\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "of nothing",
        b"HTTP/1.1 200 OK\r\na:\r\n c\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "empty continuation",
        b"HTTP/1.1 200 OK\r\na: b\r\n \r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "of a length",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
    ),
    (
        "hides a length",
        b"HTTP/1.1 200 OK\r\na: b\r\n Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "hides a coding",
        b"HTTP/1.1 200 OK\r\na: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "of a coding",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "after the status line",
        b"HTTP/1.1 200 OK\r\n a: b\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "with bare LF",
        b"HTTP/1.1 200 OK\r\na: b\n c\r\nContent-Length: 2\r\n\r\nok",
    ),
];

const CONTENT_LENGTH: &[(&str, &[u8])] = &[
    ("zero", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (
        "leading zeros",
        b"HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok",
    ),
    (
        "plus sign",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    ),
    (
        "minus sign",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    ),
    (
        "hexadecimal",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
    ),
    (
        "fraction",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2.0\r\n\r\nok",
    ),
    ("empty", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"),
    (
        "inner space",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok",
    ),
    (
        "twice alike",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "twice unlike",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ),
    (
        "list alike",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    ),
    (
        "list unlike",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
    ),
    (
        "list with nothing",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nok",
    ),
    (
        "twice, alike as numbers",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 02\r\n\r\nok",
    ),
    (
        "largest",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nok",
    ),
    (
        "too large",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok",
    ),
    (
        "wraps to two",
        b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    ),
    (
        "Arabic digit",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xd9\xa2\r\n\r\nok",
    ),
    (
        "form feed",
        b"HTTP/1.1 200 OK\r\nContent-Length: \x0c2\r\n\r\nok",
    ),
    ("none", b"HTTP/1.1 200 OK\r\n\r\nok"),
];

const TRANSFER_ENCODING: &[(&str, &[u8])] = &[
    ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("upper case", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("with a length", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("with a length before", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("gzip, chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("chunked, gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
    ("identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok"),
    ("chunked twice in a list", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("gzip and chunked apart", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("quoted", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("parameter", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("empty", b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\nok"),
    ("vertical tab before", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("misspelt", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("space before colon", b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("in a list with nothing", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: , chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
];

const CHUNK_SIZES: &[(&str, &[u8])] = &[
    ("upper-case digit", b"A\r\n0123456789\r\n0\r\n\r\n"),
    ("lower-case digit", b"a\r\n0123456789\r\n0\r\n\r\n"),
    ("leading zeros", b"0002\r\nok\r\n000\r\n\r\n"),
    ("seventeen digits", b"00000000000000002\r\nok\r\n0\r\n\r\n"),
    ("sixteen digits", b"0000000000000002\r\nok\r\n0\r\n\r\n"),
    ("largest", b"ffffffffffffffff\r\nok\r\n0\r\n\r\n"),
    ("wraps to two", b"10000000000000002\r\nok\r\n0\r\n\r\n"),
    ("empty", b"\r\nok\r\n0\r\n\r\n"),
    ("no digits", b"g\r\nok\r\n0\r\n\r\n"),
    ("plus sign", b"+2\r\nok\r\n0\r\n\r\n"),
    ("minus sign", b"-2\r\nok\r\n0\r\n\r\n"),
    ("prefix 0x", b"0x2\r\nok\r\n0\r\n\r\n"),
    ("leading space", b" 2\r\nok\r\n0\r\n\r\n"),
    ("trailing space", b"2 \r\nok\r\n0\r\n\r\n"),
    ("trailing tab", b"2\t\r\nok\r\n0\r\n\r\n"),
    ("trailing form feed", b"2\x0c\r\nok\r\n0\r\n\r\n"),
    ("inner space", b"2 2\r\nok\r\n0\r\n\r\n"),
    ("extension", b"2;a=b\r\nok\r\n0\r\n\r\n"),
    ("extension after space", b"2 ;a\r\nok\r\n0\r\n\r\n"),
    ("quoted extension", b"2;a=\"b\\\"c\"\r\nok\r\n0\r\n\r\n"),
    ("empty extension", b"2;\r\nok\r\n0\r\n\r\n"),
    ("extension with bare LF", b"2;a\nok\r\n0\r\n\r\n"),
    ("extension with lone CR", b"2;a\rb\r\nok\r\n0\r\n\r\n"),
    ("extension with NUL", b"2;a\0\r\nok\r\n0\r\n\r\n"),
    ("extension on the last", b"2\r\nok\r\n0;a=b\r\n\r\n"),
    ("bare LF", b"2\nok\r\n0\r\n\r\n"),
    ("bare CR", b"2\rok\r\n0\r\n\r\n"),
    ("CR CR LF", b"2\r\r\nok\r\n0\r\n\r\n"),
    ("underscore", b"2_\r\nok\r\n0\r\n\r\n"),
    ("comma", b"2,2\r\nok\r\n0\r\n\r\n"),
];

const CHUNK_DATA: &[(&str, &[u8])] = &[
    ("two chunks", b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
    ("data like a chunk", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    ("too short", b"3\r\nok\r\n0\r\n\r\n"),
    ("too long", b"1\r\nok\r\n0\r\n\r\n"),
    ("bare LF behind", b"2\r\nok\n0\r\n\r\n"),
    ("bare CR behind", b"2\r\nok\r0\r\n\r\n"),
    ("nothing behind", b"2\r\nok0\r\n\r\n"),
    ("space behind", b"2\r\nok \r\n0\r\n\r\n"),
    ("two line ends behind", b"2\r\nok\r\n\r\n0\r\n\r\n"),
    ("last chunk only", b"0\r\n\r\n"),
];

const TRAILERS: &[(&str, &[u8])] = &[
    ("one", b"2\r\nok\r\n0\r\na: b\r\n\r\n"),
    ("several", b"2\r\nok\r\n0\r\na: b\r\nc: d\r\na: e\r\n\r\n"),
    (
        "content-length",
        b"2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "transfer-encoding",
        b"2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("no colon", b"2\r\nok\r\n0\r\nabc\r\n\r\n"),
    ("space before colon", b"2\r\nok\r\n0\r\na : b\r\n\r\n"),
    ("folded", b"2\r\nok\r\n0\r\na: b\r\n c\r\n\r\n"),
    ("bare LF", b"2\r\nok\r\n0\r\na: b\n\r\n"),
    ("bare LF between two", b"2\r\nok\r\n0\r\na: b\nc: d\r\n\r\n"),
    ("bare LF at the end", b"2\r\nok\r\n0\r\n\n"),
    ("bare LF at the end of one", b"2\r\nok\r\n0\r\na: b\r\n\n"),
    ("bare CR at the end", b"2\r\nok\r\n0\r\n\r"),
    ("NUL in a value", b"2\r\nok\r\n0\r\na: b\0c\r\n\r\n"),
    ("obs-text in a value", b"2\r\nok\r\n0\r\na: \xff\r\n\r\n"),
    ("never ends", b"2\r\nok\r\n0\r\na: b\r\n"),
];

const INTERIM: &[(&str, &[u8])] = &[
    ("100 before", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("103 before", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("two before", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("unknown one before", b"HTTP/1.1 199 Who\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("with a length", b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("with a body", b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("with chunked", b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("with unlike lengths", b"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("that closes", b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("of HTTP/1.0", b"HTTP/1.0 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("alone", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("broken one before", b"HTTP/1.1 100 Continue\r\na b: c\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz"),
    ("101 without upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
];

const BODILESS: &[(&str, &[u8])] = &[
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
    (
        "204 with length 0",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "204 with a length",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    ),
    (
        "204 with a body",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "204 chunked",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "204 with chunks",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    (
        "304 with a length",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    ),
    (
        "304 with a body",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        "304 chunked",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "304 that closes",
        b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
    ),
    ("205 without length", b"HTTP/1.1 205 Reset Content\r\n\r\n"),
    (
        "205 with length 0",
        b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    ),
];

const HEAD_REQUEST: &[(&str, &[u8])] = &[
    ("no length", b"HTTP/1.1 200 OK\r\n\r\n"),
    ("a length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    (
        "chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("a body", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (
        "chunks",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "length and coding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "another coding",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ),
    (
        "unlike lengths",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
    ),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n"),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
];

const EARLY_CLOSE: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("part of the status line", b"HTTP/1.1 20"),
    ("status line only", b"HTTP/1.1 200 OK\r\n"),
    ("part of a field", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("no empty line", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
    (
        "no content",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    ),
    (
        "part of the content",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
    ),
    (
        "no chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "part of a size",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2",
    ),
    (
        "part of a chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok",
    ),
    (
        "no line end behind a chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
    ),
    (
        "no last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ),
    (
        "no end behind the last chunk",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    ),
    (
        "half the end",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r",
    ),
    (
        "content that ends with it",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
    ),
    (
        "no content that ends with it",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ),
];

const SURPLUS: &[(&str, &[u8])] = &[
    ("a byte", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokx"),
    ("a line end", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n"),
    ("another response", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"),
    ("an interim response", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 103 Early\r\n\r\n"),
    ("a 408", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
    ("behind chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx"),
    ("behind trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\nx"),
    ("behind no content", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx"),
    ("behind close", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nokx"),
    ("close with other options", b"HTTP/1.1 200 OK\r\nConnection: a, close\r\nContent-Length: 2\r\n\r\nok"),
    ("close in another case", b"HTTP/1.1 200 OK\r\nConnection: CLOSE\r\nContent-Length: 2\r\n\r\nok"),
    ("close and keep-alive", b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok"),
    ("close in a second field", b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
];
