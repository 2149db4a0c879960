"""Two messages, cut in two at each byte, in every framing. Each part is sent on its own."""

import json
import random

from connections import Http1, Http2, http1_head, http2_request, mixed
from messages import Message

# The connections that wait for their second part, while the gateway reads the first parts of all.
CONNECTIONS = 64
TEXT = b"Notes are kept in memory."


class Fixed(Message):
    """A call of a tool that is not mutated."""

    def __init__(self, token, tool):
        self.token, self.is_plain, self.verb, self.target = token, True, "POST", "/mcp"
        self.headers = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {"name": "welcome"}}}
        # The escape is cut too.
        self.body = json.dumps(call).replace("_note", "_n\\u006fte").encode()


def with_length(message):
    return http1_head(message, [("Content-Length", str(len(message.body)))]) + message.body


def one_chunk(message):
    head = http1_head(message, [("Transfer-Encoding", "chunked")])
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(message.body), message.body)


def chunks_of_a_byte(message):
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in message.body)
    return http1_head(message, [("Transfer-Encoding", "chunked")]) + chunks + b"0\r\n\r\n"


def cut_everywhere(port, token, first, step):
    """Cuts at each byte, or with a step at each byte of its share. Returns how many messages were sent, and what must not be."""
    number, wrong = 0, []
    for tool, status in [("read_note", "200"), ("delete_note", "403")]:
        message = Fixed(token, tool)
        for exchange in [http1(with_length), http1(one_chunk), http1(chunks_of_a_byte), http2]:
            for place, (found, body) in exchange(port, message, first, step):
                number += 1
                if found != status or (TEXT in body) != (tool == "read_note") or b"deleted:" in body:
                    wrong.append(f"{tool} cut at byte {place}: {found} {body[:300]!r}")
    return number, wrong


def batches(places):
    return [places[start : start + CONNECTIONS] for start in range(0, len(places), CONNECTIONS)]


def http1(encode):
    def exchange(port, message, first, step):
        data = encode(message)
        connections = [Http1(port) for _ in range(CONNECTIONS)]
        for places in batches(range(first, len(data), step)):
            for part in [lambda place: data[:place], lambda place: data[place:]]:
                for place, connection in zip(places, connections):
                    connection.send(part(place))
            for place, connection in zip(places, connections):
                yield place, connection.receive()
        for connection in connections:
            connection.close()

    return exchange


def http2(port, message, first, step):
    """The same for frames, which are cut at each byte as well."""
    connections = [Http2(port) for _ in range(CONNECTIONS)]
    # The length is the same for each stream, and so are the frames.
    frames = lambda stream: b"".join(mixed(random.Random(1), [http2_request(random.Random(1), stream, message)]))
    length = len(frames(1))
    for places in batches(range(first, length, step)):
        streams = [connection.start() for _, connection in zip(places, connections)]
        for part in [lambda data, place: data[:place], lambda data, place: data[place:]]:
            for place, connection, stream in zip(places, connections, streams):
                connection.socket.sendall(part(frames(stream), place))
        for place, connection, stream in zip(places, connections, streams):
            [response] = connection.receive([stream])
            yield place, response
    for connection in connections:
        connection.close()
