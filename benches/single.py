"""One client of one gateway: the cases of `instructions` and `system-calls`.

The client sends each request after the last response. The upstream is part of the process that measures.
"""

import argparse
import functools
import itertools
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The build that is counted.
GATEWAY = ROOT / "target/release/scopegate"
sys.path.insert(0, str(ROOT / "benches/compare"))

from http2 import Http2Client
from load import CALL_HEADERS, request, tool_call
from processes import free_ports, make_certificate
from products import HERE as COMPARE, filled
from tokens import AUDIENCE, ISSUER, SCOPE, Signer

# The first requests are not counted: they open connections and grow buffers.
WARMUP_REQUESTS, REQUESTS = 200, 1000
TIMEOUT_SECONDS = 60

CONFIGURATION = """
[server]
listen = "127.0.0.1:{port}"
workers = 1
{server}
[log]
format = "json"
access = {access}
{tables}
[issuers.bench]
issuer = "{issuer}"
audience = "{audience}"
jwks_file = "jwks.json"
[upstreams.bench]
targets = "http://127.0.0.1:{upstream}"
[[routes]]
path = "/apps/{{id}}/messages"
scope = "{scope}"
{limit}
upstream = "bench"
[[routes]]
path = "/public/{{id}}/messages"
public = true
upstream = "bench"
[[routes]]
path = "/tools"
scope = "{scope}"
upstream = "bench"
{routes}"""

# benches/hyper, by the profile that it is built in.
BARE_HYPER = {"hyper": "floor", "hyper-unwinding": "release"}

# A browser's request, as a page of another origin sends it, and two rules for the headers of responses.
ORIGIN = "https://app.example.com"
HEADER_RULES = """response_headers = { set = { "Strict-Transport-Security" = "max-age=63072000" }, remove = ["X-Powered-By"] }"""
CORS = f'[cors]\norigins = ["{ORIGIN}"]'

# A load balancer in front, and what it says of the client.
TRUSTED_PROXIES = 'trusted_proxies = ["127.0.0.0/8"]'
FORWARDED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com"}

# No request is refused.
LIMIT = '[limits.client]\nrequests = 1000000\nper = "1s"\nkey = "client_id"'

# A call of a tool, with a message of 1 KiB, to a route that reads it and to one that does not.
CALL_BYTES = 1024
MCP = 'mcp = {}\n[[routes.tools]]\nmethod = "tools/call"\nname = "add"\nscope = "SCOPE"\n'

TLS = '[[listeners]]\naddress = "127.0.0.1:TLS_PORT"\ntls = { certificates = [{ certificate = "cert.pem", key = "key.pem" }] }'


