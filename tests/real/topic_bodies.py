"""A gibibyte each way, of known length and in chunks, while the memory of keyferry is watched all the time."""

import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from api import Api
from caller import Caller, head
from gateway import KEY, Gateway, World
from harness import expect, run, same
from nginx import Nginx

GROWTH_KIB_MAX = 16 * 1024
MARK_BYTES = 4096
MARK_EVERY_BYTES = 1024 * 1024
READ_BYTES = 1024 * 1024
SAMPLE_SECONDS = 0.01


@dataclass
class Big:
    """A large file, most of it a hole, with marks in it that would show a part that is lost, doubled or moved."""

    path: Path
    size: int
    checksum: int = 0

    def make(self) -> None:
        """Writes the marks and takes the checksum."""
        with self.path.open("wb") as file:
            file.truncate(self.size)
            for offset in range(0, self.size, MARK_EVERY_BYTES):
                file.seek(offset)
                file.write(offset.to_bytes(8, "big") * (MARK_BYTES // 8))
        memory = memoryview(bytearray(READ_BYTES))
        with self.path.open("rb", buffering=0) as file:
            while got := file.readinto(memory):
                self.checksum = zlib.crc32(memory[:got], self.checksum)


@dataclass
class MemoryWatch:
    """Samples the resident memory of keyferry on a thread of its own."""

    gateway: Gateway
    samples: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Samples until told to end."""
        while not self.ended.is_set():
            self.samples.append(self.gateway.memory_kib())
            self.ended.wait(SAMPLE_SECONDS)


@contextmanager
def constant_memory(gateway: Gateway, big: Big, figures: list[str]) -> Iterator[None]:
    """The block moves the file; memory may not follow it."""
    before, began = gateway.memory_kib(), time.monotonic()
    watch = MemoryWatch(gateway)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        watch.ended.set()
        thread.join()
    growth = max(watch.samples) - before
    rate = big.size / (time.monotonic() - began) / 1e6
    figures.append(f"memory {growth:+} KiB in {len(watch.samples)} samples, {rate:.0f} MB/s")
    expect(growth <= GROWTH_KIB_MAX, f"memory grew by {growth} KiB, from {before} KiB")


def topic(world: World, nginx: Nginx, api: Api, big: Big) -> None:
    """Downloads from nginx and the small API, uploads to the small API."""
    what = f"{big.size // 1024 // 1024} MiB"
    with world.gateway({"api": api.url, "nginx": nginx.url}) as gateway:
        warm = Caller(gateway.peer)
        for path in ("/nginx/files/1k", "/api/count"):
            same(warm.get(path).status, 200, "status")
        for name, path in (("of known length from nginx", "/nginx/files/big"), ("in chunks", "/api/chunks")):
            with world.check(f"{what} down, {name}") as figures, constant_memory(gateway, big, figures):
                download(gateway, path, big)
        for name, arguments in (("of known length", []), ("in chunks", ["-H", "Transfer-Encoding: chunked"])):
            with world.check(f"{what} up, {name}") as figures, constant_memory(gateway, big, figures):
                upload(gateway, big, arguments)


def download(gateway: Gateway, path: str, big: Big) -> None:
    """Reads, counts and checksums."""
    caller = Caller(gateway.peer)
    caller.send(head("GET", path))
    response = caller.open_answer()
    same(response.status, 200, "status")
    size, checksum, memory = 0, 0, memoryview(bytearray(READ_BYTES))
    while got := response.readinto(memory):
        checksum, size = zlib.crc32(memory[:got], checksum), size + got
    caller.close()
    same((size, checksum), (big.size, big.checksum), "bytes and checksum")


def upload(gateway: Gateway, big: Big, arguments: list[str]) -> None:
    """curl sends, the API counts and checksums."""
    command = ["curl", "-sS", "--http1.1", "-m", "60", "-T", str(big.path), "-H", f"X-API-Key: {KEY}", *arguments]
    done = run([*command, gateway.url("/api/count")])
    same((done.returncode, done.stderr), (0, b""), "curl -T")
    seen = json.loads(done.stdout)
    expected = {"bytes": big.size, "crc32": big.checksum, "chunked": bool(arguments)}
    same(seen, expected, "what the API received")
