"""An HTTP/2 client that sends GET requests one after the other, with the same bytes in every run."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Types and flags of frames (RFC 9113 section 6).
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# Indices of the static table (RFC 7541 appendix A), which has 61 entries.
AUTHORITY, METHOD_GET, PATH, SCHEME_HTTPS, FIRST_DYNAMIC = 1, 2, 4, 7, 62
MAX_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535


class Http2Client:
    """A client over a connected TLS socket."""

    def __init__(self, connection):
        self.connection, self.stream, self.received, self.sent = connection, -1, b"", None
        update = struct.pack(">I", MAX_WINDOW - DEFAULT_WINDOW)
        self.connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, update))

    def get(self, path, fields):
        """Sends a request, and reads the response with status 200. Every request has the same fields."""
        self.stream += 2
        self.connection.sendall(frame(HEADERS, END_STREAM | END_HEADERS, self.stream, self.field_block(path, fields)))
        while True:
            kind, flags, stream, payload = self.read_frame()
            if kind == SETTINGS and not flags & ACK:
                self.connection.sendall(frame(SETTINGS, ACK, 0))
            # ":status: 200" of the static table begins the block.
            is_other_status = kind == HEADERS and payload[:1] != b"\x88"
            if kind in (RST_STREAM, GOAWAY) or is_other_status:
                raise ValueError(f"expected a response with 200, but found a frame of type {kind} with {payload!r}")
            if kind in (DATA, HEADERS) and stream == self.stream and flags & END_STREAM:
                return

    def field_block(self, path, fields):
        # The first request adds the fields to the dynamic table; the others refer to them, newest first.
        block = bytes([0x80 | METHOD_GET, 0x80 | SCHEME_HTTPS])
        if self.sent:
            return block + bytes(0x80 | FIRST_DYNAMIC + index for index in reversed(range(self.sent)))
        block += bytes([0x40 | PATH]) + string(path) + bytes([0x40 | AUTHORITY]) + string("api.test")
        for name, value in fields.items():
            block += b"\x40" + string(name) + string(value)
        self.sent = len(fields) + 2
        return block

    def read_frame(self):
        length, kind, flags, stream = struct.unpack(">IBBI", b"\0" + self.read(9))
        return kind, flags, stream, self.read(length)

    def read(self, length):
        while len(self.received) < length:
            part = self.connection.recv(65536)
            if not part:
                raise ValueError("expected a frame, but found the end of the connection")
            self.received += part
        read, self.received = self.received[:length], self.received[length:]
        return read


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def string(text):
    """A string literal without Huffman coding (RFC 7541 section 5.2)."""
    text = text.encode()
    if len(text) < 127:
        return bytes([len(text)]) + text
    length, encoded = len(text) - 127, bytearray([127])
    while length >= 128:
        encoded.append(0x80 | length & 127)
        length >>= 7
    return bytes(encoded) + bytes([length]) + text
