"""What every server needs: processes, an upstream that counts, gateways with a file of the documentation, HTTP."""

import base64
import collections
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(ROOT, "docs", "issuers", "other-servers.md")

# The API that tokens are for, as the files of the page have it, and another.
API = "https://api.example.com"
OTHER_API = "https://other.example.com"
# What is special in Basic credentials or in a URL, so that a server decodes it exactly as the gateway encodes it.
GATEWAY_SECRET = "gateway-Secr3t!+%/~:"


class Missing(Exception):
    """A tool that a server needs is not there."""


def wait_for(what, seconds, attempt):
    """Returns the first result of `attempt` that is not None."""
    end = time.monotonic() + seconds
    while True:
        found = attempt()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"expected {what} within {seconds} s")
        time.sleep(0.05)


def free_port():
    """A port that nobody uses now, for servers that cannot pick one."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


def tool(name, package):
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is missing ({package})")
    return path


def installation(command, folder=None):
    """Runs one step of an installation."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        output = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise Missing(f"{' '.join(command[:3])} fails: {output[-1] if output else error}") from error


def is_current(folder, *sources):
    """Whether `folder` was installed from these files. If not, it is removed, and `mark` ends the installation."""
    if os.path.exists(os.path.join(folder, ".installed")):
        with open(os.path.join(folder, ".installed")) as stamp:
            if stamp.read() == _digest(sources):
                return True
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return False


def mark(folder, *sources):
    with open(os.path.join(folder, ".installed"), "w") as stamp:
        stamp.write(_digest(sources))


def _digest(sources):
    digest = hashlib.sha256()
    for source in sources:
        with open(source, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def python_environment(folder, requirements):
    """A virtual environment with these packages. No code of a package runs while it is installed."""
    if not is_current(folder, requirements):
        installation([sys.executable, "-m", "venv", folder])
        pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        installation([*pip, "--no-deps", "--requirement", requirements])
        mark(folder, requirements)
    return f"{folder}/bin/python"


def python_version(python, package):
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    run = subprocess.run([python, "-c", code, package], check=True, capture_output=True, text=True)
    return f"{package} {run.stdout.strip()}"


class Processes:
    """The processes of one server, with their output in a folder. They end with the `with` block."""

    def __init__(self, folder):
        self.folder = folder
        self.running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.terminate()
        for name in list(self.running):
            try:
                self.running[name].wait(5)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def start(self, name, command, environment=None):
        log = open(f"{self.folder}/{name}.log", "wb")
        self.running[name] = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(environment or {})}
        )

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def output(self, name):
        with open(f"{self.folder}/{name}.log", errors="replace") as file:
            return file.read()

    def wait_for(self, name, what, attempt):
        """Waits for what `attempt` finds in the output of a process."""

        def find():
            if self.running[name].poll() is not None:
                raise AssertionError(f"{name} ended with {self.running[name].returncode}:\n{self.output(name)[-4000:]}")
            return attempt(self.output(name))

        try:
            return wait_for(f"{name} to print {what}", 30, find)
        except AssertionError as error:
            raise SystemExit(f"{error}\n{self.output(name)[-4000:]}") from error

    def printed_address(self, name):
        """The address that a server prints once it listens."""
        match = self.wait_for(name, "its address", lambda text: re.search(r"^http://127\.0\.0\.1:\d+$", text, re.M))
        return match.group()


