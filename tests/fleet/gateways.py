"""A fleet of gateways, each a process of its own, their tokens, and clients that never stop sending."""

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import threading
import time

import bed

ISSUER = "https://id.example.com"
API = "https://api.example.com"
SECRET = "fleet-test-secret-of-an-issuer-that-nobody-else-has-0123456789-0123456789"
ADMIN_TOKEN = "fleet-test-admin"
KEY = "5a" * 32
BY_SECRET = f'shared_secret = "{SECRET}"\nalgorithms = "HS256"'

GATEWAY = """
[server]
listen = "127.0.0.1:0"
workers = 1
[log]
format = "json"
access = false
[admin]
listen = "127.0.0.1:0"
token = "{admin_token}"
[revocations]
file = "{name}.revocations"
max_entries = 2_000_000
[fleet]
redis = "{redis}"
key = "{key}"
prefix = "{prefix}"
stale_revocations = "{stale}"
max_revocation_age = "{max_age}s"
{fleet}
[issuers.corp]
issuer = "{issuer}"
audience = "{api}"
{verification}
[limits.standard]
requests = {rate}
per = "1s"
burst = {burst}
[upstreams.echo]
targets = "{upstream}"
[[routes]]
path = "/a"
upstream = "echo"
[[routes]]
path = "/limited"
limit = "standard"
upstream = "echo"
"""


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def claims(user):
    """All that a revocation may name is of this user alone."""
    now = int(time.time())
    return {"iss": ISSUER, "aud": API, "sub": f"sub-{user}", "client_id": f"client-{user}", "sid": f"sid-{user}", "jti": f"jti-{user}",
            "iat": now - 60, "exp": now + 3600}


def token(user):
    signed = b".".join(_base64(json.dumps(part).encode()) for part in [{"alg": "HS256", "typ": "at+jwt"}, claims(user)])
    return (signed + b"." + _base64(hmac.digest(SECRET.encode(), signed, "sha256"))).decode()


def digest(kind, value):
    """What identifies a revocation: see `Digest` in src/revocation."""
    context = hashlib.sha256()
    for part in [b"scopegate revocation 1", ISSUER.encode(), kind.encode(), value.encode()]:
        context.update(len(part).to_bytes(8, "big") + part)
    return context.digest()[:16]


class Echo(threading.Thread):
    """An upstream that responds to everything alike, cheaply."""

    RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        received = b""
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(65536):
                received += data
                while (end := received.find(b"\r\n\r\n")) >= 0:
                    received = received[end + 4:]
                    connection.sendall(self.RESPONSE)
        except OSError:
            pass


