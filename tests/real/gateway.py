"""keyferry as an operator runs it: a configuration file, `keyferry run`, signals, the admin listener."""

import hashlib
import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import Child, Children, Failed, Report, descriptors, eventually, memory_kib, same

KEY = "real_0f6d2c8a94b1e7"
"""The key of every caller here; configurations hold its digest only."""

TOKEN = "real_target_81c5e9d07f3a62"
"""What APIs receive, where a topic wants them to receive something."""

SECRET_WORDS = (KEY, TOKEN)
"""What may never be in a log."""


@dataclass
class Settings:
    """What differs from gateway to gateway. Every alias leads to a target of its own."""

    driver: str
    targets: dict[str, str]
    address: str = "127.0.0.1:0"
    admin: str = "127.0.0.1:0"
    drain: str = "5s"
    timeouts: dict[str, str] = field(default_factory=dict)
    target_timeouts: dict[str, str] = field(default_factory=dict)
    limits: str = ""
    """Lines of what callers may do."""
    listener: str = ""
    """Further lines of the listener."""
    target_lines: dict[str, str] = field(default_factory=dict)
    """Further lines of targets."""
    token: bool = False
    """Whether APIs receive `TOKEN`."""
    more: str = ""
    """Tables behind the others."""

    def text(self) -> str:
        """The configuration file."""
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        head = f"""\
[server]
driver = "{self.driver}"
shards = 2
drain_timeout = "{self.drain}"
[server.timeouts]
{toml_lines(self.timeouts)}
[server.limits]
{self.limits}
[[listener]]
address = "{self.address}"
{self.listener}
[admin]
address = "{self.admin}"
[[credential]]
name = "callers"
type = "proxy"
auth = "key"
keys = [{{ sha256 = "{digest}" }}]
"""
        if self.token:
            head += f'[[credential]]\nname = "gateway"\ntype = "target"\nauth = "bearer"\ntoken = "{TOKEN}"\n'
        return head + "".join(self.proxy(alias, url) for alias, url in self.targets.items()) + self.more

    def proxy(self, alias: str, url: str) -> str:
        """A target and the proxy that leads to it."""
        return f"""\
[[target]]
name = "{alias}"
url = "{url}"
{self.target_lines.get(alias, "")}
[target.timeouts]
{toml_lines(self.target_timeouts)}
[[proxy]]
alias = "{alias}"
target = "{alias}"
proxy_credentials = ["callers"]
upgrades = ["websocket"]
{'target_credential = "gateway"' if self.token else ""}
"""


def toml_lines(values: dict[str, str]) -> str:
    """Keys and strings, a line each."""
    return "\n".join(f'{key} = "{value}"' for key, value in values.items())


@dataclass
class Gateway:
    """A running keyferry."""

    child: Child
    address: str
    admin: str
    scheme: str = "http"

    @property
    def pid(self) -> int:
        """Its process."""
        return self.child.popen.pid

    @property
    def peer(self) -> tuple[str, int]:
        """Where a socket connects to."""
        host, _, port = self.address.rpartition(":")
        return host, int(port)

    def url(self, path: str) -> str:
        """The address of something behind it."""
        return f"{self.scheme}://{self.address}{path}"

    def status(self) -> dict[str, object]:
        """What it says about itself."""
        with urllib.request.urlopen(f"http://{self.admin}/status", timeout=5) as answer:
            return json.load(answer)

    def outcome(self, word: str) -> int:
        """How many requests have ended in one way."""
        outcomes = self.status()["outcomes"]
        return outcomes.get(word, 0) if isinstance(outcomes, dict) else 0

    def memory_kib(self) -> int:
        """Its resident memory."""
        return memory_kib(self.pid)

    def descriptors(self) -> int:
        """Its open descriptors."""
        return descriptors(self.pid)


@dataclass
class World:
    """What a topic is given."""

    report: Report
    children: Children
    directory: Path
    keyferry: str
    driver: str

    def check(self, name: str):
        """A check whose line names the driver."""
        return self.report.check(f"[{self.driver}] {name}")

    def start(self, settings: Settings, **options: object) -> Gateway:
        """Starts a gateway and waits until it accepts callers."""
        name = self.directory / f"{len(self.children.started)}.toml"
        name.write_text(settings.text())
        child = self.children.start("keyferry", [self.keyferry, "run", "-c", str(name)], **options)
        gateway = ready(child)
        gateway.scheme = "https" if "tls" in settings.listener else "http"
        return gateway

    @contextmanager
    def gateway(self, targets: dict[str, str], **changes: object) -> Iterator[Gateway]:
        """A gateway for one topic; at its end it has to leave in order, with a clean log."""
        gateway = self.start(Settings(self.driver, targets, **changes))
        try:
            yield gateway
        finally:
            with self.check("keyferry ends in order, and its log is clean"):
                leave(gateway)


def ready(child: Child) -> Gateway:
    """Waits until a keyferry that was started accepts callers."""

    def look() -> bool:
        if not child.runs():
            raise Failed(f"keyferry did not start: {child.text()}")
        return bool(re.search(r"INFO ready", child.text()))

    eventually("keyferry accepts callers", look)
    admin, address = (re.search(rf"INFO {words} address=(\S+)", child.text())
                      for words in ("admin listening", "listening"))
    if not admin or not address:
        raise Failed(f"keyferry does not say where it listens: {child.text()}")
    return Gateway(child, address[1], admin[1])


def leave(gateway: Gateway) -> None:
    """Ends a gateway as an init system does and looks at what it leaves."""
    gateway.child.signal(signal.SIGTERM)
    same(gateway.child.exit_code(), 0, "exit code after SIGTERM")
    clean(gateway.child.text())


def clean(log: str) -> None:
    """A log without complaints, and without secrets."""
    bad = [line for line in log.splitlines() if re.search(r"ERROR|panick|does not respond", line)]
    same(bad, [], "lines in the log")
    same([word for word in SECRET_WORDS if word in log], [], "secrets in the log")
