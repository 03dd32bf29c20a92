"""What ends without warning: the API while callers ask, and keyferry itself."""

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from caller import Caller, head
from gateway import Gateway, Settings, World, leave
from harness import eventually, expect, same
from nginx import prepare

CALLERS = 16
DOWN_SECONDS = 1.0
RESTART_SECONDS = 2.0
STARTS = 20


@dataclass
class Load:
    """Callers who ask all the time and note, in order, what they get."""

    gateway: Gateway
    seen: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self.threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def _ask(self) -> None:
        caller = Caller(self.gateway.peer)
        while not self.ended.wait(0.002):
            try:
                self.seen.append(str(caller.get("/api/files/1k").status))
            except OSError as error:
                self.seen.append(type(error).__name__)
                caller.close()
                caller = Caller(self.gateway.peer)
        caller.close()

    def awaits(self, status: str, count: int) -> None:
        """Waits until the latest answers are all of one status."""
        eventually(f"{count} answers {status} in a row, the last ones are {self.seen[-5:]}",
                   lambda: self.seen[-count:] == [status] * count)


def topic(world: World) -> None:
    """All of it, with an nginx of its own to kill."""
    nginx = prepare(world.directory / f"killed-{world.driver}")
    nginx.start(world.children)
    with world.gateway({"api": nginx.url}) as gateway:
        with world.check("the API is killed and started again under load: 502 meanwhile, then 200") as figures:
            with Load(gateway) as load:
                load.awaits("200", 200)
                if nginx.child:
                    nginx.child.kill()
                load.awaits("502", 200)
                time.sleep(DOWN_SECONDS)
                nginx.start(world.children)
                load.awaits("200", 1000)
            counts = {status: load.seen.count(status) for status in sorted(set(load.seen))}
            same(list(counts), ["200", "502"], f"answers {counts}")
            expect(gateway.child.runs(), "keyferry has ended")
            figures.append(", ".join(f"{count} × {status}" for status, count in counts.items()))
    with world.check(f"SIGTERM as soon as it says that it listens, {STARTS} times: it ends in order"):
        for _ in range(STARTS):
            terminated_at_once(world, nginx.url)
    with world.check("kill -9, and at once a new keyferry on the same ports") as figures:
        killed(world, nginx.url, world.directory, figures)


def terminated_at_once(world: World, url: str) -> None:
    """Who can be called can be told to end: a restart right after a start must not cut anyone off."""
    file = world.directory / "at-once.toml"
    file.write_text(Settings(world.driver, {"api": url}).text())
    reading, writing = os.pipe()
    child = world.children.start("keyferry", [world.keyferry, "run", "-c", str(file)], stderr=writing)
    os.close(writing)
    with open(reading, "rb") as log:
        while b"INFO listening" not in (line := log.readline()):
            expect(bool(line), "keyferry did not start")
        child.signal(signal.SIGTERM)
        same(child.exit_code(), 0, "exit code")


def killed(world: World, url: str, directory: Path, figures: list[str]) -> None:
    """Connections of the old process, idle and busy, must not keep the ports."""
    first = world.start(Settings(world.driver, {"api": url}))
    callers = [Caller(first.peer) for _ in range(50)]
    for caller in callers[:25]:
        same(caller.get("/api/files/1k").status, 200, "status")
    for caller in callers[25:]:
        caller.send(head("GET", "/api/slow/64k"))
    first.child.signal(signal.SIGKILL)
    same(first.child.exit_code(), -signal.SIGKILL, "end")
    began = time.monotonic()
    second = world.start(Settings(world.driver, {"api": url}, address=first.address, admin=first.admin))
    same(Caller(second.peer).get("/api/files/1k").status, 200, "status after the restart")
    took = time.monotonic() - began
    figures.append(f"200 after {took * 1000:.0f} ms")
    expect(took < RESTART_SECONDS, f"took {took:.2f} s")
    for caller in callers:
        caller.close()
    leave(second)
