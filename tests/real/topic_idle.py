"""Thousands of connections on which nothing happens: they cost little, and each of them still works."""

import resource
import time

from caller import Caller, crowd, head
from gateway import Gateway, World
from harness import expect, eventually, same
from nginx import Nginx

CONNECTIONS = 5000
WARM_UP = 1000
KIB_EACH_MAX = 6.0
DESCRIPTORS_RESERVED = 1000
SETTLE_SECONDS = 10.0


def topic(world: World, nginx: Nginx) -> None:
    """All of it."""
    # What is idle needs less than what "auto" gives everybody. The rest is divided among the shards, not evenly.
    room = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - DESCRIPTORS_RESERVED) // 3
    size = min(CONNECTIONS, room)
    limits = f"connections = {size * 2}"
    timeouts, target_timeouts = {"idle": "5m"}, {"idle": "1s"}
    apis = {"api": nginx.url}
    with world.gateway(apis, limits=limits, timeouts=timeouts, target_timeouts=target_timeouts) as gateway:
        with world.check(f"{size} idle connections cost little and all answer afterwards") as figures:
            many(gateway, size, figures)
        with world.check("their descriptors come back"):
            eventually("few descriptors are open", lambda: gateway.descriptors() < 100)


def many(gateway: Gateway, size: int, figures: list[str]) -> None:
    """Opens them, one request each, and comes back to each of them when memory has settled."""
    cold, began = gateway.memory_kib(), time.monotonic()
    warm_up(gateway)
    before = gateway.memory_kib()
    callers = crowd(gateway, size)
    same(ask(callers), {200: size}, "answers at first")
    same(gateway.status()["connections"], size, "connections that keyferry counts")

    def each() -> float:
        return (gateway.memory_kib() - before) / size

    deadline = time.monotonic() + SETTLE_SECONDS
    while each() > KIB_EACH_MAX and time.monotonic() < deadline:
        time.sleep(0.1)
    figures.append(f"{each():.2f} KiB each, {(gateway.memory_kib() - cold) / size:.2f} with the buffers that are kept")
    expect(each() <= KIB_EACH_MAX, f"{each():.2f} KiB each after {SETTLE_SECONDS:g} s")
    same(ask(callers), {200: size}, "answers afterwards")
    figures.append(f"{time.monotonic() - began:.1f} s")
    for caller in callers:
        caller.close()


def warm_up(gateway: Gateway) -> None:
    """Has keyferry make the free buffers that it keeps however many connections there are."""
    callers = crowd(gateway, WARM_UP)
    same(ask(callers), {200: WARM_UP}, "answers to the first ones")
    for caller in callers:
        caller.close()
    eventually("the first ones are gone", lambda: gateway.status()["connections"] == 0)


def ask(callers: list[Caller]) -> dict[int, int]:
    """A request on each connection, a few hundred under way at a time; counts the statuses."""
    statuses: dict[int, int] = {}
    for at in range(0, len(callers), 250):
        group = callers[at:at + 250]
        for caller in group:
            caller.send(head("GET", "/api/files/1k"))
        for caller in group:
            status = caller.answer().status
            statuses[status] = statuses.get(status, 0) + 1
    return statuses
