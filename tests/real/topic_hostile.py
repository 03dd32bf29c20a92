"""Callers and APIs that are slow, silent, or gone in the middle. Each time bystanders are served as if nothing
were, whoever is late is told so where it still can be, and afterwards nothing is left of it."""

import http.client
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from api import Api
from caller import Caller, bystanders, crowd, head
from gateway import Gateway, World
from harness import Failed, eventually, expect, processor_seconds, same
from nginx import Nginx

CALLERS = 200
BODY_BYTES = 30
REST_SECONDS = 1.0
SHORT = {"head": "1s", "body": "1s", "idle": "60s"}
SHORT_TARGET = {"idle": "1s"}

MEMORY_KIB_MAX = 32 * 1024
"""What may stay of it: the free buffers that each of two shards keeps are 12 MiB at most."""
DESCRIPTORS_MAX = 4
"""What may stay of it: kept connections to APIs that bystanders have just used are waited for."""


@dataclass
class Scene:
    """A gateway, and what it looked like before anything happened."""

    gateway: Gateway
    descriptors: int
    memory_kib: int

    @contextmanager
    def undisturbed(self, figures: list[str]) -> Iterator[None]:
        """Bystanders during the block, and a look at what is left after it."""
        with bystanders(self.gateway, "/api/files/1k", figures):
            yield
        eventually("descriptors come back", self._few_descriptors)
        eventually("memory comes back", lambda: self._growth_kib() <= MEMORY_KIB_MAX)
        figures.append(f"memory {self._growth_kib():+} KiB since the start")

    def _few_descriptors(self) -> bool:
        return self.gateway.descriptors() <= self.descriptors + DESCRIPTORS_MAX

    def _growth_kib(self) -> int:
        return self.gateway.memory_kib() - self.memory_kib


def topic(world: World, nginx: Nginx, api: Api) -> None:
    """All of it, on one gateway, so that what leaks adds up."""
    targets = {"api": nginx.url, "odd": api.url}
    with world.gateway(targets, timeouts=SHORT, target_timeouts=SHORT_TARGET) as gateway:
        first = Caller(gateway.peer)
        same(first.get("/api/files/1k").status, 200, "first request")
        first.close()
        eventually("it is idle", lambda: gateway.status()["connections"] == 0)
        scene = Scene(gateway, gateway.descriptors(), gateway.memory_kib())
        checks: tuple[tuple[str, Callable[[Gateway], str]], ...] = (
            (f"{CALLERS} heads that drip a byte at a time get 408", slow_heads),
            ("who drips on after 408 is read for a moment, not reset", dripping_on),
            (f"{CALLERS} bodies that stop get 408", stopping_bodies),
            (f"{CALLERS} bodies that drip arrive, since they make progress", slow_bodies),
            (f"{CALLERS} readers who never read are cut", slow_readers),
            ("half-closed after the request: the answer still arrives", half_closes),
            ("resets in the middle of a request", resets_in_request),
            ("resets in the middle of an answer", resets_in_answer),
            ("resets by the API before its answer are 502", api_resets_before),
            ("resets by the API in its answer never look like its end", api_resets_within),
        )
        for name, check in checks:
            with world.check(f"hostile: {name}") as figures, scene.undisturbed(figures):
                figures.append(check(gateway))
        with world.check("hostile: afterwards it rests") as figures:
            figures.append(rests(gateway))


def rests(gateway: Gateway) -> str:
    """A connection that was forgotten, or a poll that returns at once for ever, would show."""
    eventually("nobody is left", lambda: gateway.status()["connections"] == 0)
    before = processor_seconds(gateway.pid)
    time.sleep(REST_SECONDS)
    share = (processor_seconds(gateway.pid) - before) / REST_SECONDS
    expect(share < 0.05, f"it uses {share:.0%} of a processor")
    return f"{share:.1%} of a processor"


def slow_heads(gateway: Gateway) -> str:
    """The head as a whole has a time; a byte now and then does not help."""
    pending = crowd(gateway, CALLERS)
    for caller in pending:
        caller.send(head("GET", "/api/files/1k").removesuffix(b"\r\n") + b"X-Drip: ")
    statuses: list[int] = []
    began = time.monotonic()
    while pending:
        expect(time.monotonic() < began + 10, f"{len(pending)} are not cut")
        answered, _, _ = select.select([caller.socket for caller in pending], [], [], 0.1)
        for caller in list(pending):
            if caller.socket in answered:
                statuses.append(caller.answer().status)
                caller.close()
                pending.remove(caller)
            else:
                drip(caller)
    same(statuses, [408] * CALLERS, "statuses")
    return f"after {time.monotonic() - began:.1f} s"


def drip(caller: Caller) -> None:
    """A byte. When the connection has ended just now, the answer says so."""
    try:
        caller.send(b"x")
    except (BrokenPipeError, ConnectionResetError):
        pass


def dripping_on(gateway: Gateway) -> str:
    """A reset may take the answer away from a caller who has not read it yet (RFC 9112 §9.6)."""
    caller = Caller(gateway.peer)
    caller.send(head("GET", "/api/files/1k").removesuffix(b"\r\n") + b"X-Drip: ")
    while not select.select([caller.socket], [], [], 0.1)[0]:
        caller.send(b"x")
    for sent in range(5):
        try:
            caller.send(b"x")
        except OSError as error:
            raise Failed(f"reset at byte {sent} after the answer: {error!r}") from None
        time.sleep(0.05)
    same(refused(caller), 408, "status")
    return "5 bytes after the answer"


