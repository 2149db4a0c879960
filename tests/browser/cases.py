"""What a page in a browser can do, and what it cannot."""

import json
import re
import time

import servers

# Cases that need one of these are skipped for a gateway that does not know it.
LATER_KEYS = ["token_from", "max_body_size"]
MEGABYTE = 1 << 20


def configuration(upstream, app, foreign, issuer_ports, keys, tls):
    listeners = f"""
[[listeners]]
address = "127.0.0.1:0"
tls = {{ certificates = [{{ certificate = "{tls[0]}", key = "{tls[1]}" }}] }}
""" if tls else ""
    routes = """
[[routes]]
path = "/socket/protocol"
scope = "read"
upstream = "up"
token_from = ["header", "websocket_protocol"]

[[routes]]
path = "/cookie/{*rest}"
scope = "read"
upstream = "up"
token_from = ["header", { cookie = "at", origins = ["APP"] }]
cors = { origins = "APP", credentials = true }
""" if "token_from" in keys else ""
    if "max_body_size" in keys:
        routes += """
[[routes]]
path = "/upload/small"
scope = "read"
upstream = "up"
max_body_size = "10MiB"

[[routes]]
path = "/upload/large"
scope = "read"
upstream = "up"
max_body_size = "256MiB"
"""
    return f"""
[server]
listen = "127.0.0.1:0"
workers = 2
{listeners}
[log]
format = "json"

[development]
listen = "127.0.0.1:{issuer_ports[0]}"
echo = "127.0.0.1:{issuer_ports[1]}"

[cors]
origins = "{app}"

[issuers.development]
issuer = "http://127.0.0.1:{issuer_ports[0]}"
audience = "scopegate-development"

[upstreams.up]
targets = "{upstream}"

# Nothing listens there.
[upstreams.down]
targets = "http://127.0.0.1:1"

[[routes]]
path = "/things"
methods = ["GET", "PUT"]
scope = "read"
upstream = "up"

[[routes]]
path = "/orders"
scope = "orders.write"
upstream = "up"

[[routes]]
path = "/public"
public = true
upstream = "up"

[[routes]]
path = "/down"
public = true
upstream = "down"

[[routes]]
path = "/events"
scope = "read"
upstream = "up"

[[routes]]
path = "/partner"
scope = "read"
upstream = "up"
cors = {{ origins = "{foreign}", headers = "*" }}

# A page of the gateway's own origin.
[[routes]]
path = "/page"
public = true
upstream = "up"
{routes.replace("APP", app)}"""


class Bed:
    """The gateway under one of its URLs, and pages that use it."""

    def __init__(self, browser, gateway, scheme, upstream, app, foreign):
        self.browser = browser
        self.gateway = gateway.urls[scheme]
        self.events_of_gateway = gateway.events
        self.upstream = upstream
        self.origins = {"app": app.origin, "foreign": foreign.origin}
        self.token_endpoint = app.token_endpoint

    def page(self, owner, path="/"):
        return self.browser.page(self.origins.get(owner, owner) + path)

    def token(self, scope="read"):
        return servers.token(self.token_endpoint, scope)

    def ask(self, page, path, token=None, **options):
        """What the script of a page sees of one request."""
        if token:
            options["headers"] = {"Authorization": f"Bearer {token}", **options.get("headers", {})}
        return page.run("ask(url, options)", url=self.gateway + path, options=options)

    def socket(self, page, path, protocols):
        url = self.gateway.replace("http", "ws", 1) + path
        return page.run("socket(url, protocols)", url=url, protocols=protocols)

    def events(self, page, path):
        return page.run("events(url, { withCredentials: true })", url=self.gateway + path)

    def requests(self):
        """Method and path of each request that the upstream received."""
        return [(method, path) for method, path, _ in self.upstream.received]

    def preflights(self):
        """How many preflights the gateway logged."""
        return sum(event.get("method") == "OPTIONS" for event in self.events_of_gateway())

    def refusals(self, reason):
        """How many requests the gateway refused for this reason."""
        return sum(event.get("reason") == reason for event in self.events_of_gateway())

    def refused_origins(self):
        return self.refusals("origin_not_allowed")


def wait_until(claim, is_true):
    end = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < end, f"expected that {claim}"
        time.sleep(0.02)


def equal(found, expected, what=""):
    assert found == expected, f"{what}expected {expected!r}, but found {found!r}"

FAILED = {"failed": "TypeError"}


