"""Who asks: wrk for HTTP/1.1, h2load for HTTP/2, and a client of ours where each request is to be made exactly once."""

import collections
import json
import pathlib
import selectors
import socket
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent

# What a round has come to. Latencies are in microseconds.
Load = collections.namedtuple("Load", "requests seconds p50 p99")


class Failed(Exception):
    """The load is not what it should be."""


def request(path, token=None, body=b"", close=False):
    """A request of HTTP/1.1."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: api.test", "Accept: */*"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    lines += ["Connection: close"] if close else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def wrk(url, requests, status, connections, seconds, folder):
    """The requests in turn, for so long."""
    file = pathlib.Path(folder, "requests")
    file.write_bytes(b"".join(b"%d\n%s" % (len(request), request) for request in requests))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", HERE / "load.lua", url, "--", file]
    told = json.loads(_output(command, seconds).splitlines()[-1])
    refused = told["requests"] if status >= 400 else 0
    if told["not_2xx"] != refused or told["failed"]:
        raise Failed(f"expected {status} each time, but found {told}")
    return _load(told["requests"], told["seconds"], told["p50"], told["p99"])


def h2load(url, token, connections, streams, seconds, folder):
    """One request again and again, over so many connections with so many streams on each."""
    return _h2load([f"-m{streams}"], url, token, connections, seconds, folder)


def at_rate(url, token, connections, rate, seconds, folder):
    """One request of HTTP/1.1 again and again, so many of them a second, as long as answers come in time for that."""
    return _h2load(["--h1", "-m1", f"--rps={rate / connections:.3f}"], url, token, connections, seconds, folder)


def each_once(port, requests, status, connections):
    """Every request once, as fast as they are answered."""
    waiting, selector, durations = collections.deque(requests), selectors.DefaultSelector(), []
    expected = b"HTTP/1.1 %d" % status
    began = time.monotonic()

    def ask(connection):
        connection.began, connection.answer = time.monotonic(), b""
        connection.socket.sendall(waiting.popleft())

    for _ in range(min(connections, len(requests))):
        connection = Connection(socket.create_connection(("127.0.0.1", port), timeout=10))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        ask(connection)
    while selector.get_map():
        ready = selector.select(timeout=10)
        if not ready:
            raise Failed("expected answers, but found none for ten seconds")
        for key, _ in ready:
            connection = key.data
            part = connection.socket.recv(65536)
            connection.answer += part
            if is_whole(connection.answer):
                durations.append((time.monotonic() - connection.began) * 1e6)
            elif part:
                continue
            if not part or not connection.answer.startswith(expected):
                raise Failed(f"expected {status}, but found {connection.answer[:200]!r}")
            if waiting:
                ask(connection)
            else:
                selector.unregister(connection.socket)
                connection.socket.close()
    return _measured(durations, time.monotonic() - began)


class Connection:
    """A connection and the answer that comes by it."""

    def __init__(self, connected):
        self.socket, self.began, self.answer = connected, 0.0, b""


def is_whole(answer):
    """Whether an answer with a length, or in chunks, is all there."""
    head, end, body = answer.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return bool(end) and body.endswith(b"0\r\n\r\n")


def status_of(port, message):
    """The status that a request is answered with."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(message)
        answer = connection.recv(65536)
    return int(answer.split(b" ", 2)[1])


def _h2load(how, url, token, connections, seconds, folder):
    log = pathlib.Path(folder, "h2load")
    log.unlink(missing_ok=True)
    command = ["h2load", *how, "-t1", f"-c{connections}", "-D", str(seconds), f"--log-file={log}"]
    _output([*command, "-H", f"Authorization: Bearer {token}", url], seconds)
    # When it began, status, microseconds.
    lines = [line.split() for line in log.read_text().splitlines()]
    if any(status != "200" for _, status, _ in lines):
        raise Failed(f"expected 200 each time, but found {collections.Counter(status for _, status, _ in lines)}")
    return _measured([int(duration) for _, _, duration in lines], seconds)


def _measured(durations, seconds):
    if len(durations) < 2:
        raise Failed(f"expected answers, but found {len(durations)}")
    quantiles = statistics.quantiles(durations, n=100)
    return _load(len(durations), seconds, quantiles[49], quantiles[98])


def _load(requests, seconds, p50, p99):
    if not requests:
        raise Failed("expected answers, but found none")
    return Load(requests, seconds, p50, p99)


def _output(command, seconds):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode:
        raise Failed(f"{command[0]}: {done.stdout[-300:]}{done.stderr[-300:]}")
    return done.stdout
