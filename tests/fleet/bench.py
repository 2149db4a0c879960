"""What the cases share: a bench, and four gateways under load in front of one server.

A case is a function that checks claims, one line each.
"""

import time

import bed
from gateways import Fleet
from redis_server import Server

# After the cause of a fault is gone, everything is as before within this time.
RECOVERY = 5.0
SELECTORS = ["sub", "client_id", "sid", "jti", "token"]


class Bench:
    """What the cases need: the built program, a server, processes, an upstream, and the form."""

    def __init__(self, program, server_program, processes, upstream, is_short, tally):
        self.program, self.server_program, self.processes, self.upstream = program, server_program, processes, upstream
        self.is_short, self.tally = is_short, tally

    def server(self, name, *settings):
        return Server(self.processes, self.server_program, name, *settings)

    def fleet(self, urls, stale, **settings):
        return Fleet(self.processes, self.program, self.upstream, urls, stale, **settings)

    def skip(self, what, reason):
        self.tally.skip(what, reason)

    def check(self, claim, expected, found, figures=""):
        self.tally.check(claim, expected, found, figures)


def seconds(duration):
    return f"{duration:.2f} s" if duration >= 1 else f"{duration * 1000:.0f} ms"


class Four:
    """Four gateways under load in front of one server. The first two refuse requests when they are stale."""

    CLOSED, OPEN = range(0, 2), range(2, 4)

    def __init__(self, bench):
        self.bench = bench
        self.server = bench.server("four").start()
        urls = [self.server.unix_url, self.server.url] * 2
        max_age = 2 if bench.is_short else 5
        self.fleet = bench.fleet(urls, ["closed"] * 2 + ["open"] * 2, prefix="four:", max_age=max_age, rate=1)
        self.gateways = self.fleet.gateways
        self.users = 0

    def user(self, what):
        self.users += 1
        return f"{what}-{self.users}"

    def revoke_one(self, clients, what, gateway=0, selector="sub"):
        """Revokes the tokens of a new user that every gateway admits."""
        user = self.user(what)
        bearer = clients.admit(user)
        value = bearer if selector == "token" else f"{selector.replace('client_id', 'client')}-{user}"
        clients.revoke(user, self.gateways[gateway], **{selector: value})
        return user

    def recovery(self, clients, users, started, positions=None):
        """How long after `started` all gateways are up to date again and refuse what was revoked."""
        bed.wait_for("all gateways to be up to date", 60, lambda: self._is_whole(clients, users, started, positions))
        return time.monotonic() - started

    def _is_whole(self, clients, users, started, positions):
        since = time.time() - (time.monotonic() - started)
        refuse = all(watch.of(user, 401, started) for watch in clients.watches for user in users)
        logged = all(gateway.has_logged("revocations of the fleet are up to date", position)
                     for gateway, position in zip(self.gateways, positions or []))
        return (refuse and logged and all(gateway.is_up_to_date(since) for gateway in self.gateways)) or None
