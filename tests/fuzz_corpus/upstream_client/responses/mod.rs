//! Hostile responses, in classes. Each is parsed whole, and cut in two at every byte.

mod chunks;
mod framing;
mod head;

use http::Method;

/// The bytes of one response, and the method of its request.
pub(crate) struct Hostile {
    pub(crate) class: &'static str,
    pub(crate) name: String,
    pub(crate) method: Method,
    pub(crate) bytes: Vec<u8>,
}

impl Hostile {
    /// Class and name.
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.class, self.name)
    }
}

/// A class of responses, with its name.
type Class = (&'static str, Responses);
/// The name and the bytes of each response.
type Responses = &'static [(&'static str, &'static [u8])];

/// Classes whose responses start with the first chunk, after [`CHUNKED_HEAD`].
const CHUNK_CLASSES: [&str; 3] = ["chunk sizes", "chunk data", "trailers"];
const CHUNKED_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Every response: those of the classes, and generated ones at the limits.
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
                bytes: if CHUNK_CLASSES.contains(&class) {
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

/// Responses at the limits of the parser, and just beyond.
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
    ("status line", head::STATUS_LINE),
    ("version", head::VERSION),
    ("field names", head::FIELD_NAMES),
    ("field values", head::FIELD_VALUES),
    ("line ends", head::LINE_ENDS),
    ("obs-fold", head::OBS_FOLD),
    ("content-length", framing::CONTENT_LENGTH),
    ("transfer-encoding", framing::TRANSFER_ENCODING),
    ("chunk sizes", chunks::CHUNK_SIZES),
    ("chunk data", chunks::CHUNK_DATA),
    ("trailers", chunks::TRAILERS),
    ("interim", framing::INTERIM),
    ("bodiless", framing::BODILESS),
    ("head request", framing::HEAD_REQUEST),
    ("early close", framing::EARLY_CLOSE),
    ("surplus", framing::SURPLUS),
];