Response = collections.namedtuple("Response", "status headers body")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def call(method, url, form=None, body=None, basic=None, headers=None):
    """Sends one request. Errors of HTTP are responses like others."""
    headers = dict(headers or {})
    data = None
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    elif body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    if basic is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        response = _opener.open(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return Response(response.status, response.headers, response.read().decode(errors="replace"))


def access_token(url, basic, form):
    """Requests a token by client credentials."""
    response = call("POST", url, form={"grant_type": "client_credentials", **form}, basic=basic)
    try:
        return json.loads(response.body)["access_token"]
    except (ValueError, KeyError, TypeError) as error:
        raise AssertionError(f"expected a token of {url}, but found {response.status} {response.body}") from error


class Upstream(http.server.ThreadingHTTPServer):
    """Counts the requests that reach it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Echo)
        self.hits = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.hits += 1
        body = f"{self.command} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# A scope with a parameter and a wildcard is tested with every server; the page has no such route.
WILDCARD_ROUTE = """
[[routes]]
path = "/apps/{applicationId}"
scope = "push.application.{applicationId}"
upstream = "orders"

[log]
format = "json"
"""


def documented(name):
    """The complete file of the page with this issuer."""
    with open(PAGE) as page:
        blocks = re.findall(r"^```toml\n(.*?)^```", page.read(), re.M | re.S)
    found = [block for block in blocks if f"[issuers.{name}]" in block]
    assert len(found) == 1, f"expected one file with [issuers.{name}] in {PAGE}, but found {len(found)}"
    return found[0]


def replaced(text, old, new):
    assert text.count(old) >= 1, f"expected {old!r} in the file of the page, but found none:\n{text}"
    return text.replace(old, new)


class Bed:
    """Where gateways run: the built program, the processes, one upstream."""

    def __init__(self, program, processes):
        self.program = program
        self.processes = processes
        self.upstream = Upstream()

    def version(self):
        return subprocess.run([self.program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    def gateway(self, name, kind, server_url):
        """Starts a gateway with a file of the page: with the addresses of this run, no leeway, and short cache times."""
        file, has_keys = kind.file, kind.has_keys
        text = kind.edit(documented(file))
        text = replaced(text, "https://id.example.com", server_url)
        text = replaced(text, '"127.0.0.1:8080"', '"127.0.0.1:0"\nworkers = 1')
        text = replaced(text, "http://127.0.0.1:9000", self.upstream.url)
        short = 'leeway = "0s"\n'
        if has_keys:
            # Forged tokens start a fetch of the keys too, and the key that the server rotates to would have to wait.
            short += 'unknown_key_cooldown = "1s"\n'
        text = replaced(text, f"[issuers.{file}]\n", f"[issuers.{file}]\n{short}")
        introspection = f"[issuers.{file}.introspection]\n"
        text = text.replace(introspection, f'{introspection}cache_ttl = "1s"\nnegative_ttl = "1s"\n')
        path = f"{self.processes.folder}/{name}.toml"
        with open(path, "w") as configuration:
            configuration.write(text + WILDCARD_ROUTE)
        environment = {"GATEWAY_SECRET": GATEWAY_SECRET}
        self.processes.start(name, [self.program, "run", "--config", path], environment)
        listening = r'"message":"listening".*?"address":"([^"]*)"'
        found = self.processes.wait_for(name, "its address", lambda output: re.search(listening, output))
        return Gateway(self, name, path, f"http://{found.group(1)}")


class Gateway:
    def __init__(self, bed, name, path, url):
        self.bed = bed
        self.name = name
        self.path = path
        self.url = url
        self.permitted = 0

    def respond(self, path, token=None):
        """Status and challenge, and "Retry-After" if that header has a whole number of seconds."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = call("GET", self.url + path, headers=headers)
        self.permitted += response.status == 200
        parts = [str(response.status)]
        if "WWW-Authenticate" in response.headers:
            parts.append(response.headers["WWW-Authenticate"])
        if response.headers.get("Retry-After", "").isdigit():
            parts.append("Retry-After")
        return " ".join(parts)

    def explain(self, path, token):
        """The exit code of `scopegate explain` for the same request."""
        command = [self.bed.program, "explain", "GET", self.url + path, "--config", self.path, "--token", "-"]
        environment = {**os.environ, "GATEWAY_SECRET": GATEWAY_SECRET}
        run = subprocess.run(command, input=token, capture_output=True, text=True, env=environment)
        return run.returncode, run.stdout + run.stderr

    def log(self):
        return self.bed.processes.output(self.name)
