"""What a client goes through with a gateway in front of an API, and what must never pass."""

import collections
import re
import sys
import traceback

import bed

# `file` is the issuer of a file of the page, and `edit` what this kind changes in it. A server with JWTs that the gateway
# verifies by keys alone cannot end a token early (`is_revocable`) and needs no server to be up (`has_keys`).
Kind = collections.namedtuple("Kind", "name title file edit is_short has_keys is_revocable")

CHECKS = ["no token", "garbage", "scope", "good", "explain", "wildcard", "audience", "forged"]
CHECKS += ["expired", "revoked", "new key", "old key", "keys kept", "server down", "log"]

CHALLENGE = "401 Bearer"
INVALID = '401 Bearer error="invalid_token"'
INSUFFICIENT = '403 Bearer error="insufficient_scope", scope="orders.read"'
UNAVAILABLE = "503 Retry-After"

ORDER = "/orders/1"


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def skip(self, name, reason):
        print(f"SKIPPED: {name}: {reason}", file=sys.stderr, flush=True)
        self.skipped += 1

    def print_table(self, kinds, results):
        width = max(len(kind.title) for kind in kinds)
        print(" " * width, *(f"{check:11}" for check in CHECKS))
        for kind in kinds:
            found = (results.get((kind.name, check), "-") for check in CHECKS)
            print(f"{kind.title:{width}}", *(f"{result:11}" for result in found))
        values = list(results.values())
        self.passed += values.count("ok")
        self.failed += values.count("FAILED")


def run(server, on, is_short, tally):
    server.start(on.processes)
    kinds = [kind for kind in server.kinds if kind.is_short or not is_short]
    results = {}
    missions = [Mission(server, on, kind, results) for kind in kinds]
    print(f"{server.version()}, {on.version()}", flush=True)

    # Each step for all kinds, so that they share the waits for expiry and for caches.
    def take(*steps):
        for step in steps:
            for mission in missions:
                mission.take(step)

    take(Mission.challenges, Mission.permits, Mission.refusals, Mission.shorten, Mission.expiry, Mission.revocation)
    if server.can_rotate:
        take(Mission.before_rotation)
        server.rotate()
        take(Mission.after_rotation)
    take(Mission.before_server_down)
    on.processes.kill(server.process)
    take(Mission.server_down, Mission.log)
    hits = sum(gateway.permitted for mission in missions for gateway in mission.gateways)
    tally.print_table(kinds, results)
    if on.upstream.hits == hits:
        tally.passed += 1
        print(f"The upstream saw the {hits} permitted requests and no other.", flush=True)
    else:
        tally.failed += 1
        print(f"FAILED: expected {hits} requests at the upstream, but found {on.upstream.hits}", file=sys.stderr)


