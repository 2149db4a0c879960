"""Revocation under load, and while Redis is away."""

import time

from bench import RECOVERY, SELECTORS, seconds
from feed_cases import admits_no_longer_than_it_may, gateways_join_before_the_others, joining_gateway_knows_all, revoked_by_one_that_ended
from gateways import Clients


def revocation_under_load(bench, four):
    four.fleet.wait_until_up_to_date()
    events = 25 if bench.is_short else 100
    with Clients(four.fleet) as clients:
        for index in range(events):
            user = four.revoke_one(clients, "load", index % 4, SELECTORS[index % len(SELECTORS)])
            clients.wait_for(user, 401)
            clients.retire(user)
        time.sleep(1)
    delays = clients.delays()
    p99 = delays[min(len(delays) - 1, int(len(delays) * 0.99))]
    figures = (f"{events} events, {clients.rate():.0f} requests/s: median {seconds(delays[len(delays) // 2])}, p99 {seconds(p99)}, "
               f"max {seconds(delays[-1])}")
    bench.check("load: p99 from a revocation to the last request that passes anywhere is at most 1 s", True, p99 <= 1, figures)
    bench.check("load: no request passes after a refusal", 0, clients.wrong())
    bench.check("load: a token that is not revoked always passes", {200}, clients.statuses())


def redis_away(bench, four, name, begin, end, duration):
    """What `closed` and `open` do between `begin` and `end`, and how soon all is as before."""
    # The step before may have cut gateways off for a moment.
    four.fleet.wait_until_up_to_date(time.time())
    with Clients(four.fleet) as clients:
        # In caches, and refused or not.
        old = four.revoke_one(clients, f"{name}-old")
        clients.wait_for(old, 401)
        missed = four.user(f"{name}-missed")
        clients.admit(missed)
        positions = four.fleet.positions()
        begun = time.monotonic()
        begin()
        clients.revoke(missed, four.gateways[0])
        time.sleep(duration)
        at_the_end = [watch.seen[watch.GOOD][-1][2] for watch in clients.watches]
        ready = [gateway.is_ready() for gateway in four.gateways]
        stale = [gateway.metrics()["scopegate_fleet_revocations_stale"] for gateway in four.gateways]
        end()
        took = four.recovery(clients, [old, missed], time.monotonic(), positions)
    away_is_right(bench, four, clients, name, (at_the_end, ready, stale), begun)
    logged = [gateway.has_logged("revocations of the fleet are stale", position) for gateway, position in zip(four.gateways, positions)]
    bench.check(f"{name}: logged as stale", [True] * 4, logged)
    bench.check(f"{name}: as before within {RECOVERY:.0f} s, and said so by /readyz, metrics and log", True, took <= RECOVERY, seconds(took))


def away_is_right(bench, four, clients, name, found, begun):
    max_age = four.fleet.max_age
    expected = ([503] * 2 + [200] * 2, [False] * 2 + [True] * 2, [1] * 4)
    bench.check(f"{name}: closed refuses and is not ready, open serves, and all say that they are stale", expected, found)
    closed, opened = [[clients.watches[index] for index in group] for group in [four.CLOSED, four.OPEN]]
    # The last heartbeat may have been a fifth of that time before.
    first = min(received for watch in closed for _, received in watch.of(watch.GOOD, 503)[:1]) - begun
    bench.check(f"{name}: closed gives 503 only after max_revocation_age", True, first >= max_age * 0.78, f"after {seconds(first)}")
    admits_no_longer_than_it_may(bench, four, clients, name)
    statuses = {status for watch in opened for entries in watch.seen.values() for *_, status in entries}
    bench.check(f"{name}: open gives no 5xx", {200, 401}, statuses)
    bench.check(f"{name}: no request passes after a refusal", 0, clients.wrong())


def redis_paused(bench, four):
    redis_away(bench, four, "paused", four.server.pause, four.server.resume, 3 if bench.is_short else 30)


def redis_without_data(bench, four):
    with Clients(four.fleet) as clients:
        revoked_by_one_that_ended(four, clients, "restart-ended")
        redis_away(bench, four, "restarted without data", four.server.stop, four.server.start, four.fleet.max_age + 1)
        joining_gateway_knows_all(bench, four, clients, "restarted without data")
        gateways_join_before_the_others(bench, four, clients)
    bench.check("restarted without data: no request passes after a refusal", 0, clients.wrong())


def redis_full(bench, four):
    redis_away(bench, four, "full", four.server.fill, four.server.make_room, four.fleet.max_age + 1)


def nobody_panicked(bench, four):
    ended = [gateway.name for gateway in four.gateways if bench.processes.running[gateway.name].poll() is not None]
    panicked = [gateway.name for gateway in four.gateways if "panicked" in gateway.log()]
    bench.check("four: no gateway has ended or panicked", ([], []), (ended, panicked))