def add_cases_argument(parser, known):
    """Adds --cases: some of these names."""

    def read(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected one of {', '.join(known)}, but found {name!r}")
        return names

    parser.add_argument("--cases", type=read, help="only these cases")


def build(names):
    """Builds the programs of these cases."""
    builds = [["--release"]]
    builds += [[f"--profile={BARE_HYPER[name]}", "--package=bare-hyper"] for name in names if name in BARE_HYPER]
    for build in builds:
        subprocess.run(["cargo", "build", "--quiet", *build], cwd=ROOT, check=True)


def cases(folder, upstream, gateway=GATEWAY):
    """Servers, and a client for the name of each of their cases. A server is a function of the tool that it runs in.

    gateway is the build of the gateway.
    """
    signer = Signer("RS256", folder)
    (folder / "jwks.json").write_text('{"keys": [' + repr(signer.jwk()).replace("'", '"') + "]}")
    make_certificate(folder / "key.pem", folder / "cert.pem")
    path, token = "/apps/com.acme/messages", signer.token()
    # Signed before anything is counted.
    new = [request(path, signer.token(number)) for number in range(1, WARMUP_REQUESTS + REQUESTS + 1)]
    authenticated = one_connection(request(path, token))
    from_page = one_connection(request(path, token, headers={"Origin": ORIGIN}))
    behind_proxy = one_connection(request(path, token, headers=FORWARDED))
    call = one_connection(request("/tools", token, tool_call(CALL_BYTES), headers=CALL_HEADERS))
    gateways = [
        ({}, {"authenticated": authenticated, "public": one_connection(request("/public/com.acme/messages"))}),
        ({"access": "true"}, {"authenticated-with-access-log": authenticated}),
        ({"tables": LIMIT, "limit": 'limit = "client"'}, {"authenticated-with-limit": authenticated}),
        ({"server": HEADER_RULES, "tables": CORS}, {"authenticated-with-cors-and-header-rules": from_page}),
        ({"server": TRUSTED_PROXIES}, {"authenticated-behind-a-proxy": behind_proxy}),
        ({}, {"authenticated-with-1-kib": call}),
        ({"routes": MCP}, {"authenticated-mcp-call-of-1-kib": call}),
        ({}, {"a-connection-for-each": connection_for_each(request(path, token, close=True))}),
        ({}, {"a-new-token-for-each": one_connection(*new)}),
        ({"tables": TLS}, {"http2-over-tls": http2_over_tls(path, token)}),
    ]
    gateways = [(functools.partial(Gateway, gateway, folder, upstream, settings), clients) for settings, clients in gateways]
    bare = [(functools.partial(BareHyper, folder, upstream, name), {name: authenticated}) for name in BARE_HYPER]
    return gateways + bare


# A client is a function: it connects to a server, and returns what sends a number of requests and reads their responses.


def one_connection(*requests):
    """Sends the requests in turn over one connection."""

    def connect(server):
        connection, remaining = server.connect(), itertools.cycle(requests)

        def send(times):
            for request in itertools.islice(remaining, times):
                exchange(connection, request)

        return send

    return connect


def connection_for_each(request):
    """Sends the request over a new connection each time, and reads until the server closes it."""

    def connect(server):
        def send(times):
            for _ in range(times):
                with server.connect() as connection:
                    exchange(connection, request)
                    if connection.recv(1):
                        sys.exit("expected the end of the connection, but found more")

        return send

    return connect


def http2_over_tls(path, token):
    """Sends the request over HTTP/2 on one connection."""
    def connect(server):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        client = Http2Client(context.wrap_socket(server.connect(server.tls_port)))
        fields = {"accept": "*/*", "authorization": f"Bearer {token}"}

        def send(times):
            for _ in range(times):
                client.get(path, fields)

        return send

    return connect


def exchange(connection, request):
    connection.sendall(request)
    response = read_message(connection)
    if not response.startswith(b"HTTP/1.1 200"):
        sys.exit(f"expected 200, but found {response!r}")


class Server:
    """A server that runs in a tool that counts, stopped at the end of the block."""

    def __init__(self, folder, tool):
        self.folder, self.tool, (self.port, self.tls_port, self.other_port) = folder, tool, free_ports(3)

    def __enter__(self):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([*self.tool, *self.command()], stdout=log, stderr=log)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                self.connect().close()
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.__exit__()
                    sys.exit("the server does not listen:\n" + (self.folder / "log").read_text())
                time.sleep(0.1)

    def __exit__(self, *_):
        # valgrind becomes the server; strace is its parent, and ends with it.
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        pids = [self.process.pid] if self.tool[0] == "valgrind" else list(map(int, children))
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def connect(self, port=None):
        return socket.create_connection(("127.0.0.1", port or self.port), timeout=TIMEOUT_SECONDS)


class Gateway(Server):
    """The gateway, with one worker."""

    def __init__(self, program, folder, upstream, settings, tool):
        super().__init__(folder, tool)
        self.program = program
        known = {"issuer": ISSUER, "audience": AUDIENCE, "scope": SCOPE, "upstream": upstream}
        settings = {"access": "false", "server": "", "tables": "", "routes": "", "limit": ""} | settings
        text = CONFIGURATION.format(port=self.port, **settings, **known)
        (folder / "gateway.toml").write_text(text.replace("SCOPE", SCOPE).replace("TLS_PORT", str(self.tls_port)))

    def command(self):
        return [self.program, "--config", self.folder / "gateway.toml"]


class BareHyper(Server):
    """benches/hyper, which only forwards."""

    def __init__(self, folder, upstream, name, tool):
        super().__init__(folder, tool)
        self.profile, self.upstream = BARE_HYPER[name], upstream

    def command(self):
        return [ROOT / f"target/{self.profile}/bare-hyper", str(self.port), f"127.0.0.1:{self.upstream}"]


class Nginx(Server):
    """Bare nginx, as `compare` runs it."""

    def __init__(self, folder, upstream, tool):
        super().__init__(folder, tool)
        known = {"folder": folder, "upstream": upstream, "plain": self.port, "tls": self.tls_port, "h2c": self.other_port}
        known.update(certificate=folder / "cert.pem", key=folder / "key.pem", routes="")
        (folder / "nginx.conf").write_text(filled(COMPARE / "nginx.conf", known))

    def command(self):
        return ["nginx", "-c", self.folder / "nginx.conf"]


def serve_upstream():
    """Serves 256 bytes for every request, and returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    response = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 256\r\n\r\n" + b"x" * 256

    def serve(connection):
        while read_message(connection):
            connection.sendall(response)

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def read_message(connection):
    """The next message with its body; empty at the end of the connection."""
    message = b""
    while True:
        head, end, body = message.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if end and len(body) >= (int(length[1]) if length else 0):
            return message
        part = connection.recv(65536)
        if not part:
            return b""
        message += part
