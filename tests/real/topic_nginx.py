"""nginx behind keyferry, curl and wrk in front of it: what curl gets through keyferry is what it gets without."""

import hashlib
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from caller import Caller
from gateway import KEY, Gateway, World
from harness import expect, run, same
from nginx import SIZES, Nginx

FIELDS = ("content-length", "content-type", "content-encoding", "content-range", "transfer-encoding", "etag",
          "last-modified", "location", "set-cookie", "accept-ranges", "vary", "allow")
"""Fields of an answer that have to arrive as they were sent."""

WRK_CONNECTIONS, WRK_SECONDS = 64, 4
HASTY_SECONDS, HASTY_CALLERS = 3, 8


@dataclass
class Fetched:
    """What curl got."""

    status: str
    version: str
    fields: dict[str, list[str]]
    digest: str
    length: int


@dataclass(frozen=True)
class Case:
    """One thing that curl asks for."""

    name: str
    path: str
    status: str = "200"
    arguments: tuple[str, ...] = ()
    chunked: bool | None = None
    boundary: bool = False
    """Parts are divided by a number that differs from answer to answer."""
    seconds: float = 0.0
    """How long it takes at least."""


CASES = (
    *(Case(f"{size} with sendfile", f"/files/{size}", chunked=False) for size in SIZES),
    *(Case(f"{size} copied", f"/copied/{size}", chunked=False) for size in SIZES),
    *(Case(f"{size} in chunks", f"/chunked/{size}", chunked=True) for size in SIZES if size != "0"),
    *(Case(f"{size} until close", f"/until-close/{size}", chunked=False) for size in SIZES if size != "0"),
    *(Case(f"{size} and Connection: close", f"/closing/{size}", chunked=False) for size in SIZES),
    Case("chunks that nginx relays", "/relayed/1m", chunked=True),
    Case("gzip", "/zipped/text.txt", arguments=("-H", "Accept-Encoding: gzip"), chunked=True),
    Case("gzip, unpacked by curl", "/zipped/text.txt", arguments=("--compressed",)),
    Case("gzip not asked for", "/zipped/text.txt", chunked=False),
    Case("204", "/empty", "204"),
    Case("304", "/files/1m", "304", ("-H", "If-None-Match: ETAG")),
    Case("200 for another entity tag", "/files/1k", "200", ("-H", 'If-None-Match: "other"')),
    Case("412", "/files/1k", "412", ("-H", 'If-Match: "other"')),
    *(Case(f"HEAD of {size}", f"/files/{size}", arguments=("-I",)) for size in SIZES),
    Case("HEAD of what is sent in chunks", "/chunked/1k", arguments=("-I",)),
    Case("HEAD of what is not there", "/files/none", "404", ("-I",)),
    Case("first bytes", "/files/1m", "206", ("-r", "0-99")),
    Case("last bytes", "/files/1m", "206", ("-r", "-70000")),
    Case("bytes of the middle", "/files/1m", "206", ("-r", "1000-700000")),
    Case("several ranges", "/files/1m", "206", ("-r", "0-9,500-600"), boundary=True),
    Case("a range beyond the end", "/files/1k", "416", ("-r", "5000-")),
    Case("redirect 301", "/moved", "301"),
    Case("redirect 302 elsewhere", "/found", "302"),
    Case("redirect 308", "/kept", "308"),
    Case("404", "/files/none", "404"),
    Case("405", "/files/1k", "405", ("-X", "DELETE")),
    Case("500", "/broken", "500"),
    Case("two cookies", "/cookies"),
    Case("HTTP/1.0 caller", "/files/64k", arguments=("-0",), chunked=False),
    Case("HTTP/1.0 caller of chunks", "/chunked/64k", arguments=("-0",), chunked=False),
    Case("HTTP/1.0 caller who keeps", "/files/1k", arguments=("-0", "-H", "Connection: keep-alive")),
    Case("caller who closes", "/files/1m", arguments=("-H", "Connection: close")),
    Case("slowly", "/slow/64k", seconds=0.8),
)


def topic(world: World, nginx: Nginx) -> None:
    """All of it."""
    targets = {"api": nginx.url, "lasting": nginx.lasting_url, "hasty": nginx.hasty_url}
    with world.gateway(targets) as gateway:
        for case in CASES:
            with world.check(f"nginx: {case.name}") as figures:
                compare(world, gateway, nginx, case, figures)
        for size in SIZES:
            with world.check(f"nginx: upload of {size}"):
                upload(world, gateway, nginx, size, [])
            if size != "0":  # curl itself hangs when it has nothing to send in chunks
                with world.check(f"nginx: upload of {size} in chunks"):
                    upload(world, gateway, nginx, size, ["-H", "Transfer-Encoding: chunked"])
        with world.check("nginx: 205 requests on one connection, although nginx ends its after every tenth"):
            one_connection(gateway)
        with world.check("nginx ends kept connections all the time: callers get nothing but 200") as figures:
            hasty(gateway, figures)
        with world.check("wrk: no error, although nginx ends its connections after every hundredth") as figures:
            wrk(gateway, figures)


