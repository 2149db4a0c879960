"""What somebody with access to Redis may do to the feed."""

import contextlib
import secrets
import signal
import time

import bed
from bench import RECOVERY, seconds
from gateways import Clients


def messages(client, stream):
    return [fields[1] for _, fields in client.call("XRANGE", stream, "-", "+")]


def write(client, stream, sealed):
    client.call("XADD", stream, "*", "m", sealed)


def feed_killed(four, client):
    for _ in range(5):
        client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        time.sleep(0.1)


def feed_deleted(four, client):
    client.call("DEL", four.fleet.stream, four.fleet.heartbeats)


def feed_trimmed(four, client):
    client.call("XTRIM", four.fleet.stream, "MAXLEN", 0)


def feed_replayed(four, client):
    for stream in [four.fleet.stream, four.fleet.heartbeats]:
        for sealed in reversed(messages(client, stream)):
            write(client, stream, sealed)


def feed_forged(four, client):
    stream, heartbeats = four.fleet.stream, four.fleet.heartbeats
    last = messages(client, stream)[-1]
    forged = [b"", b"\0", last[:-1], last + b"\0", bytes([*last[:20], last[20] ^ 1, *last[21:]]), messages(client, heartbeats)[-1],
              secrets.token_bytes(len(last)), secrets.token_bytes(1024 * 1024)]
    for sealed in forged:
        write(client, stream, sealed)
        write(client, heartbeats, sealed if sealed != forged[5] else last)
    client.call("XADD", stream, "*", "other", "field", "m", last)
    client.call("XADD", stream, "*", "m", last, "more", "x" * 1000)


def feed_of_another_type(four, client):
    for key in [four.fleet.stream, four.fleet.heartbeats]:
        client.call("SET", key, "not a stream")
    time.sleep(0.5)
    client.call("DEL", four.fleet.stream, four.fleet.heartbeats)


def feed_from_the_future(four, client):
    # Everybody reads on from there. Then the stream begins anew, with the time of today.
    client.call("XADD", four.fleet.stream, f"{int(time.time() + 86400) * 1000}-0", "m", "nonsense")
    time.sleep(0.3)
    client.call("DEL", four.fleet.stream)


@contextlib.contextmanager
def others_stopped(four):
    """The other gateways run no more, and nobody reads for them."""
    others = [gateway.processes.running[gateway.name] for gateway in four.gateways[1:]]
    for process in others:
        process.send_signal(signal.SIGSTOP)
    try:
        # A read that waits ends after a second.
        time.sleep(1.1)
        yield
    finally:
        for process in others:
            process.send_signal(signal.SIGCONT)


def message_lost(four, client, revoke):
    """The others never see a message."""
    with others_stopped(four):
        length = client.call("XLEN", four.fleet.stream)
        revoke()
        bed.wait_for("a message", 5, lambda: client.call("XLEN", four.fleet.stream) > length or None)
        client.call("XTRIM", four.fleet.stream, "MAXLEN", 0)


def stream_rolled_back(four, client, revoke):
    """The stream is as it was before, for those who are cut off and for those who start."""
    with others_stopped(four):
        dump = client.call("DUMP", four.fleet.stream)
        length = client.call("XLEN", four.fleet.stream)
        revoke()
        bed.wait_for("a message", 5, lambda: client.call("XLEN", four.fleet.stream) > length or None)
        client.call("RESTORE", four.fleet.stream, 0, dump, "REPLACE")


def feed_faults(bench, four):
    """Whether a fault is noticed depends on whether the others miss anything: by `metric`, or by a snapshot in the `log`."""
    faults = [(feed_killed, None), (feed_trimmed, "log"), (feed_deleted, "log"), (feed_replayed, "metric"), (feed_forged, "metric"),
              (feed_of_another_type, "log"), (feed_from_the_future, "metric")]
    while_revoking = [(message_lost, "log"), (stream_rolled_back, "log")]
    if bench.is_short:
        faults, while_revoking = [faults[index] for index in [2, 3, 4]], while_revoking[:1]
    with Clients(four.fleet) as clients:
        revoked_by_one_that_ended(four, clients, "feed-ended")
        for fault, noticed in faults:
            feed_fault(bench, four, clients, fault.__name__, lambda client, revoke: (fault(four, client), revoke()), noticed)
        for fault, noticed in while_revoking:
            feed_fault(bench, four, clients, fault.__name__, lambda client, revoke: fault(four, client, revoke), noticed)
        joining_gateway_knows_all(bench, four, clients, "feed")
    bench.check("feed: no request passes after a refusal", 0, clients.wrong())
    admits_no_longer_than_it_may(bench, four, clients, "feed")
    # Gateways that were stopped for a second are stale for a moment, if that is half of max_revocation_age.
    stale = {503} if bench.is_short else set()
    found = [clients.statuses(watch) - (stale if index in four.CLOSED else set()) for index, watch in enumerate(clients.watches)]
    bench.check("feed: a token that is not revoked passes", [{200}] * 4, found)


