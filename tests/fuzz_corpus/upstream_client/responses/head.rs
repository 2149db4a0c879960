//! Status lines, fields and line ends.

use super::Responses;

pub(super) const STATUS_LINE: Responses = &[
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

pub(super) const VERSION: Responses = &[
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

pub(super) const FIELD_NAMES: Responses = &[
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

pub(super) const FIELD_VALUES: Responses = &[
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

pub(super) const LINE_ENDS: Responses = &[
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

pub(super) const OBS_FOLD: Responses = &[
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