class Connection:
    """One connection of a client, which is kept."""

    def __init__(self, address):
        host, _, port = address.partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def status(self, path, bearer):
        """The status of one request."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive()
        length = re.search(rb"\r\ncontent-length: *(\d+)", received[:end], re.I)
        rest = end + 4 + (int(length[1]) if length else 0) - len(received)
        while rest > 0:
            rest -= len(self._receive())
        return int(received[9:12])

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the gateway has closed the connection")
        return data


class Gateway:
    def __init__(self, processes, program, name, text):
        self.processes, self.name = processes, name
        path = f"{processes.folder}/{name}.toml"
        with open(path, "w") as file:
            file.write(text)
        self.started = time.monotonic()
        processes.start(name, [program, "run", "--config", path])

    def wait_until_listening(self):
        address = r'"message":"%s","address":"([^"]*)"'
        printed = lambda text: re.search(address % "listening", text) and re.search(address % "admin listening", text)
        self.admin = self.processes.wait_for(self.name, "its addresses", printed)[1]
        self.address = re.search(address % "listening", self.log())[1]
        return self

    def log(self):
        return self.processes.output(self.name)

    def messages(self, start=0):
        """The messages of the log from this byte on, with what belongs to them."""
        lines = self.log()[start:].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def has_logged(self, message, start=0):
        return any(line["message"] == message for line in self.messages(start))

    def is_ready(self):
        return bed.call("GET", f"http://{self.admin}/readyz").status == 200

    def metrics(self):
        lines = bed.call("GET", f"http://{self.admin}/metrics").body.splitlines()
        samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
        return {name.removesuffix("{}"): float(value) for name, _, value in samples}

    def suspects(self):
        """Messages that were not sealed by the fleet, repeated, reordered or missing."""
        return sum(value for name, value in self.metrics().items() if name.startswith("scopegate_fleet_messages_suspect_total"))

    def entries(self):
        return int(self.metrics()["scopegate_revocation_entries"])

    def resident(self):
        """Resident memory in MB."""
        with open(f"/proc/{self.processes.running[self.name].pid}/status") as file:
            return int(re.search(r"VmRSS:\s*(\d+)", file.read())[1]) / 1024

    def status(self, bearer, path="/a"):
        connection = Connection(self.address)
        try:
            return connection.status(path, bearer)
        finally:
            connection.close()

    def revoke(self, **selector):
        """Revokes, and returns when that was confirmed."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        response = bed.call("POST", f"http://{self.admin}/revocations", body={"issuer": ISSUER, **selector}, headers=headers)
        now = time.monotonic()
        assert response.status == 204, f"expected 204 to a revocation, but found {response}"
        return now

    def is_up_to_date(self, since):
        """Whether it says so everywhere: readiness, metrics, requests."""
        metrics = self.metrics()
        # In whole seconds.
        heard = metrics.get("scopegate_fleet_last_heard_timestamp_seconds", -1)
        return self.is_ready() and metrics["scopegate_fleet_revocations_stale"] == 0 and heard >= since


