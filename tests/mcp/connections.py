"""Connections that send several messages at once, framed at random: pipelined in HTTP/1.1, and as streams of HTTP/2."""

import socket
import struct

HOST = "127.0.0.1:8080"
# Nothing that the gateway judges takes longer.
TIMEOUT = 20
# What a response is if none came.
NO_RESPONSE = ("", b"")


class Refused(Exception):
    """The gateway ended the connection."""


def opened(port):
    connected = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def segments(random, data):
    """Cuts what is sent: at each byte, at one place, or nowhere."""
    kind = random.random()
    if kind < 0.002:
        return [data[place : place + 1] for place in range(len(data))]
    if kind < 0.1:
        place = random.randrange(len(data))
        return [data[:place], data[place:]]
    return [data]


class Http1:
    """A connection of HTTP/1.1, opened anew where the gateway ended it."""

    def __init__(self, port):
        self.port, self.socket, self.file = port, None, None

    def exchange(self, random, messages):
        """Sends messages without waiting in between. Returns a status and a body for each."""
        is_wrong = not messages[-1].is_plain and random.random() < 0.05
        requests = [http1_request(random, message, is_wrong and message is messages[-1]) for message in messages]
        data = b"".join(requests)
        try:
            for part in segments(random, data):
                self.send(part)
        except OSError:
            pass
        responses = [self.receive() for _ in messages]
        if is_wrong:
            self.close()
        return responses

    def send(self, data):
        if self.socket is None:
            self.socket = opened(self.port)
            self.file = self.socket.makefile("rb")
        self.socket.sendall(data)

    def receive(self):
        """One response, or none if the connection ended."""
        if self.file is None:
            return NO_RESPONSE
        try:
            status, headers, body = self.read_response()
        except (Refused, ConnectionError, ValueError, IndexError):
            self.close()
            return NO_RESPONSE
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, body

    def read_response(self):
        status = self.line().split(b" ")[1].decode("ascii")
        headers = {}
        while line := self.line():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if b"content-length" in headers:
            return status, headers, self.exactly(int(headers[b"content-length"]))
        if b"transfer-encoding" not in headers:
            return status, headers, b""
        body = b""
        while size := int(self.line().split(b";")[0], 16):
            body += self.exactly(size)
            self.line()
        while self.line():
            pass
        return status, headers, body

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise Refused
        return line.rstrip(b"\r\n")

    def exactly(self, length):
        data = self.file.read(length)
        if len(data) < length:
            raise Refused
        return data

    def close(self):
        if self.socket is not None:
            self.file.close()
            self.socket.close()
        self.socket = self.file = None


def http1_request(random, message, is_wrong):
    """A request. If its framing is wrong, nothing may follow it."""
    chance = lambda share: not message.is_plain and random.random() < share
    is_chunked = random.random() < 0.3
    content_length = len(message.body) - (random.randint(0, len(message.body)) if is_wrong else 0)
    framing = []
    if not is_chunked or is_wrong:
        framing.append(("Content-Length", str(content_length)))
    if is_chunked:
        framing.append(("Transfer-Encoding", "chunked"))
        random.shuffle(framing)
    body = chunked(random, message.body, chance) if is_chunked else message.body
    return http1_head(message, framing) + body


def http1_head(message, framing):
    headers = [("Host", HOST), ("Authorization", f"Bearer {message.token}"), *message.headers, *framing]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{message.verb} {message.target} HTTP/1.1\r\n{head}\r\n".encode()


