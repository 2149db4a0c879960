"""How much: the accuracy of limits, a million revocations, and what Redis holds of all that."""

import base64
import hashlib
import time

import bed
from bench import seconds
from gateways import API, ISSUER, digest, token
from redis_server import ReplyError, field


# What Redis holds.


def dump(bench, four):
    """Uses a limit first, so that there are buckets."""
    bearers = {user: token(user) for user in ["dumped-1", "dumped-2"]}
    for bearer in bearers.values():
        for gateway in four.gateways:
            gateway.status(bearer, "/limited")
    four.gateways[0].revoke(sub="sub-dumped-1")
    time.sleep(0.5)
    with four.server.client() as client:
        held = everything(client)
    secret = secret_things(bearers)
    found = [name for name, forms in secret.items() if any(form in held for form in forms)]
    bench.check("dump: Redis holds no token, claim value, subject or client id", [], found, f"{len(held)} bytes")
    bench.check("dump: it has revocations, heartbeats and buckets of limits", [True] * 3,
                [part in held for part in [b"}:revocations", b"}:heartbeats", b"}:limit:"]])


def everything(client):
    """All keys, and all values in each form in which they can be read."""
    parts, cursor = [], b"0"
    while True:
        cursor, keys = client.call("SCAN", cursor, "COUNT", 1000)
        for key in keys:
            parts += [key, client.call("DUMP", key) or b""]
            for command in [["GET", key], ["XRANGE", key, "-", "+"], ["XINFO", "STREAM", key, "FULL", "COUNT", "0"]]:
                try:
                    parts.append(repr_bytes(client.call(*command)))
                except ReplyError as error:
                    assert "WRONGTYPE" in str(error), error
        if cursor == b"0":
            return b"\n".join(parts)


def repr_bytes(reply):
    if isinstance(reply, list):
        return b"\n".join(repr_bytes(part) for part in reply)
    return reply if isinstance(reply, bytes) else str(reply).encode()


def secret_things(bearers):
    """What must not be in Redis, by name, in the forms in which it could be."""
    things = {"issuer": ISSUER.encode(), "audience": API.encode()}
    for user, bearer in bearers.items():
        things[f"token of {user}"] = bearer.encode()
        for index, part in enumerate(bearer.split(".")[1:]):
            things[f"part {index + 1} of the token of {user}"] = part.encode()
        for kind in ["sub", "client", "sid", "jti"]:
            things[f"{kind} of {user}"] = f"{kind}-{user}".encode()
        things[f"digest of {user}"] = digest("sub", f"sub-{user}")
    return {name: forms(thing) for name, thing in things.items()}


def forms(thing):
    return [thing, thing.hex().encode(), thing.hex().upper().encode(), base64.b64encode(thing).rstrip(b"="),
            base64.urlsafe_b64encode(thing).rstrip(b"=")]


# Limits.


def limit_accuracy(bench):
    server = bench.server("limits").start()
    duration = 2 if bench.is_short else 5
    for count in [4] if bench.is_short else [1, 2, 4]:
        # A busy machine must not count as a server that is away, when each gateway has its own part of the limit.
        fleet = bench.fleet([server.unix_url] * count, ["open"] * count, prefix=f"limits{count}:", rate=50, fleet='timeout = "2s"')
        fleet.wait_for_peers()
        # Two for the streams, one for limits and one for introspection responses.
        clients = lambda client: int(field(client.call("INFO", "clients"), "connected_clients"))
        server.wait_for("a connection for limits of each gateway", lambda client: clients(client) > 4 * count or None)
        admitted, refused, took = requests_admitted(fleet, f"limited-{count}", duration)
        allowed = 100 + 50 * took
        figures = f"{admitted} of {allowed:.0f} in {took:.1f} s, {refused} got 429"
        is_right = 0.9 <= admitted / allowed <= 1.05 and refused > 0
        bench.check(f"limits: {count} {'gateways admit' if count > 1 else 'gateway admits'} at most 5 % too much, and no less than 90 %", True, is_right, figures)
        for gateway in fleet.gateways:
            fleet.end(gateway)


def requests_admitted(fleet, user, duration):
    """More than twice what is allowed, by one client of each gateway."""
    started = time.monotonic()
    statuses = fleet.statuses(token(user), "/limited", duration, 0.004 * len(fleet.gateways))
    assert set(statuses) <= {200, 429}, f"expected 200 and 429, but found {set(statuses)}"
    return statuses.count(200), statuses.count(429), time.monotonic() - started


# Many revocations.


def many_revocations(bench):
    count = 5_000 if bench.is_short else 1_000_000
    server = bench.server("many").start()
    fleet = bench.fleet([], [], prefix="many:", max_age=5 if bench.is_short else 15)
    file = f"{bench.processes.folder}/many"
    write_revocations(file, count)
    first = fleet.launch(server.unix_url, "closed", file).wait_until_listening()
    read = time.monotonic() - first.started
    bed.wait_for("its revocations to be published", 120, lambda: first.has_logged("revocations published for the fleet") or None)
    published = time.monotonic() - first.started - read
    bed.wait_for("the first gateway to be ready", 60, lambda: first.is_ready() or None)
    second = fleet.launch(server.unix_url, "closed").wait_until_listening()
    bed.wait_for("the second gateway to be ready", 120, lambda: second.is_ready() or None)
    ready, entries = time.monotonic() - second.started, second.entries()
    bench.check(f"many: a gateway that starts has all {count} revocations when it is ready", count, entries, f"after {seconds(ready)}")
    users = [f"many-{index * (count // 50)}" for index in range(50)]
    found = {second.status(token(user)) for user in users} | {second.status(token("nobody"))}
    bench.check("many: it refuses the revoked tokens, and no others", {401, 200}, found)
    at = first.revoke(sub="sub-late")
    bed.wait_for("one more revocation", 10, lambda: second.entries() == count + 1 or None)
    took, held = time.monotonic() - at, int(field(server.call("INFO", "memory"), "used_memory"))
    figures = (f"first: file read after {seconds(read)}, published in {seconds(published)}, {first.resident():.0f} MB; second: "
               f"{second.resident():.0f} MB; Redis: {held / 1e6:.0f} MB")
    bench.check("many: one more reaches it within 1 s", True, took <= 1, figures)
    stale = [gateway.has_logged("revocations of the fleet are stale") for gateway in [first, second]]
    bench.check("many: neither was stale in the meantime", [False] * 2, stale)


def write_revocations(path, count):
    """A file with one user per line: see src/revocation/file_format.rs."""
    now = int(time.time())
    with open(path, "w") as file:
        file.write("scopegate revocations 1\n")
        for index in range(count):
            line = f"{digest('sub', f'sub-many-{index}').hex()} {now + 3600} {now + 86400}"
            file.write(f"{line} {hashlib.sha256(line.encode()).hexdigest()[:8]}\n")
