//! Framing: lengths, transfer codings, interim responses, responses without content, and their
//! ends.

use super::Responses;

pub(super) const CONTENT_LENGTH: Responses = &[
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

pub(super) const TRANSFER_ENCODING: Responses = &[
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

pub(super) const INTERIM: Responses = &[
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

pub(super) const BODILESS: Responses = &[
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

pub(super) const HEAD_REQUEST: Responses = &[
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

pub(super) const EARLY_CLOSE: Responses = &[
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

pub(super) const SURPLUS: Responses = &[
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