def stopping_bodies(gateway: Gateway) -> str:
    """Half of a body and then nothing, of known length and in chunks."""
    callers = crowd(gateway, CALLERS)
    kinds = (("Content-Length: 20\r\n", b"0123456789"), ("Transfer-Encoding: chunked\r\n", b"8\r\n01"))
    for number, caller in enumerate(callers):
        lines, part = kinds[number % 2]
        caller.send(head("PUT", "/api/put/stopped", lines) + part)
    same([refused(caller) for caller in callers], [408] * CALLERS, "statuses")
    return f"{gateway.outcome('body-timeout')} counted as body-timeout"


def slow_bodies(gateway: Gateway) -> str:
    """Takes longer than the time between two pieces, with pieces all along."""
    callers = crowd(gateway, CALLERS)
    began = time.monotonic()
    for number, caller in enumerate(callers):
        caller.send(head("PUT", f"/api/put/slow-{number}", f"Content-Length: {BODY_BYTES}\r\n"))
    for _ in range(BODY_BYTES):
        for caller in callers:
            caller.send(b"x")
        time.sleep(0.05)
    statuses = {caller.answer().status for caller in callers}
    expect(statuses <= {201, 204}, f"statuses {statuses}")
    took = time.monotonic() - began
    expect(took > 1.2, "not slow enough to mean anything")
    for caller in callers:
        caller.close()
    return f"{took:.1f} s each"


def slow_readers(gateway: Gateway) -> str:
    """They ask for a mebibyte, on connections that hold little, and read nothing."""
    before = gateway.outcome("caller-stalled")
    callers = crowd(gateway, CALLERS, narrow=True)
    for caller in callers:
        caller.send(head("GET", "/api/files/1m"))
    peak = 0

    def all_cut() -> bool:
        nonlocal peak
        peak = max(peak, gateway.memory_kib())
        return gateway.outcome("caller-stalled") - before == CALLERS

    eventually("all are counted as caller-stalled", all_cut)
    for caller in callers:
        expect(len(read_to_end(caller)) < 1024 * 1024, "an answer arrived whole")
    return f"{CALLERS} × caller-stalled, memory at most {peak} KiB"


def half_closes(gateway: Gateway) -> str:
    """Who has said everything may still be told something, at once and after a while (RFC 9112 §9.6)."""
    for path, expected in (("/api/files/1m", 1024 * 1024), ("/odd/late", 5), ("/api/chunked/1m", 1024 * 1024)):
        callers = crowd(gateway, 20)
        for caller in callers:
            caller.send(head("GET", path))
            caller.half_close()
        for caller in callers:
            answer = caller.answer()
            same((answer.status, len(answer.body)), (200, expected), path)
            same(read_to_end(caller), b"", "after the answer")
    return "60 answers"


def resets_in_request(gateway: Gateway) -> str:
    """In the head, before the body, in a body of known length, in a chunk."""
    chunked = head("PUT", "/api/put/reset", "Transfer-Encoding: chunked\r\n")
    fixed = head("PUT", "/api/put/reset", "Content-Length: 100000\r\n")
    parts = (fixed[:40], fixed, fixed + bytes(1000), fixed + bytes(70_000), chunked + b"400\r\n" + bytes(100))
    return vanish(gateway, parts, read=0)


def resets_in_answer(gateway: Gateway) -> str:
    """With most of the answer still to come; some callers also have a request on the way."""
    parts = (head("GET", "/api/files/1m"), head("GET", "/api/chunked/1m"), head("GET", "/odd/late"),
             head("GET", "/api/slow/64k"), head("GET", "/api/files/1m") * 2)
    return vanish(gateway, parts, read=1000)


def vanish(gateway: Gateway, parts: tuple[bytes, ...], read: int) -> str:
    """Callers who send a part, perhaps read a little, and reset their connection."""
    callers = crowd(gateway, CALLERS, narrow=True)
    for number, caller in enumerate(callers):
        caller.send(parts[number % len(parts)])
    for caller in callers:
        if read:
            caller.socket.recv(read)
        caller.reset()
    eventually("only bystanders are left", lambda: gateway.status()["connections"] <= 4)
    return f"{CALLERS} resets"


def api_resets_before(gateway: Gateway) -> str:
    """Nothing was seen of an answer: that can be told. A POST must not be sent a second time."""
    for method, path, lines, body in (
        ("GET", "/odd/reset-before-answer", "", b""),
        ("POST", "/odd/reset-before-answer", "Content-Length: 5\r\n", b"hello"),
        ("POST", "/odd/reset-in-request", "Content-Length: 1000000\r\n", b"hello"),
    ):
        callers = crowd(gateway, 20)
        for caller in callers:
            caller.send(head(method, path, lines) + body)
        same([caller.answer().status for caller in callers], [502] * 20, path)
        for caller in callers:
            caller.close()
    return "60 × 502"


def api_resets_within(gateway: Gateway) -> str:
    """The head has gone; what remains is to end the connection so that nobody takes it for the end."""
    for path in ("/odd/reset-in-body", "/odd/reset-in-chunks"):
        for caller in crowd(gateway, 20):
            caller.send(head("GET", path))
            try:
                answer = caller.answer()
            except (http.client.IncompleteRead, ConnectionResetError):
                continue
            same(answer.status, 502, f"{path}: a whole answer")
    return "40 answers were cut"


def refused(caller: Caller) -> int:
    """The status of an answer after which the connection ends in order."""
    answer = caller.answer()
    same(answer.fields["Connection"], "close", "Connection")
    caller.half_close()
    same(read_to_end(caller), b"", "after the answer")
    caller.close()
    return answer.status


def read_to_end(caller: Caller) -> bytes:
    """All that still comes."""
    data = bytearray()
    try:
        while piece := caller.socket.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise Failed("the connection does not end") from None
    return bytes(data)
