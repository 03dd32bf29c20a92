"""A small API for what nginx cannot do: count what it receives, send chunks from a file, and misbehave.

It speaks just enough HTTP/1.1 to be that, on threads of this process, one for each connection.
"""

import json
import os
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

PIECE_BYTES = 256 * 1024
CUT_BYTES = 1024 * 1024
"""Length of the answers that are cut."""
LATE_SECONDS = 0.4


@dataclass
class Request:
    """A request head."""

    method: str
    path: str
    fields: dict[str, str]


@dataclass
class Api:
    """The API; `big` is the file that it sends in chunks."""

    big: Path
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=1024))
    resting: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def start(self) -> None:
        """Serves until the process ends."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb", buffering=PIECE_BYTES) as reader:
                while (request := read_head(reader)) and self._answer(connection, reader, request):
                    pass
        except OSError:
            pass  # the other side is gone, which some tests want

    def _answer(self, connection: socket.socket, reader: BinaryIO, request: Request) -> bool:
        """Answers one request; false ends the connection."""
        match request.path:
            case "/chunks":
                self._send_chunks(connection)
            case "/late":
                self.resting.wait(LATE_SECONDS)
                connection.sendall(answer(b"late\n"))
            case "/reset-before-answer":
                return reset(connection)
            case "/reset-in-body":
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {CUT_BYTES}\r\n\r\n".encode() + bytes(1000))
                return reset(connection)
            case "/reset-in-chunks":
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + bytes(1000))
                return reset(connection)
            case "/reset-in-request":
                return reset(connection)
            case _:
                connection.sendall(answer(json.dumps(count(reader, request)).encode()))
        return True

    def _send_chunks(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.big.open("rb") as file:
            offset, left = 0, os.fstat(file.fileno()).st_size
            while left:
                size = min(left, PIECE_BYTES)
                connection.sendall(f"{size:x}\r\n".encode())
                while size:
                    sent = os.sendfile(connection.fileno(), file.fileno(), offset, size)
                    offset, left, size = offset + sent, left - sent, size - sent
                connection.sendall(b"\r\n")
        connection.sendall(b"0\r\n\r\n")


def read_head(reader: BinaryIO) -> Request | None:
    """The next request head, unless the connection has ended."""
    line = reader.readline().decode("latin-1")
    if not line.endswith("\r\n"):
        return None
    method, path, _ = line.split(" ")
    fields = {}
    while (line := reader.readline().decode("latin-1").rstrip("\r\n")):
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return Request(method, path, fields)


def count(reader: BinaryIO, request: Request) -> dict[str, object]:
    """Reads a body and says how long it was and what its checksum is."""
    chunked = request.fields.get("transfer-encoding") == "chunked"
    size, checksum, memory = 0, 0, memoryview(bytearray(PIECE_BYTES))
    for length in chunk_lengths(reader) if chunked else [int(request.fields.get("content-length", 0))]:
        while length:
            got = reader.readinto(memory[:min(length, PIECE_BYTES)])
            if not got:
                raise ConnectionError("the body ended early")
            checksum = zlib.crc32(memory[:got], checksum)
            length, size = length - got, size + got
    return {"bytes": size, "crc32": checksum, "chunked": chunked}


def chunk_lengths(reader: BinaryIO) -> Iterator[int]:
    """The lengths of chunks; whoever asks for the next one has read the data of the one before."""
    while length := int(reader.readline().split(b";")[0], 16):
        yield length
        reader.readline()
    while reader.readline().strip():
        pass


def answer(body: bytes) -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def reset(connection: socket.socket) -> bool:
    """Ends a connection as a crash of the machine does. (`with` closes it again, which does no harm.)"""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