def chunked(random, body, chance=lambda _: False):
    """A body in chunks of any size, or of one byte."""
    rest, encoded, is_fine = body, [], random.random() < 0.05
    while rest:
        size = 1 if is_fine else random.randint(1, max(1, len(rest) // 2 + 1))
        extension = b";a=\"}\"" if chance(0.02) else b""
        encoded.append(b"%x%s\r\n%s\r\n" % (size, extension, rest[:size]))
        rest = rest[size:]
    trailer = b"Mcp-Method: tools/call\r\nMcp-Name: delete_note\r\n" if chance(0.05) else b""
    return b"".join(encoded) + b"0\r\n" + trailer + b"\r\n"


# RFC 9113, sections 6 and 7.
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS, PADDED = 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_WINDOW = 2**31 - 1
# HPACK's static table (RFC 7541, appendix A), and the Huffman code of digits (appendix B).
STATUSES = dict(enumerate(["200", "204", "206", "304", "400", "404", "500"], 8))
DIGITS = {"00000": "0", "00001": "1", "00010": "2", **{f"{25 + place:06b}": str(3 + place) for place in range(7)}}


class Http2:
    """A connection of HTTP/2 by prior knowledge, opened anew where the gateway ended it."""

    def __init__(self, port):
        self.port, self.socket, self.file = port, None, None

    def exchange(self, random, messages):
        """Sends messages as streams whose frames are mixed. Returns a status and a body for each."""
        streams = {self.start(): message for message in messages}
        data = b"".join(mixed(random, [http2_request(random, stream, message) for stream, message in streams.items()]))
        self.window -= len(data)
        try:
            for part in segments(random, data):
                self.socket.sendall(part)
        except OSError:
            pass
        return self.receive(streams)

    def start(self):
        """The number of a new stream."""
        if self.socket is None:
            self.open()
        self.next_stream += 2
        return self.next_stream - 2

    def open(self):
        self.socket = opened(self.port)
        self.file = self.socket.makefile("rb")
        self.next_stream, self.window = 1, 65_535
        # Without a dynamic table, each status stands for itself (RFC 7541, section 4.2).
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, MAX_WINDOW)
        more = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", MAX_WINDOW - 65_535))
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + more)

    def receive(self, streams):
        """The responses of these streams, whatever their order."""
        found = {stream: ["", b""] for stream in streams}
        open_streams = set(streams)
        try:
            while open_streams:
                kind, flags, stream, payload = self.frame()
                if kind == SETTINGS and not flags & ACK:
                    self.socket.sendall(frame(SETTINGS, ACK, 0, b""))
                elif kind == PING and not flags & ACK:
                    self.socket.sendall(frame(PING, ACK, 0, payload))
                elif kind == WINDOW_UPDATE and stream == 0:
                    self.window += struct.unpack(">I", payload)[0]
                elif kind == GOAWAY:
                    raise Refused
                elif kind == RST_STREAM and stream in open_streams:
                    found[stream][0] = found[stream][0] or "reset"
                    open_streams.discard(stream)
                elif kind in (HEADERS, DATA) and stream in open_streams:
                    self.take(kind, flags, payload, found[stream])
                    if flags & END_STREAM:
                        open_streams.discard(stream)
        except (Refused, OSError):
            self.close()
        # So that no window is too small for what comes next.
        if self.socket is not None and self.window < 32_768:
            self.close()
        return [tuple(response) for response in found.values()]

    def take(self, kind, flags, payload, response):
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == DATA:
            response[1] += payload
        elif not response[0]:
            while not flags & END_HEADERS:
                _, flags, _, more = self.frame()
                payload += more
            response[0] = status_of(payload)

    def frame(self):
        head = self.exactly(9)
        length, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        return kind, flags, stream & MAX_WINDOW, self.exactly(length)

    exactly, close = Http1.exactly, Http1.close


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def http2_request(random, stream, message):
    """The frames of a request. The first opens the stream."""
    chance = lambda share: not message.is_plain and random.random() < share
    block = b"".join(literal(name, value) for name, value in http2_fields(random, message, chance))
    frames, ends_with_trailers = [header_frames(random, stream, block)], chance(0.05)
    rest, is_fine = message.body, random.random() < 0.02
    while rest:
        size = 1 if is_fine else random.choice([len(rest), random.randint(1, len(rest))])
        flags = END_STREAM if size == len(rest) and not ends_with_trailers and random.random() < 0.8 else 0
        frames.append(data_frame(random, stream, flags, rest[:size]))
        rest, is_ended = rest[size:], bool(flags)
    if ends_with_trailers:
        trailers = literal("mcp-method", "tools/call") + literal("mcp-name", "delete_note")
        frames.append(frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers))
    elif not message.body or not is_ended:
        frames.append(frame(DATA, END_STREAM, stream, b""))
    return frames


def http2_fields(random, message, chance):
    fields = [(":method", message.verb), (":scheme", "http"), (":authority", HOST), (":path", message.target)]
    fields += [("authorization", f"Bearer {message.token}"), *((name.lower(), value) for name, value in message.headers)]
    if random.random() < 0.5:
        fields.append(("content-length", str(len(message.body) - (chance(0.05) and random.randint(0, len(message.body))))))
    if chance(0.02):
        fields.append(random.choice([("transfer-encoding", "chunked"), ("connection", "close"), ("Mcp-Name", "read_note"), (":path", "/mcp")]))
    if chance(0.02):
        random.shuffle(fields)
    return fields


def header_frames(random, stream, block):
    """One frame, or one and its continuation."""
    if random.random() < 0.9:
        return frame(HEADERS, END_HEADERS, stream, block)
    place = random.randint(0, len(block))
    return frame(HEADERS, 0, stream, block[:place]) + frame(CONTINUATION, END_HEADERS, stream, block[place:])


def data_frame(random, stream, flags, data):
    if random.random() < 0.9:
        return frame(DATA, flags, stream, data)
    padding = random.randint(0, 20)
    return frame(DATA, flags | PADDED, stream, bytes([padding]) + data + bytes(padding))


def mixed(random, streams):
    """The frames of several streams. Each stream keeps its order, and streams are opened in theirs."""
    if random.random() < 0.5:
        return [part for frames in streams for part in frames]
    found = [frames.pop(0) for frames in streams]
    while streams := [frames for frames in streams if frames]:
        found.append(random.choice(streams).pop(0))
    return found


def literal(name, value):
    """A field that enters no table (RFC 7541, section 6.2.2)."""
    return b"\0" + text(name) + text(value)


def text(value):
    encoded = value.encode()
    length, prefix = len(encoded), b""
    if length < 127:
        return bytes([length]) + encoded
    length -= 127
    while length >= 128:
        prefix += bytes([length % 128 + 128])
        length //= 128
    return b"\x7f" + prefix + bytes([length]) + encoded


def status_of(block):
    """The status, which comes first in a response."""
    while block and block[0] & 0xE0 == 0x20:  # the size of the dynamic table
        block = block[1:]
    if not block:
        return ""
    if block[0] & 0x80:
        return STATUSES.get(block[0] & 0x7F, "?")
    length, value = block[1] & 0x7F, block[2 : 2 + (block[1] & 0x7F)]
    if not block[1] & 0x80:
        return value.decode("ascii", "replace")
    bits, digits, code = "".join(f"{byte:08b}" for byte in value[:length]), "", ""
    for bit in bits:
        code += bit
        if code in DIGITS:
            digits, code = digits + DIGITS[code], ""
    return digits
