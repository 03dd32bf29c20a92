"""What every topic stands on: checks that are counted, children that are ended, deadlines, free ports.

Nothing here knows keyferry. A check is a block; whatever is raised in it fails that check and no other.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 15.0
"""How long anything may take that should take no time; generous, because the machine may be busy."""

PORTS = range(20_000, 32_000)
"""Below the ports that the system gives to outgoing connections: those could take a free one away again."""


class Failed(Exception):
    """Something was not as expected; the text says what."""


def expect(good: bool, text: str) -> None:
    """Fails the check around it if something does not hold."""
    if not good:
        raise Failed(text)


def same(seen: object, expected: object, what: str) -> None:
    """Fails the check around it if two values differ."""
    expect(seen == expected, f"{what}: {seen!r}, not {expected!r}")


def eventually(what: str, look: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """The first true value that `look` returns; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        expect(time.monotonic() < deadline, f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port on which nothing listens, for programs that cannot choose one themselves."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass
class Report:
    """Counts checks and prints a line for each."""

    passed: int = 0
    failed: int = 0

    @contextmanager
    def check(self, name: str) -> Iterator[list[str]]:
        """One check. What is appended to the list are figures, printed behind its name."""
        figures: list[str] = []
        try:
            yield figures
        except Exception as error:
            self.failed += 1
            reason = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
            print(f"FAILED {name}: {reason}", flush=True)
        else:
            self.passed += 1
            print(f"ok {name}" + (f" ({', '.join(figures)})" if figures else ""), flush=True)


@dataclass
class Child:
    """A process that was started here, its output in a file."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it is still there."""
        if self.runs():
            self.popen.send_signal(number)

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Waits for its end."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} has not ended within {seconds:g} s") from None

    def kill(self) -> None:
        """Ends it at once, and what it started: it leads a session of its own."""
        if self.runs():
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def end(self, seconds: float = 5.0) -> None:
        """Ends it in order, or else at once."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class Children:
    """Every process that was started here; with the block all are ended, the last one first."""

    directory: Path
    started: list[Child] = field(default_factory=list)

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever is impatient presses Ctrl-C twice: they are ended all the same.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.started):
            child.end()

    def start(self, name: str, command: list[str], **options: object) -> Child:
        """Starts a program with its output in a file; `options` are those of `Popen`."""
        log = self.directory / f"{len(self.started)}-{name}.log"
        with log.open("wb") as output:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
            popen = subprocess.Popen(command, start_new_session=True, **(streams | options))
        child = Child(name, popen, log)
        self.started.append(child)
        return child


def run(command: list[str], seconds: float = 60, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end, within a deadline, with its output in memory."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if "input" in options:
        del streams["stdin"]
    return subprocess.run(command, timeout=seconds, **(streams | options))


def memory_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise Failed(f"process {pid} has no memory: it has ended")


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))
