"""Load generators: wrk for HTTP/1.1, h2load for HTTP/2, and a client of our own that sends each request exactly once."""

import collections
import json
import pathlib
import selectors
import socket
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent

# The result of a round. Latencies are in microseconds.
Load = collections.namedtuple("Load", "requests seconds p50 p99")


class Failed(Exception):
    """A response is not the expected one."""


# What a client of an MCP server sends with its calls (revision 2026-07-28).
CALL_HEADERS = {
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "add",
}


def tool_call(size):
    """The body of a call, of this many bytes."""
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"text":"TEXT"}}}'
    return call.replace(b"TEXT", b"x" * (size - len(call) + len(b"TEXT")))


def request(path, token=None, body=b"", close=False, headers=None):
    """An HTTP/1.1 request."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: api.test", "Accept: */*"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    lines += ["Connection: close"] if close else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def wrk(url, requests, status, connections, seconds, folder):
    """Sends the requests in turn, for this many seconds."""
    file = pathlib.Path(folder, "requests")
    file.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "load.lua", url, "--", file]
    result = json.loads(_output(command, seconds).splitlines()[-1])
    refused = result["requests"] if status >= 400 else 0
    if result["not_2xx"] != refused or result["failed"]:
        raise Failed(f"expected {status} each time, but found {result}")
    return _load(result["requests"], result["seconds"], result["p50"], result["p99"])


def h2load(url, token, connections, streams, seconds, folder):
    """Sends one request repeatedly over HTTP/2."""
    return _h2load([f"-m{streams}"], url, token, connections, seconds, folder)


def send_at_rate(url, token, connections, rate, seconds, folder):
    """Sends one HTTP/1.1 request repeatedly, at this rate if responses are fast enough."""
    return _h2load(["--h1", "-m1", f"--rps={rate / connections:.3f}"], url, token, connections, seconds, folder)


def send_each_once(port, requests, status, connections):
    """Sends every request once; each connection sends the next after a response."""
    waiting, selector, durations = collections.deque(requests), selectors.DefaultSelector(), []
    expected = b"HTTP/1.1 %d" % status
    began = time.monotonic()

    def send_next(connection):
        connection.began, connection.response = time.monotonic(), b""
        connection.socket.sendall(waiting.popleft())

    for _ in range(min(connections, len(requests))):
        connection = Connection(socket.create_connection(("127.0.0.1", port), timeout=10))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        send_next(connection)
    while selector.get_map():
        ready = selector.select(timeout=10)
        if not ready:
            raise Failed("expected a response within ten seconds, but found none")
        for key, _ in ready:
            connection = key.data
            part = connection.socket.recv(65536)
            connection.response += part
            if is_whole(connection.response):
                durations.append((time.monotonic() - connection.began) * 1e6)
            elif part:
                continue
            if not part or not connection.response.startswith(expected):
                raise Failed(f"expected {status}, but found {connection.response[:200]!r}")
            if waiting:
                send_next(connection)
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
    return _measured(durations, time.monotonic() - began)


class Connection:
    """A connection, and the response read from it so far."""

    def __init__(self, connected):
        self.socket, self.began, self.response = connected, 0.0, b""


def is_whole(response):
    """Whether a response with a length or chunks is complete."""
    head, end, body = response.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return bool(end) and body.endswith(b"0\r\n\r\n")


def status_of(port, message):
    """The status of the response to one request."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(message)
        response = connection.recv(65536)
    return int(response.split(b" ", 2)[1])


def _h2load(how, url, token, connections, seconds, folder):
    log = pathlib.Path(folder, "h2load")
    log.unlink(missing_ok=True)
    command = ["h2load", *how, "-t1", f"-c{connections}", "-D", str(seconds), f"--log-file={log}"]
    _output([*command, "-H", f"Authorization: Bearer {token}", url], seconds)
    # Start time, status, microseconds.
    lines = [line.split() for line in log.read_text().splitlines()]
    if any(status != "200" for _, status, _ in lines):
        raise Failed(f"expected 200 each time, but found {collections.Counter(status for _, status, _ in lines)}")
    return _measured([int(duration) for _, _, duration in lines], seconds)


def _measured(durations, seconds):
    if len(durations) < 2:
        raise Failed(f"expected responses, but found {len(durations)}")
    quantiles = statistics.quantiles(durations, n=100)
    return _load(len(durations), seconds, quantiles[49], quantiles[98])


def _load(requests, seconds, p50, p99):
    if not requests:
        raise Failed("expected responses, but found none")
    return Load(requests, seconds, p50, p99)


def _output(command, seconds):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode:
        raise Failed(f"{command[0]}: {done.stdout[-300:]}{done.stderr[-300:]}")
    return done.stdout
