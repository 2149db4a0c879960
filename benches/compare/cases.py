"""The cases: which requests are sent, and which products take part."""

import dataclasses

# scopegate as cargo builds it, and as benches/pgo builds it.
CURRENT = ["scopegate", "scopegate-pgo"]
# With another version, which may know fewer keys.
OURS = [*CURRENT, "scopegate-base"]
# Products that verify JWTs, those of them that support ES256, and those that cache introspection responses.
JWT = ["haproxy-jwt", "envoy-jwt", "apache-oidc", *OURS]
# hyper: the floor of a proxy that is built on it; hyper-unwinding: the same with the profile of scopegate's packages.
FLOOR = ["hyper", "hyper-unwinding"]
BARE = ["nginx", "haproxy", "envoy"]
ES256 = [name for name in JWT if name != "apache-oidc"]
OPAQUE = ["nginx", "nginx-auth", "apache-oidc", *OURS]
ALL = [*BARE, "haproxy-jwt", "envoy-jwt", "nginx-auth", "apache-oidc", *OURS]
# It has no TLS, no HTTP/2 and no files of its own.
PLAIN = [*BARE, *FLOOR, *ALL[len(BARE) :]]

# The tokens of the case `many`, used in turn, and the new tokens in each round of `new`.
MANY, NEW = 10_000, 3_000


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    about: str
    products: list
    # RS256, ES256, opaque, none or unscoped (it lacks the scope).
    token: str = "RS256"
    # 1, or MANY in turn, or 0: every token is new.
    tokens: int = 1
    # http1, https1, h2c or h2.
    protocol: str = "http1"
    path: str = "/apps/com.acme/messages"
    # The status from products that verify tokens; bare proxies give 200.
    status: int = 200
    connections: int = 64
    # Of HTTP/2, on each connection.
    streams: int = 4
    body: int = 0
    # The body calls a tool of an MCP server.
    calls_tool: bool = False
    closes: bool = False
    # Requests come at half of the rate that nginx reaches, so that no product is saturated.
    at_half_rate: bool = False
    # Additional routes; each number has a process of its own.
    routes: int = 0


CASES = [
    Case("hot", "one RS256 token", PLAIN),
    Case("half-rate", "one RS256 token, at half of the requests per second that nginx reaches", PLAIN, at_half_rate=True),
    Case("es256", "one ES256 token", ["nginx", *ES256], token="ES256"),
    Case("many", f"{MANY:,} RS256 tokens in turn", ["nginx", *JWT, "nginx-auth"], tokens=MANY),
    # Without nginx-auth: its stub verifies nothing.
    Case("new", f"each RS256 token for the first time, {NEW:,} in a round", ["nginx", *JWT], tokens=0),
    Case("new-es256", f"each ES256 token for the first time, {NEW:,} in a round", ["nginx", *ES256], "ES256", tokens=0),
    Case("introspected", "one opaque token whose introspection response is cached", OPAQUE, token="opaque"),
    Case("refused-401", "no token", ["nginx", *JWT, "nginx-auth"], token="none", status=401),
    Case("refused-403", "a token that lacks the scope", ["nginx", *JWT], token="unscoped", status=403),
    Case("connections-16", "one RS256 token", PLAIN, connections=16),
    Case("connections-512", "one RS256 token", PLAIN, connections=512),
    Case("closing", "one RS256 token, a connection for each request", PLAIN, closes=True),
    Case("tls", "one RS256 token, HTTP/1.1 over TLS", ALL, protocol="https1"),
    Case("tls-closing", "the same, a connection for each request", ALL, protocol="https1", closes=True),
    Case("h2c", "one RS256 token, HTTP/2 in the clear, 4 streams on each connection", ALL, protocol="h2c"),
    Case("h2", "one RS256 token, HTTP/2 over TLS, 4 streams on each connection", ALL, protocol="h2"),
    Case("response-1k", "responses of 1 KiB", ALL, path="/files/1k"),
    Case("response-1m", "responses of 1 MiB", ALL, path="/files/1m"),
    Case("upload-1k", "requests of 1 KiB", ALL, path="/files/upload", body=1 << 10),
    Case("upload-1m", "requests of 1 MiB", ALL, path="/files/upload", body=1 << 20),
    # What reading and judging a message costs is the difference between these two.
    Case("call-1k", "MCP calls of 1 KiB, to a plain route", OURS, path="/tools", body=1 << 10, calls_tool=True),
    Case("mcp-call-1k", "the same, to a route that judges them", CURRENT, path="/mcp", body=1 << 10, calls_tool=True),
    # Requests go to the middle route.
    *(
        Case(
            f"routes-{number}",
            f"one RS256 token, {number:,} routes, requests for the middle one",
            ["nginx", "haproxy-jwt", "envoy-jwt", *OURS],
            path=f"/service{number // 2}/apps/com.acme/messages",
            routes=number,
        )
        for number in (10, 1000)
    ),
]