def fetch(directory: Path, url: str, arguments: tuple[str, ...]) -> Fetched:
    """Has curl get something."""
    fields, body = directory / "curl-fields", directory / "curl-body"
    body.write_bytes(b"")
    command = ["curl", "-sS", "--http1.1", "-m", "20", "-D", str(fields), "-o", str(body), "-w", "%{http_code}"]
    done = run([*command, "-H", f"X-API-Key: {KEY}", *arguments, url])
    same((done.returncode, done.stderr), (0, b""), f"curl {url}")
    lines = fields.read_bytes().decode("latin-1").split("\r\n\r\n")[-2].split("\r\n")
    named: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        named.setdefault(name.lower(), []).append(value.strip())
    data = body.read_bytes() if "-I" not in arguments else b""
    return Fetched(done.stdout.decode(), lines[0].split(" ")[0], named, hashlib.sha256(data).hexdigest(), len(data))


def compare(world: World, gateway: Gateway, nginx: Nginx, case: Case, figures: list[str]) -> None:
    """Fetches with and without keyferry."""
    arguments = case.arguments
    if any("ETAG" in argument for argument in arguments):
        tag = fetch(world.directory, nginx.url + case.path, ()).fields["etag"][0]
        arguments = tuple(argument.replace("ETAG", tag) for argument in arguments)
    direct = fetch(world.directory, nginx.url + case.path, arguments)
    began = time.monotonic()
    through = fetch(world.directory, gateway.url("/api" + case.path), arguments)
    took = time.monotonic() - began
    same((direct.status, through.status), (case.status, case.status), "status without and with keyferry")
    same(through.length, direct.length, "length of the body")
    if not case.boundary:
        same(through.digest, direct.digest, "digest of the body")
        for name in FIELDS:
            # A body that ends with the connection has another framing on a kept one.
            if name != "transfer-encoding" or case.chunked is not False:
                same(through.fields.get(name), direct.fields.get(name), f"{name} with keyferry")
    if case.chunked is not None and "until-close" not in case.path:
        same("transfer-encoding" in direct.fields, case.chunked, "nginx sends chunks")
    expect(took >= case.seconds, f"took {took:.2f} s only")
    if case.seconds:
        figures.append(f"{took:.2f} s")


def upload(world: World, gateway: Gateway, nginx: Nginx, size: str, arguments: list[str]) -> None:
    """PUTs a file and looks at what nginx has stored."""
    name = f"{world.driver}-{size}-{len(arguments)}"
    command = ["curl", "-sS", "--http1.1", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]
    to = gateway.url(f"/api/put/{name}")
    done = run([*command, "-T", str(nginx.file(size)), "-H", f"X-API-Key: {KEY}", *arguments, to])
    same((done.returncode, done.stderr, done.stdout), (0, b"", b"201"), "curl -T")
    stored = (nginx.directory / "put" / name).read_bytes()
    expect(stored == nginx.file(size).read_bytes(), f"nginx has stored {len(stored)} bytes, and others")


def one_connection(gateway: Gateway) -> None:
    """curl with many addresses: it says how often it had to connect."""
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n"]
    done = run([*command, "-H", f"X-API-Key: {KEY}", gateway.url("/api/files/1k?[1-205]")])
    lines = done.stdout.decode().splitlines()
    same(lines, ["200 1", *["200 0"] * 204], "statuses and connections")


def hasty(gateway: Gateway, figures: list[str]) -> None:
    """Callers who ask just when nginx is about to end the connection that keyferry has kept."""
    seen: dict[str, int] = {}
    ends = time.monotonic() + HASTY_SECONDS

    def ask(number: int) -> None:
        caller, turn = Caller(gateway.peer), number
        while time.monotonic() < ends:
            try:
                status = str(caller.get("/hasty/1k").status)
            except OSError as error:
                status = repr(error)
            seen[status] = seen.get(status, 0) + 1
            turn += 1
            time.sleep(0.046 + 0.001 * (turn % 9))  # nginx waits for 50 ms
        caller.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(HASTY_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(list(seen), ["200"], f"answers ({seen})")
    figures.append(f"{HASTY_CALLERS} callers, {seen['200']} requests")


def wrk(gateway: Gateway, figures: list[str]) -> None:
    """wrk reports errors of sockets and other statuses in lines of their own, when there are any."""
    command = ["wrk", "-t", "1", "-c", str(WRK_CONNECTIONS), "-d", f"{WRK_SECONDS}s", "-H", f"X-API-Key: {KEY}"]
    text = run([*command, gateway.url("/lasting/1k")]).stdout.decode()
    found = re.search(r"(\d+) requests in", text)
    if not found:
        expect(False, f"wrk said {text!r}")
        return
    expect(int(found[1]) > 1000, f"only {found[1]} requests")
    expect("Socket errors" not in text and "Non-2xx" not in text, text.replace("\n", "; "))
    figures.append(f"{WRK_CONNECTIONS} connections, {found[1]} requests")