def admits_no_longer_than_it_may(bench, four, clients, name):
    """A gateway with `stale = "open"` has no such bound: what it admits while it is stale ends with its recovery."""
    late = clients.delays(*(clients.watches[index] for index in four.CLOSED))[-1]
    bench.check(f"{name}: closed admits no revoked token later than max_revocation_age", True, late <= four.fleet.max_age,
                f"{seconds(late)} after the revocation")


def feed_fault(bench, four, clients, name, run, noticed):
    # Snapshots that follow soon after each other have ever longer pauses.
    time.sleep(four.fleet.max_age)
    user = four.user(name)
    bearer = clients.admit(user)
    suspects = [gateway.suspects() for gateway in four.gateways[1:]]
    positions = four.fleet.positions()
    revoke = lambda: clients.revoke(user, four.gateways[0], token=bearer)
    with four.server.client() as client:
        run(client, revoke)
    took = four.recovery(clients, [user], time.monotonic())
    claim = f"feed: {name.replace('_', ' ').removeprefix('feed ')}: "
    if noticed == "metric":
        found = [gateway.suspects() > before for gateway, before in zip(four.gateways[1:], suspects)]
        bench.check(f"{claim}noticed by the others", [True] * 3, found)
    if noticed == "log":
        published = lambda: any(gateway.has_logged("revocations published for the fleet", position)
                                for gateway, position in zip(four.gateways, positions)) or None
        bench.check(f"{claim}noticed, and published again", True, bed.wait_for("a snapshot", 5, published))
    bench.check(f"{claim}as before within {RECOVERY:.0f} s", True, took <= RECOVERY, seconds(took))
    clients.retire(user)


def revoked_by_one_that_ended(four, clients, what):
    """Only the stream and the other gateways know this revocation: who published it has ended."""
    user = four.user(what)
    clients.admit(user)
    ended = four.fleet.launch(four.server.unix_url, "closed").wait_until_listening()
    bed.wait_for("the gateway to be ready", 30, lambda: ended.is_ready() or None)
    clients.revoke(user, ended)
    clients.wait_for(user, 401)
    clients.retire(user)
    four.fleet.end(ended)


def joining_gateway_knows_all(bench, four, clients, what):
    """A gateway that starts now refuses all that was revoked once it is ready."""
    joining_gateways_know_all(bench, four, clients, f"{what}: a gateway that starts afterwards", [launch(four)])


def gateways_join_before_the_others(bench, four, clients):
    """Redis has no data any more, and two gateways start before those who know it are back."""
    processes = [gateway.processes.running[gateway.name] for gateway in four.gateways]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        four.server.stop()
        four.server.start()
        joining = [launch(four), launch(four)]
        time.sleep(four.fleet.max_age / 2)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
    joining_gateways_know_all(bench, four, clients, "restarted without data: each of two gateways that are there first", joining)


def launch(four):
    return four.fleet.launch(four.server.unix_url, "closed")


def joining_gateways_know_all(bench, four, clients, who, gateways):
    tokens = clients.watches[0].tokens
    found, took = set(), 0
    for gateway in gateways:
        gateway.wait_until_listening()
        bed.wait_for("the new gateway to be ready", 30, lambda: gateway.is_ready() or None)
        took = max(took, time.monotonic() - gateway.started)
        found |= {gateway.status(tokens[user]) for user in clients.revoked_at}
    bench.check(f"{who} refuses all that was revoked once it is ready", {401}, found, f"ready after {seconds(took)}")
    for gateway in gateways:
        four.fleet.end(gateway)
