"""Requests to the authorization server for one opaque token that all gateways see."""

import http.server
import json
import threading
import time

from gateways import API, ISSUER

TTL = 5

BY_INTROSPECTION = """
validation = "introspection"
[issuers.corp.introspection]
endpoint = "{url}/introspect"
client_id = "gateway"
client_secret = "fleet-test-introspection"
cache_ttl = "{ttl}s"
"""


class AuthorizationServer(http.server.ThreadingHTTPServer):
    """Says that every token is active, after a while, and counts."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Introspection)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Introspection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(time.monotonic())
        time.sleep(0.02)
        now = int(time.time())
        body = json.dumps({"active": True, "iss": ISSUER, "aud": API, "sub": "sub-hot", "client_id": "client-hot", "token_type": "Bearer",
                           "iat": now - 60, "exp": now + 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def hot_token(bench):
    """All four gateways get the token at once, and from then on it is used all the time."""
    server, authorization_server = bench.server("hot").start(), AuthorizationServer()
    verification = BY_INTROSPECTION.format(url=authorization_server.url, ttl=TTL)
    fleet = bench.fleet([server.unix_url] * 4, ["open"] * 4, prefix="hot:", verification=verification)
    fleet.wait_for_peers()
    lives = 1 if bench.is_short else 6
    started = time.monotonic()
    statuses = fleet.statuses("hot-token-of-nobody-else", "/a", lives * TTL, 0.01)
    cold = [at for at in authorization_server.asked if at < started + 0.5]
    bench.check("hot token: a token that is new to all causes at most one request of each", True, len(cold) <= 4, f"{len(cold)} requests")
    warm = len(authorization_server.asked) - len(cold)
    # It is refreshed in the last fifth of its life, by one gateway.
    most = lives * 5 / 4 + 1
    figures = f"{warm} requests for {lives} times cache_ttl, {len(statuses)} uses"
    bench.check("hot token: once it is known, one gateway asks in each life of the entry", True, 1 <= warm <= most, figures)
    bench.check("hot token: it always passes", {200}, set(statuses))
