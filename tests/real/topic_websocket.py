"""WebSocket through keyferry, between the peers of the `websockets` package."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import KEY, Gateway, Settings, World, clean
from harness import PATIENCE_SECONDS, Failed, eventually, expect, run, same
from nginx import Nginx

MESSAGE_BYTES = 1024 * 1024
TUNNELS = 200
IDLE_SECONDS = 2.5
DRAIN_SECONDS = 2.0

SHORT = {"head": "1s", "body": "1s", "idle": "1s"}
SHORT_TARGET = {"first_byte": "1s", "body": "1s", "idle": "1s", "total": "2s"}
"""None of these times is meant for tunnels."""


@dataclass
class Echo:
    """The API: returns messages, in the fragments in which they came."""

    port: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    closed: list[tuple[int | None, str | None]] = field(default_factory=list)

    async def handle(self, connection: ServerConnection) -> None:
        """One connection; the path says what else it does."""
        try:
            match connection.request.path if connection.request else "":
                case "/farewell":
                    await connection.close(4002, "so long")
                case "/ping":
                    await (await connection.ping(b"are you there"))
                    await connection.send("the pong came")
                case "/reset":
                    await connection.recv()
                    connection.transport.abort()
                    return
            while True:
                fragments = [fragment async for fragment in connection.recv_streaming()]
                await connection.send(fragments if len(fragments) > 1 else fragments[0])
        except ConnectionClosed:
            self.closed.append((connection.close_code, connection.close_reason))

    async def serve(self) -> None:
        """Serves until the process ends."""
        async with serve(self.handle, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self.ready.set()
            await asyncio.get_running_loop().create_future()


def topic(world: World, nginx: Nginx) -> None:
    """All of it."""
    echo = Echo()
    threading.Thread(target=lambda: asyncio.run(echo.serve()), daemon=True).start()
    expect(echo.ready.wait(PATIENCE_SECONDS), "the echo server has not started")
    targets = {"ws": f"http://127.0.0.1:{echo.port}", "api": nginx.url}
    with world.gateway(targets, timeouts=SHORT, target_timeouts=SHORT_TARGET) as gateway:
        for name, check in (
            ("a message of 1 MiB, with and without compression", large(gateway)),
            ("fragments arrive as they were sent", fragments(gateway)),
            ("ping and pong, from either side", pings(gateway)),
            ("the caller's close code reaches the API", caller_closes(gateway, echo)),
            ("the API's close code reaches the caller", api_closes(gateway)),
            ("a reset by the API ends the caller's side", api_resets(gateway)),
            ("without a key there is no tunnel", refused(gateway)),
        ):
            with world.check(f"websocket: {name}"):
                in_time(check)
        with world.check(f"websocket: {TUNNELS} tunnels work after {IDLE_SECONDS:g} s of silence") as figures:
            in_time(idle(gateway, figures))
    with world.check(f"SIGTERM: a request ends well, a tunnel is cut only after {DRAIN_SECONDS:g} s") as figures:
        in_time(drain(world, targets, figures))


def in_time(check: Coroutine[None, None, None], seconds: float = 30) -> None:
    """Runs a check within a deadline."""
    asyncio.run(asyncio.wait_for(check, seconds))


def tunnel(gateway: Gateway, path: str = "/", key: str = KEY, compression: str | None = None) -> connect:
    """A caller's WebSocket connection, which never pings of its own accord."""
    return connect(f"ws://{gateway.address}/ws{path}", additional_headers={"X-API-Key": key}, proxy=None,
                   compression=compression, max_size=None, ping_interval=None)


async def echoes(connection: ClientConnection, message: bytes | str) -> None:
    """A message comes back as it was."""
    await connection.send(message)
    expect(await connection.recv() == message, "another message came back")