class Mission:
    """One kind of token, with a gateway that accepts no other kind."""

    def __init__(self, server, on, kind, results):
        self.server = server
        self.on = on
        self.kind = kind
        self.results = results
        self.tokens = []
        self.gateways = [self.new_gateway(kind.name)]
        self.gateway = self.gateways[0]

    def new_gateway(self, name):
        return self.on.gateway(name, self.kind, self.server.url)

    def take(self, step):
        try:
            step(self)
        except Exception:
            traceback.print_exc()
            self.note(step.__name__, False, "an exception")

    def token(self, scope, client="app", api=bed.API):
        token = self.server.token(self.kind, client, scope, api)
        self.tokens.append(token)
        return token

    def note(self, check, is_good, found):
        key = (self.kind.name, check)
        if is_good:
            self.results.setdefault(key, "ok")
        else:
            self.results[key] = "FAILED"
            print(f"FAILED: {self.kind.title}: {check}: {found}", file=sys.stderr, flush=True)

    def expect(self, check, expected, path=ORDER, token=None, gateway=None):
        found = (gateway or self.gateway).respond(path, token)
        self.note(check, found == expected, f"expected {expected}, but found {found}")

    def await_refusal(self, check, token):
        """A token that passes now is refused soon, and with no other response in between."""

        def refused():
            found = self.gateway.respond(ORDER, token)
            return None if found == "200" else found

        try:
            found = bed.wait_for("a refusal", 8, refused)
        except AssertionError as error:
            found = str(error)
        self.note(check, found == INVALID, f"expected {INVALID}, but found {found}")

    def challenges(self):
        self.expect("no token", CHALLENGE)
        # A gateway serves before it has metadata and keys. Until then it responds with 503.
        lesser = self.token(self.server.lesser_scope)

        def ready():
            return None if self.gateway.respond(ORDER, lesser).startswith("503") else True

        bed.wait_for("keys or an introspection endpoint", 15, ready)
        header = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9"
        for garbage in ["garbage", f"{header}.e30.AAAA", f"{header}.e30.", f"{header}..", "a.b.c"]:
            self.expect("garbage", INVALID, token=garbage)

    def permits(self):
        lesser = self.token(self.server.lesser_scope)
        self.expect("scope", INSUFFICIENT, token=lesser)
        # The client reads what it lacks, and requests just that.
        challenge = self.gateway.respond(ORDER, lesser)
        named = re.search('scope="([^"]*)"', challenge)
        scope = named.group(1) if named else "orders.read"
        good = self.token(scope)
        self.expect("good", "200", token=good)
        self.expect("good", "200", token=good)
        self.expect("good", "200", token=self.token("orders.read orders.write"))
        code, output = self.gateway.explain(ORDER, good)
        self.note("explain", code == 0, f"expected exit code 0, but found {code}:\n{output}")
        wildcard = self.token("push.application.*")
        self.expect("wildcard", "200", "/apps/com.acme", wildcard)
        self.expect("wildcard", INSUFFICIENT, token=wildcard)

    def refusals(self):
        if self.server.has_audiences(self.kind):
            self.expect("audience", INVALID, token=self.token("orders.read", api=bed.OTHER_API))
        good = self.token("orders.read")
        if good.count(".") == 2 and self.kind.has_keys:
            # The claims of one token with the signature of another.
            other = self.token("orders.read orders.write")
            self.expect("forged", INVALID, token=f"{good.rpartition('.')[0]}.{other.rpartition('.')[2]}")
            self.expect("forged", INVALID, token=f"{good.rpartition('.')[0]}.")
        else:
            self.expect("forged", INVALID, token=good.swapcase())

    def shorten(self):
        """Tokens that end early, used once while they are valid."""
        self.short_lived = self.token("orders.read", client="hasty")
        self.expect("expired", "200", token=self.short_lived)
        if self.kind.is_revocable:
            self.revoked = self.token("orders.read")
            self.expect("revoked", "200", token=self.revoked)
            self.server.revoke(self.kind, self.revoked)

    def expiry(self):
        self.await_refusal("expired", self.short_lived)

    def revocation(self):
        if self.kind.is_revocable:
            self.await_refusal("revoked", self.revoked)

    def before_rotation(self):
        """Tokens that are signed with the key that goes."""
        self.old = self.token("orders.read")
        self.expect("old key", "200", token=self.old)

    def after_rotation(self):
        """The server signs with a new key, which the gateway fetches when its first token comes."""
        self.expect("new key", "200", token=self.token("orders.read"))
        keeps_old = self.server.keeps_old_key or not self.kind.has_keys
        self.expect("old key", "200" if keeps_old else INVALID, token=self.old)

    def before_server_down(self):
        self.later = self.token("orders.read")

    def server_down(self):
        if not self.kind.has_keys or self.kind.is_revocable:
            self.expect("server down", UNAVAILABLE, token=self.later)
            return
        # A running gateway keeps its keys. One that starts now has none.
        self.expect("keys kept", "200", token=self.later)
        late = self.new_gateway(f"{self.kind.name}-late")
        self.gateways.append(late)
        self.expect("server down", UNAVAILABLE, token=self.later, gateway=late)
        self.expect("server down", CHALLENGE, gateway=late)

    def log(self):
        """Tokens and secrets are in no log."""
        for gateway in self.gateways:
            text = gateway.log()
            leaked = [secret for secret in [*self.tokens, bed.GATEWAY_SECRET] if secret in text]
            self.note("log", not leaked, f"found {len(leaked)} tokens or secrets in the log of {gateway.name}")
