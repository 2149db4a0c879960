"""A redis-server or valkey-server of this script, and a client for it."""

import os
import signal
import socket
import subprocess
import time

import bed

# Neither lists packed keys nor anything on a disk: what a dump shows is what was written.
SETTINGS = ["--save", "", "--appendonly", "no", "--rdbcompression", "no", "--maxmemory-policy", "noeviction"]


class ReplyError(Exception):
    """The server replied with an error."""


class Client:
    """One connection. Replies are bytes, numbers, None, and lists of them."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def call(self, *command):
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection has ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ReplyError(rest.decode(errors="replace"))
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest


class Server:
    """One server, on a Unix socket and a port."""

    def __init__(self, processes, program, name="redis", *settings):
        self.processes, self.program, self.name, self.settings = processes, program, name, settings
        self.path = f"{processes.folder}/{name}.sock"
        self.port = bed.free_port()
        self.url, self.unix_url = f"redis://127.0.0.1:{self.port}", f"unix://{self.path}"

    def start(self):
        """Starts it without data."""
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.path]
        self.processes.start(self.name, [self.program, *address, *SETTINGS, *self.settings])
        self.processes.wait_for(self.name, "that it accepts connections", lambda _: self._accepts())
        return self

    def _accepts(self):
        try:
            with self.client() as client:
                return True if client.call("PING") else None
        except OSError:
            return None
        except ReplyError:
            return True

    def client(self):
        return Client(self.path)

    def call(self, *command):
        with self.client() as client:
            return client.call(*command)

    def stop(self):
        """Ends it without a word, as a crash does."""
        self.processes.kill(self.name)
        if os.path.exists(self.path):
            os.unlink(self.path)

    def pause(self):
        self.processes.running[self.name].send_signal(signal.SIGSTOP)

    def resume(self):
        self.processes.running[self.name].send_signal(signal.SIGCONT)

    def fill(self):
        """Writes until the server refuses: `maxmemory` is reached, and stays so whatever is freed."""
        with self.client() as client:
            used = int(field(client.call("INFO", "memory"), "used_memory"))
            client.call("CONFIG", "SET", "maxmemory", used + 4 * 1024 * 1024)
            size = 1024 * 1024
            for index in range(1_000_000):
                try:
                    client.call("SET", f"filling:{index}", b"x" * size)
                except ReplyError as error:
                    assert "OOM" in str(error), error
                    # The last gap is filled with small ones.
                    if size == 64:
                        break
                    size //= 4
            used = int(field(client.call("INFO", "memory"), "used_memory"))
            client.call("CONFIG", "SET", "maxmemory", used - 4 * 1024 * 1024)

    def make_room(self):
        with self.client() as client:
            client.call("CONFIG", "SET", "maxmemory", 0)
            keys = client.call("KEYS", "filling:*")
            client.call("DEL", *keys)

    def wait_for(self, what, attempt, seconds=5):
        with self.client() as client:
            return bed.wait_for(what, seconds, lambda: attempt(client))


def field(info, name):
    """The value of a line of INFO."""
    found = [line for line in info.decode().splitlines() if line.startswith(f"{name}:")]
    return found[0].partition(":")[2]


def version(program):
    text = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return " ".join(text.split()[:3])