def fetch_with_a_preflight(bed):
    page = bed.page("app")
    logged = bed.preflights()
    response = bed.ask(page, "/things", bed.token())
    equal(response["status"], 200)
    wait_until("the gateway logs the preflight", lambda: bed.preflights() == logged + 1)
    equal(bed.requests(), [("GET", "/things")], "at the upstream: ")
    # The upstream has CORS headers of its own; they would allow anyone, and expose X-Internal.
    equal(response["internal"], None, "X-Internal: ")
    equal(bed.ask(page, "/things", bed.token(), method="PUT", body="x")["status"], 200)


def script_reads_a_refusal_and_gets_the_scope_that_it_lacks(bed):
    page = bed.page("app")
    refused = bed.ask(page, "/orders")
    equal((refused["status"], refused["challenge"]), (401, "Bearer"))
    assert refused["request"], "X-Request-Id is not readable"
    invalid = bed.ask(page, "/orders", "x")
    equal((invalid["status"], invalid["challenge"]), (401, 'Bearer error="invalid_token"'))
    equal(bed.requests(), [], "at the upstream: ")
    # All in the page: read the scope from the challenge, get a token with it, and repeat the request.
    found = page.run("""(async () => {
        const first = await ask(url, bearer(await tokenFor('read')));
        const [, scope] = first.challenge.match(/scope="([^"]+)"/);
        const second = await ask(url, bearer(await tokenFor(scope)));
        return [first.status, scope, second.status];
    })()""", url=bed.gateway + "/orders")
    equal(found, [403, "orders.write", 200])


def script_reads_errors(bed):
    page = bed.page("app")
    # An endpoint that refuses connections is ejected for a while: 503.
    errors = [("/nowhere", "GET", [404]), ("/things", "POST", [405]), ("/down", "GET", [502, 503])]
    for path, method, statuses in errors:
        status = bed.ask(page, path, method=method).get("status")
        assert status in statuses, f"{path}: expected {statuses}, but found {status}"


def foreign_page_cannot(bed):
    token = bed.token()
    for owner, path in [("foreign", "/"), ("app", "/sandboxed")]:
        page = bed.page(owner, path)
        equal(bed.ask(page, "/things", token), FAILED, f"{path}: ")
        equal(bed.requests(), [], "at the upstream: ")
        # Without a preflight the request is processed, and the script cannot read the response.
        equal(bed.ask(page, "/public"), FAILED, f"{path}: ")
        equal(bed.requests(), [("GET", "/public")], "at the upstream: ")
        bed.upstream.received.clear()


def script_sends_only_methods_and_headers_that_are_allowed(bed):
    page = bed.page("app")
    token = bed.token()
    equal(bed.ask(page, "/things", token, method="DELETE"), FAILED)
    equal(bed.ask(page, "/things", token, headers={"X-Other": "x"}), FAILED)
    equal(bed.ask(page, "/things", token, credentials="include"), FAILED)
    equal(bed.requests(), [], "at the upstream: ")
    equal(bed.ask(page, "/things", token, headers={"Content-Type": "application/json"})["status"], 200)


def route_has_a_policy_of_its_own(bed):
    token = bed.token()
    equal(bed.ask(bed.page("app"), "/partner", token), FAILED)
    equal(bed.requests(), [], "at the upstream: ")
    partner = bed.page("foreign")
    equal(bed.ask(partner, "/partner", token, method="PUT", headers={"X-Other": "x"})["status"], 200)


def events_by_fetch(bed):
    page = bed.page("app")
    response = bed.ask(page, "/events", bed.token())
    equal((response["status"], response["text"]), (200, "data: event\n\n"))


def websocket_with_a_token_as_protocol(bed):
    token = bed.token()
    page = bed.page("app")
    path = "/socket/protocol"
    equal(bed.socket(page, path, ["bearer", token]), {"said": "hello", "protocol": "bearer"})
    equal(bed.socket(page, path, ["chat", "bearer", token]), {"said": "hello", "protocol": "chat"})
    kubernetes = "base64url.bearer.authorization.k8s.io." + servers.base64url(token)
    equal(bed.socket(page, path, ["chat", kubernetes]), {"said": "hello", "protocol": "chat"})
    for _, _, headers in bed.upstream.received:
        equal(headers.get("authorization"), f"Bearer {token}", "Authorization: ")
        protocols = headers.get("sec-websocket-protocol")
        assert protocols in (None, "chat"), f"a protocol with a token is forwarded: {protocols}"
    bed.upstream.received.clear()
    for protocols in [["bearer", bed.token("other")], ["bearer", "x"], ["chat"], [], [kubernetes]]:
        equal(bed.socket(page, path, protocols), {"failed": 1006}, f"{len(protocols)} protocols: ")
    equal(bed.requests(), [], "at the upstream: ")