async def large(gateway: Gateway) -> None:
    """Binary, then compressed text."""
    for compression in (None, "deflate"):
        async with tunnel(gateway, compression=compression) as connection:
            for _ in range(3):
                await echoes(connection, os.urandom(MESSAGE_BYTES))
            await echoes(connection, "grüße " * (MESSAGE_BYTES // 8))


async def fragments(gateway: Gateway) -> None:
    """keyferry carries bytes: it must not join frames, nor lose an empty one."""
    sent = [b"one", b"", os.urandom(100_000), b"four"]
    async with tunnel(gateway) as connection:
        await connection.send(sent)
        back = [fragment async for fragment in connection.recv_streaming()]
        # `send` ends what it is given with an empty fragment, here and in the API.
        expect(back == [*sent, b"", b""], f"{len(back)} fragments came back, or others")


async def pings(gateway: Gateway) -> None:
    """Control frames pass in both directions."""
    async with tunnel(gateway, "/ping") as connection:
        same(await connection.recv(), "the pong came", "what the API says")
        await (await connection.ping(b"and you"))
        await echoes(connection, "still")


async def caller_closes(gateway: Gateway, echo: Echo) -> None:
    """The closing handshake, begun by the caller."""
    async with tunnel(gateway) as connection:
        await echoes(connection, "hello")
        await connection.close(4001, "goodbye")
        same(connection.close_code, 4001, "code that the caller got back")
    await asyncio.to_thread(eventually, "the API sees the code", lambda: (4001, "goodbye") in echo.closed)


async def api_closes(gateway: Gateway) -> None:
    """The closing handshake, begun by the API."""
    async with tunnel(gateway, "/farewell") as connection:
        await connection.wait_closed()
        same((connection.close_code, connection.close_reason), (4002, "so long"), "code and reason")


async def api_resets(gateway: Gateway) -> None:
    """1006 is the code for an end without a closing handshake (RFC 6455 §7.1.5)."""
    async with tunnel(gateway, "/reset") as connection:
        await connection.send("now")
        await connection.wait_closed()
        same(connection.close_code, 1006, "code")


async def refused(gateway: Gateway) -> None:
    """The key is judged before anything is switched."""
    try:
        async with tunnel(gateway, key="another"):
            raise Failed("a tunnel was opened")
    except InvalidStatus as error:
        same(error.response.status_code, 401, "status")


async def idle(gateway: Gateway, figures: list[str]) -> None:
    """The times of requests, all shorter than the silence, are not those of tunnels."""
    before = gateway.memory_kib()
    connections = [await tunnel(gateway) for _ in range(TUNNELS)]
    await asyncio.gather(*(echoes(connection, "first") for connection in connections))
    await asyncio.sleep(IDLE_SECONDS)
    figures.append(f"{(gateway.memory_kib() - before) / TUNNELS:.1f} KiB each")
    await asyncio.gather(*(echoes(connection, f"message {number}") for number, connection in enumerate(connections)))
    await asyncio.gather(*(connection.close() for connection in connections))


async def drain(world: World, targets: dict[str, str], figures: list[str]) -> None:
    """A tunnel lasts as long as the drain; a request that was begun gets its whole answer."""
    gateway = world.start(Settings(world.driver, targets, drain=f"{DRAIN_SECONDS:g}s"))
    async with tunnel(gateway) as connection:
        await echoes(connection, "before")
        command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "-H", f"X-API-Key: {KEY}"]
        slow = asyncio.create_task(asyncio.to_thread(run, [*command, gateway.url("/api/slow/64k")]))
        await asyncio.to_thread(eventually, "the request is under way", lambda: gateway.status()["connections"] == 2)
        began = time.monotonic()
        gateway.child.signal(signal.SIGTERM)
        while time.monotonic() < began + DRAIN_SECONDS * 0.75:
            await echoes(connection, "meanwhile")
            await asyncio.sleep(0.05)
        same((await slow).stdout, b"200 65536", "answer under way")
        await connection.wait_closed()
        lasted = time.monotonic() - began
    same(await asyncio.to_thread(gateway.child.exit_code), 0, "exit code")
    expect(DRAIN_SECONDS * 0.95 <= lasted <= DRAIN_SECONDS + 2, f"cut after {lasted:.2f} s")
    figures.append(f"cut after {lasted:.2f} s")
    clean(gateway.child.text())