class Fleet:
    """Gateways that share everything. `stale` has what each of them does when it has not heard the others."""

    def __init__(self, processes, program, upstream, urls, stale, prefix="fleet:", **settings):
        self.processes, self.program = processes, program
        self.settings = {"admin_token": ADMIN_TOKEN, "key": KEY, "issuer": ISSUER, "api": API, "verification": BY_SECRET, "upstream": upstream.url,
                         "prefix": prefix, "fleet": "", "max_age": 2, "rate": 100, "burst": 100, **settings}
        self.prefix, self.max_age = prefix, self.settings["max_age"]
        self.stream, self.heartbeats = f"{prefix}{{fleet}}:revocations", f"{prefix}{{fleet}}:heartbeats"
        self.launched = 0
        starting = [self.launch(url, policy) for url, policy in zip(urls, stale)]
        self.gateways = [gateway.wait_until_listening() for gateway in starting]

    def launch(self, url, stale, revocations=None):
        """Starts one more gateway, which has this file of revocations."""
        self.launched += 1
        name = f"{self.prefix.strip(':').replace(':', '-')}-{self.launched}"
        if revocations:
            os.rename(revocations, f"{self.processes.folder}/{name}.revocations")
        text = GATEWAY.format(name=name, redis=url, stale=stale, **self.settings)
        return Gateway(self.processes, self.program, name, text)

    def wait_until_up_to_date(self, since=0, seconds=20):
        """How long that took."""
        started = time.monotonic()
        all_are = lambda: all(gateway.is_up_to_date(since) for gateway in self.gateways) or None
        bed.wait_for("all gateways to be up to date", seconds, all_are)
        return time.monotonic() - started

    def wait_for_peers(self):
        peers = lambda gateway: gateway.metrics()["scopegate_fleet_peers"]
        all_hear = lambda: all(peers(gateway) == len(self.gateways) - 1 for gateway in self.gateways) or None
        bed.wait_for("all gateways to hear each other", 20, all_hear)

    def statuses(self, bearer, path, duration, pause):
        """The statuses of one client of each gateway, which sends a request after each pause."""
        statuses, end = [], time.monotonic() + duration

        def send(gateway):
            connection = Connection(gateway.address)
            while time.monotonic() < end:
                statuses.append(connection.status(path, bearer))
                time.sleep(pause)
            connection.close()

        threads = [threading.Thread(target=send, args=[gateway]) for gateway in self.gateways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return statuses

    def positions(self):
        """Where the logs end now."""
        return [len(gateway.log()) for gateway in self.gateways]

    def end(self, gateway):
        self.processes.kill(gateway.name)


class Watch(threading.Thread):
    """A client of one gateway that sends some hundred requests a second, and remembers the responses.

    Of its users one is never revoked. Those who are `watched` are in each round, and of the `revoked` ones the next.
    """

    PAUSE = 0.005
    GOOD = "good"

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.tokens = {self.GOOD: token(self.GOOD)}
        self.watched, self.revoked = [], []
        # By user: when a request was sent, when its response came, and the status.
        self.seen = {self.GOOD: []}
        self.failure = None
        self.is_stopped = False
        self.start()

    def run(self):
        connection = Connection(self.gateway.address)
        try:
            turn = 0
            while not self.is_stopped:
                turn += 1
                old = [self.revoked[turn % len(self.revoked)]] if self.revoked else []
                for user in [self.GOOD, *self.watched, *old]:
                    sent = time.monotonic()
                    status = connection.status("/a", self.tokens[user])
                    self.seen.setdefault(user, []).append((sent, time.monotonic(), status))
                time.sleep(self.PAUSE)
        except Exception as error:
            self.failure = error
        finally:
            connection.close()

    def stop(self):
        self.is_stopped = True
        self.join(70)
        assert self.failure is None, f"expected responses of {self.gateway.name}, but found {self.failure!r}"

    def of(self, user, status, since=0.0):
        """When requests of this user were sent and received that got this status."""
        return [(sent, received) for sent, received, found in self.seen.get(user, []) if found == status and sent >= since]


class Clients:
    """One client for each gateway, and what they found in the end."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.watches = [Watch(gateway) for gateway in fleet.gateways]
        self.revoked_at = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watch in self.watches:
            watch.stop()

    def admit(self, user):
        """Sends the tokens of a user, and waits until every gateway has admitted one: they are in all caches."""
        bearer = token(user)
        for watch in self.watches:
            watch.tokens[user] = bearer
            watch.watched = [*watch.watched, user]
        self.wait_for(user, 200)
        return bearer

    def revoke(self, user, gateway, **selector):
        """Revokes at one gateway."""
        self.revoked_at[user] = (gateway.revoke(**(selector or {"sub": f"sub-{user}"})), gateway)

    def wait_for(self, user, status, seconds=10):
        since = time.monotonic()
        all_have = lambda: all(watch.of(user, status, since) for watch in self.watches) or None
        bed.wait_for(f"{status} for {user} from every gateway", seconds, all_have)

    def retire(self, user):
        """It is sent less often from now on."""
        for watch in self.watches:
            watch.watched = [name for name in watch.watched if name != user]
            watch.revoked = [*watch.revoked, user]

    def delays(self, *watches):
        """From the confirmation of each revocation to the last response that admitted it at one of these, or anywhere, in seconds."""
        delays = []
        for user, (at, _) in self.revoked_at.items():
            admitted = [received for watch in watches or self.watches for _, received in watch.of(user, 200)]
            delays.append(max(0.0, max(admitted) - at))
        return sorted(delays)

    def wrong(self):
        """Requests that were admitted after this gateway had refused one, or had confirmed the revocation."""
        return sum(len(watch.of(user, 200, since)) for watch in self.watches for user in self.revoked_at
                   for since in [self._refused_since(watch, user)])

    def _refused_since(self, watch, user):
        at, gateway = self.revoked_at[user]
        refused = [received for sent, received in watch.of(user, 401)]
        since = [*refused[:1], *([at] if gateway is watch.gateway else [])]
        return min(since, default=float("inf"))

    def statuses(self, *watches):
        """What the user got who was never revoked."""
        return {status for watch in watches or self.watches for _, _, status in watch.seen[Watch.GOOD]}

    def rate(self):
        """Responses a second, of all gateways."""
        seen = [entry for watch in self.watches for entries in watch.seen.values() for entry in entries]
        return len(seen) / (max(entry[1] for entry in seen) - min(entry[0] for entry in seen))
