//! Chunked bodies. The head is the same for all.

use super::Responses;

pub(super) const CHUNK_SIZES: Responses = &[
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

pub(super) const CHUNK_DATA: Responses = &[
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

pub(super) const TRAILERS: Responses = &[
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