def with_cookie(bed, owner, path="/"):
    """A page, in whose browser the cookie is set as a login would set it. Cookies know no ports."""
    page = bed.page(owner, path)
    page.run("{ document.cookie = `at=${token}; path=/`; document.cookie = 'other=1; path=/' }", token=bed.token())
    return page


def cookie_of_an_allowed_page(bed):
    page = with_cookie(bed, "app")
    response = bed.ask(page, "/cookie/a", credentials="include")
    equal(response.get("status"), 200)
    headers = json.loads(response["text"])["headers"]
    equal(headers.get("cookie"), "other=1", "Cookie at the upstream: ")
    assert headers.get("authorization", "").startswith("Bearer ey"), "the token is not forwarded"
    posted = bed.ask(page, "/cookie/a", credentials="include", method="POST", body="x")
    equal(posted.get("status"), 200)
    equal(bed.ask(page, "/cookie/a", bed.token(), credentials="include").get("status"), 400, "two sources: ")
    equal(bed.ask(page, "/cookie/a", credentials="omit").get("status"), 401, "without the cookie: ")


def cookie_of_a_foreign_page(bed):
    page = with_cookie(bed, "foreign")
    refused = bed.refused_origins()
    equal(bed.ask(page, "/cookie/a", credentials="include"), FAILED)
    # A form needs no preflight, and no right to read the response.
    sent = bed.ask(page, "/cookie/a", credentials="include", mode="no-cors", method="POST", body="x")
    equal(sent.get("type"), "opaque")
    equal(bed.socket(page, "/cookie/socket", []), {"failed": 1006})
    equal(bed.events(page, "/cookie/events"), {"failed": 2})
    # The browser sent the cookie each time.
    wait_until("the gateway refuses four origins", lambda: bed.refused_origins() == refused + 4)
    equal(bed.requests(), [], "at the upstream: ")


def cookie_of_a_page_of_the_gateway(bed):
    page = with_cookie(bed, bed.gateway, "/page")
    bed.upstream.received.clear()
    equal(bed.ask(page, "/cookie/a").get("status"), 200)
    equal(bed.requests(), [("GET", "/cookie/a")], "at the upstream: ")


def websocket_and_events_by_cookie(bed):
    page = with_cookie(bed, "app")
    equal(bed.socket(page, "/cookie/socket", []), {"said": "hello", "protocol": ""})
    equal(bed.events(page, "/cookie/events"), {"said": "event"})


def upload_within_the_limit(bed):
    page = bed.page("app")
    response = page.run("upload(200, options)", options={"url": bed.gateway + "/upload/large", **bearer(bed.token())})
    equal(response.get("status"), 200)
    equal(json.loads(response["text"])["size"], 200 * MEGABYTE)


def upload_above_the_limit(bed):
    page = bed.page("app")
    response = page.run("upload(200, options)", options={"url": bed.gateway + "/upload/small", **bearer(bed.token())})
    equal(response.get("status"), 413)
    equal(bed.requests(), [], "at the upstream: ")


