"""Callers with a socket of their own, for what curl cannot be told to do; and bystanders, who must not suffer."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway import KEY, Gateway
from harness import PATIENCE_SECONDS, eventually, same

BYSTANDERS = 4
"""Enough that both shards very likely serve one."""


def head(method: str, path: str, lines: str = "") -> bytes:
    """A request head with the key."""
    return f"{method} {path} HTTP/1.1\r\nHost: real\r\nX-API-Key: {KEY}\r\n{lines}\r\n".encode()


@dataclass
class Answer:
    """An answer that came whole."""

    status: int
    fields: http.client.HTTPMessage
    body: bytes


class Caller:
    """One connection to a gateway."""

    def __init__(self, peer: tuple[str, int], narrow: bool = False) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        if narrow:
            # Buffers as a far caller has them: over loopback the kernel would swallow a megabyte unread.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        self.socket.connect(peer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def open_answer(self, method: str = "GET") -> http.client.HTTPResponse:
        """The head of the next answer, to read the body from."""
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        return response

    def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole."""
        response = self.open_answer(method)
        return Answer(response.status, response.headers, response.read())

    def get(self, path: str) -> Answer:
        """Asks and waits for the answer."""
        self.send(head("GET", path))
        return self.answer()

    def half_close(self) -> None:
        """Says that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Goes away without a word: the other side sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Goes away in order."""
        self.socket.close()


def crowd(gateway: Gateway, size: int, narrow: bool = False) -> list[Caller]:
    """Many callers."""
    return [Caller(gateway.peer, narrow) for _ in range(size)]


@dataclass
class Bystanders:
    """Callers who ask for something small, one request after the other, each on its connection."""

    gateway: Gateway
    path: str
    statuses: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def served(self) -> int:
        """How many requests were answered with 200."""
        return self.statuses.get("200", 0)

    def run(self) -> None:
        """Asks until told to end; an answer that does not come is counted as what prevented it."""
        callers = crowd(self.gateway, BYSTANDERS)
        while not self.ended.is_set():
            for caller in callers:
                began = time.monotonic()
                try:
                    seen = str(caller.get(self.path).status)
                except (OSError, http.client.HTTPException) as error:
                    seen = repr(error)
                    self.ended.set()
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                self.statuses[seen] = self.statuses.get(seen, 0) + 1
            self.ended.wait(0.01)
        for caller in callers:
            caller.close()


@contextmanager
def bystanders(gateway: Gateway, path: str, figures: list[str]) -> Iterator[None]:
    """Whatever happens in the block, these callers get nothing but 200."""
    seen = Bystanders(gateway, path)
    thread = threading.Thread(target=seen.run)
    thread.start()
    try:
        yield
        served = seen.served()
        eventually("bystanders are served afterwards", lambda: not thread.is_alive() or seen.served() >= served + 20)
    finally:
        seen.ended.set()
        thread.join()
    same(list(seen.statuses), ["200"], f"answers to bystanders ({seen.statuses})")
    figures.append(f"bystanders {seen.served()} × 200, slowest {seen.slowest_seconds * 1000:.0f} ms")
