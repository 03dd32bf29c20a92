"""Callers with TLS: openssl s_client for the handshake, curl for bodies, wrk and h2load for many at once."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from api import Api
from caller import head
from certificates import Authority
from gateway import KEY, Gateway, World
from harness import PATIENCE_SECONDS, eventually, expect, run, same
from nginx import Nginx
from topic_bodies import Big

SUITES = {
    "gw.example": {
        "-ciphersuites": ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
        "-cipher": ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    },
    "rsa.example": {
        "-cipher": ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"),
    },
}
"""By the name whose certificate they need, and by the option of s_client, which differs between TLS 1.3 and 1.2."""

NAMES = {
    "gw.example": "gw",
    "rsa.example": "rsa",
    "a.wild.example": "wild",
    "A.WILD.example": "wild",
    "wild.example": "gw",
    "a.b.wild.example": "gw",
    "unheard.example": "gw",
    "": "gw",
}
"""Names that callers ask for, and the certificate that they see."""

RESUMED = 24
"""Enough that each shard has to take a ticket of the other one."""

WRK_SECONDS, WRK_CONNECTIONS = 2, 32
H2LOAD_REQUESTS = 3000


@dataclass
class Seen:
    """What s_client has said."""

    code: int
    text: str

    def line(self, pattern: str) -> str:
        """What the group of a pattern found."""
        found = re.search(pattern, self.text, re.MULTILINE)
        return found[1] if found else ""

    def answered(self) -> None:
        """The handshake was good, and so were the answer and the end."""
        same(self.line(r"Verify return code: (\d+)"), "0", "verification")
        same(self.line(r"^HTTP/1.1 (\d+)"), "200", f"status in {self.text[-500:]!r}")
        same(self.code, 0, "exit code of s_client")
        told = re.search(r"^<<< .*Alert .*warning close_notify", self.text, re.MULTILINE)
        expect(bool(told), "the end was not told with close_notify")


@dataclass
class Asking:
    """A gateway, and what callers need to know about it."""

    gateway: Gateway
    root: Path

    def s_client(self, *arguments: str, name: str = "gw.example") -> Seen:
        """One request over a connection that s_client makes."""
        named = ["-servername", name] if name else ["-noservername"]
        command = ["openssl", "s_client", "-connect", self.gateway.address, "-CAfile", str(self.root), *named]
        request = head("GET", "/api/files/1k", "Connection: close\r\n")
        done = run([*command, "-verify_return_error", "-msg", "-ign_eof", *arguments], PATIENCE_SECONDS, input=request)
        return Seen(done.returncode, (done.stdout + done.stderr).decode("latin-1"))

    def curl(self, path: str, *arguments: str) -> tuple[int, str, str]:
        """Exit code of curl, what it prints and what it complains about."""
        resolve = ["--resolve", f"gw.example:{self.gateway.peer[1]}:127.0.0.1"]
        command = ["curl", "-sS", "-m", "60", *resolve, "-H", f"X-API-Key: {KEY}", *arguments]
        done = run([*command, f"https://gw.example:{self.gateway.peer[1]}{path}"])
        return done.returncode, done.stdout.decode(), done.stderr.decode()


def topic(world: World, nginx: Nginx, api: Api, big: Big) -> None:
    """All of it."""
    own = Authority.make(world.directory / f"tls-{world.driver}")
    unknown = Authority.make(world.directory / f"tls-unknown-{world.driver}")
    issued = [own.issue("gw", "DNS:gw.example,IP:127.0.0.1"), own.issue("rsa", "DNS:rsa.example", "rsa"),
              own.issue("wild", "DNS:*.wild.example")]
    listener = f"tls = {{ certificates = [{', '.join(each.table for each in issued)}] }}"
    with world.gateway({"api": nginx.url, "lasting": nginx.lasting_url, "own": api.url}, listener=listener) as gateway:
        asking = Asking(gateway, own.root.cert)
        handshakes(world, asking)
        with world.check("curl: an authority that it does not know"):
            code, _, error = asking.curl("/api/files/1k", "--cacert", str(unknown.root.cert))
            same(code, 60, f"exit code ({error})")
        size = f"{big.size // 1024 // 1024} MiB"
        with world.check(f"curl: {size} down over TLS"):
            download(world, asking, big)
        for how in ("Content-Length", "Transfer-Encoding: chunked"):
            with world.check(f"curl: {size} up over TLS, {how}"):
                upload(asking, big, ["-H", how] if ":" in how else [])
        with world.check("wrk: no error over TLS") as figures:
            wrk(gateway, figures)
        with world.check("h2load: no error over TLS") as figures:
            h2load(gateway, figures)
        with world.check("plain HTTP at a port with TLS: 400, and a word for it"):
            plain(asking)


def handshakes(world: World, asking: Asking) -> None:
    """What s_client can look at."""
    for name, options in SUITES.items():
        for option, suites in options.items():
            version = "1.3" if option == "-ciphersuites" else "1.2"
            for suite in suites:
                with world.check(f"s_client: TLS {version}, {suite}"):
                    flags = (f"-tls{version.replace('.', '_')}", option, suite, "-alpn", "http/1.1")
                    seen = asking.s_client(*flags, "-verify_hostname", name, name=name)
                    seen.answered()
                    same(seen.line(r"Cipher is (\S+)"), suite, "suite")
                    same(seen.line(r"^ALPN protocol: (\S+)"), "http/1.1", "ALPN")
    for name, certificate in NAMES.items():
        with world.check(f"s_client: asks for {name or 'no name'}, sees the certificate {certificate}"):
            seen = asking.s_client(name=name)
            seen.answered()
            same(seen.line(r"^subject=CN = (\S+)") or seen.line(r"^subject=CN=(\S+)"), certificate, "certificate")
    for version in ("1_2", "1_3"):
        with world.check(f"s_client: sessions of TLS {version} are resumed on every shard") as figures:
            resumed(asking, asking.root.parent / f"session-{version}", f"-tls{version}", figures)
    for version in ("-tls1", "-tls1_1"):
        with world.check(f"s_client: {version} is refused"):
            seen = asking.s_client(version, "-cipher", "ALL@SECLEVEL=0")
            # rustls misses the signature algorithms before it looks at the version, hence the second one.
            refused = re.search(r"alert (protocol version|handshake failure)", seen.text)
            expect(seen.code != 0 and bool(refused), seen.text[-500:])
    with world.check("s_client: h2 alone is refused"):
        seen = asking.s_client("-tls1_2", "-alpn", "h2")
        expect("alert no application protocol" in seen.text, seen.text[-500:])
        seen = asking.s_client("-tls1_3", "-alpn", "h2")
        expect("alert no application protocol" in seen.text, seen.text[-500:])


def resumed(asking: Asking, session: Path, version: str, figures: list[str]) -> None:
    """A ticket that one connection was given is good on others."""
    first = asking.s_client(version, "-sess_out", str(session))
    first.answered()
    expect("\nNew, TLS" in first.text, "the first handshake was not a full one")
    for number in range(RESUMED):
        seen = asking.s_client(version, "-sess_in", str(session))
        seen.answered()
        expect("\nReused, TLS" in seen.text, f"connection {number} was not resumed")
    figures.append(f"{RESUMED} of {RESUMED}")


def download(world: World, asking: Asking, big: Big) -> None:
    """curl writes it to a file."""
    to = world.directory / "down"
    same(asking.curl(f"/api/files/{big.path.name}", "--cacert", str(asking.root), "-o", str(to)), (0, "", ""), "curl")
    expect(to.read_bytes() == big.path.read_bytes(), "other bytes")
    to.unlink()


def upload(asking: Asking, big: Big, arguments: list[str]) -> None:
    """The API counts and checksums."""
    code, text, error = asking.curl("/own/count", "--cacert", str(asking.root), "-T", str(big.path), *arguments)
    same((code, error), (0, ""), "curl -T")
    same(json.loads(text), {"bytes": big.size, "crc32": big.checksum, "chunked": bool(arguments)}, "what the API got")


def wrk(gateway: Gateway, figures: list[str]) -> None:
    """wrk reports errors in lines of their own, when there are any."""
    command = ["wrk", "-t", "1", "-c", str(WRK_CONNECTIONS), "-d", f"{WRK_SECONDS}s", "-H", f"X-API-Key: {KEY}"]
    text = run([*command, gateway.url("/lasting/1k")]).stdout.decode()
    found = re.search(r"(\d+) requests in", text)
    count = int(found[1]) if found else 0
    expect(count > 500 and "Socket errors" not in text and "Non-2xx" not in text, text.replace("\n", "; "))
    figures.append(f"{count} requests")


def h2load(gateway: Gateway, figures: list[str]) -> None:
    """It counts what came to an end and how."""
    command = ["h2load", "--h1", "-n", str(H2LOAD_REQUESTS), "-c", "16", "-m", "1", "-H", f"X-API-Key: {KEY}"]
    text = run([*command, gateway.url("/lasting/1k")]).stdout.decode()
    good = f"{H2LOAD_REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout"
    expect(good in text and f"{H2LOAD_REQUESTS} 2xx" in text, text.replace("\n", "; "))
    protocol = re.search(r"Application protocol: (\S+)", text)
    figures.append(f"{H2LOAD_REQUESTS} requests, {protocol[1] if protocol else 'no ALPN'}")


def plain(asking: Asking) -> None:
    """The answer comes as the question did."""
    before = asking.gateway.outcome("tls-expected")
    done = run(["curl", "-sS", "-m", "10", "-w", " %{http_code}", f"http://{asking.gateway.address}/api/files/1k"])
    expect(b"tls-expected" in done.stdout and done.stdout.endswith(b" 400"), f"{done.stdout!r}, {done.stderr!r}")
    eventually("it is counted", lambda: asking.gateway.outcome("tls-expected") == before + 1)