def client_in_a_page_gets_a_token_by_code(bed):
    """Only this page and the browser take part: metadata, registration, consent by keyboard, and the token."""
    issuer = bed.token_endpoint.removesuffix("/token")
    page = bed.page("app")
    started = page.run("""(async () => {
        const found = await (await fetch(issuer + '/.well-known/oauth-authorization-server')).json();
        const body = JSON.stringify({ redirect_uris: [location.href], token_endpoint_auth_method: 'none' });
        const headers = { 'Content-Type': 'application/json', 'MCP-Protocol-Version': '2025-11-25' };
        const client = await (await fetch(found.registration_endpoint, { method: 'POST', headers, body })).json();
        const challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
        return [client.client_id, found.authorization_endpoint + '?' + new URLSearchParams({
            response_type: 'code', client_id: client.client_id, redirect_uri: location.href, scope: 'read', state: 's',
            code_challenge: challenge, code_challenge_method: 'S256' })];
    })()""", issuer=issuer)
    client, address = started
    page.open(address)
    # Its policy lets its own style through.
    assert page.run("parseFloat(getComputedStyle(document.querySelector('button')).minHeight) > 40"), "no style"
    equal(page.run("document.querySelectorAll('button, a, input:not([type=hidden])').length"), 1, "controls: ")
    equal(page.run("document.activeElement.tagName"), "BODY", "focus: ")
    for key in ["Tab", "Enter"]:
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        page.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        page.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)
    own = bed.origins["app"] + "/"
    wait_until("the browser returns to the client", lambda: page.run("location.href").startswith(own))
    wait_until("its page loads", lambda: page.run("typeof ask === 'function'"))
    equal(page.run("new URLSearchParams(location.search).get('state')"), "s")
    equal(page.run("new URLSearchParams(location.search).get('iss')"), issuer)
    response = page.run("""(async () => {
        const body = new URLSearchParams({ grant_type: 'authorization_code', client_id, redirect_uri: own,
            code: new URLSearchParams(location.search).get('code'),
            code_verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk' });
        const response = await fetch(issuer + '/token', { method: 'POST', body });
        const { access_token } = await response.json();
        return ask(url, bearer(access_token));
    })()""", issuer=issuer, client_id=client, own=own, url=bed.gateway + "/things")
    equal(response.get("status"), 200)


def stream_within_the_limit(bed):
    page = bed.page("app")
    response = page.run("stream(200, options)", options={"url": bed.gateway + "/upload/large", **bearer(bed.token())})
    equal(response.get("status"), 200)
    seen = json.loads(response["text"])
    equal((seen["size"], seen["headers"].get("content-length")), (200 * MEGABYTE, None))


def stream_above_the_limit(bed):
    page = bed.page("app")
    refused = bed.refusals("body_too_large")
    response = page.run("stream(200, options)", options={"url": bed.gateway + "/upload/small", **bearer(bed.token())})
    equal(response.get("status"), 413)
    wait_until("the gateway logs the limit", lambda: bed.refusals("body_too_large") == refused + 1)
    # The upstream had a part of the body, and never its end.
    wait_until("the upstream sees the request broken off", lambda: bed.upstream.aborted == 1)
    equal(bed.requests(), [("POST", "/upload/small")], "at the upstream: ")


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


def log_holds_no_token(log):
    assert not re.search(r"eyJ[\w-]+\.", log), "a token is in the log"


CASES = [
    ("a page of an allowed origin fetches with a preflight", fetch_with_a_preflight, None),
    ("a script reads 401 and 403, gets the scope that it lacks, and succeeds",
     script_reads_a_refusal_and_gets_the_scope_that_it_lacks, None),
    ("a script reads errors", script_reads_errors, None),
    ("a page of a foreign origin or none cannot", foreign_page_cannot, None),
    ("a script sends only methods and headers that are allowed",
     script_sends_only_methods_and_headers_that_are_allowed, None),
    ("a route has a policy of its own", route_has_a_policy_of_its_own, None),
    ("a script reads server-sent events by fetch", events_by_fetch, None),
    ("a WebSocket has the token as protocol", websocket_with_a_token_as_protocol, "token_from"),
    ("a cookie of an allowed page is a token", cookie_of_an_allowed_page, "token_from"),
    ("a cookie of a foreign page is refused", cookie_of_a_foreign_page, "token_from"),
    ("a cookie of a page of the gateway's own origin is a token", cookie_of_a_page_of_the_gateway, "token_from"),
    ("a WebSocket and an EventSource have the cookie", websocket_and_events_by_cookie, "token_from"),
    ("a client in a page gets a token by code", client_in_a_page_gets_a_token_by_code, None),
    ("an upload of 200 MB passes a limit above it", upload_within_the_limit, "max_body_size"),
    ("an upload of 200 MB is refused by a limit below it", upload_above_the_limit, "max_body_size"),
    ("a stream of 200 MB passes a limit above it", stream_within_the_limit, "max_body_size"),
    ("a stream of 200 MB is cut off at a limit below it", stream_above_the_limit, "max_body_size"),
]

# The pages are http. A gateway with https is another site, and this Chromium sends no cookies to other sites.
HTTP_ONLY = [cookie_of_an_allowed_page, cookie_of_a_foreign_page, websocket_and_events_by_cookie]

# Browsers stream the body of a request over HTTP/2 alone, which they use with TLS only.
HTTPS_ONLY = [stream_within_the_limit, stream_above_the_limit]


def is_for(scheme, case):
    return case not in (HTTPS_ONLY if scheme == "http" else HTTP_ONLY)
