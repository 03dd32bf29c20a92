"""The command line as operators and scripts use it: exit codes, messages, the demo, and places without a disk."""

import os
import re
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from caller import Caller, head
from gateway import Settings, World, clean, leave, ready
from harness import Child, eventually, expect, free_port, run, same
from nginx import Nginx

DEMO_STATUSES = ["200", "200", "401", "401", "200"]
"""Of the curl lines of the demo, in their order: two callers, no key, an expired key, the counters."""


@dataclass(frozen=True)
class Wrong:
    """A wrong command line."""

    name: str
    arguments: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    """What the message contains."""


WRONG = (
    Wrong("nothing", (), 2, ("Usage: keyferry",)),
    Wrong("an unknown command", ("serve",), 2, ("unrecognized subcommand 'serve'",)),
    Wrong("an unknown option", ("run", "--confg", "x"), 2, ("--confg", "--config")),
    Wrong("an option without its value", ("run", "-c"), 2, ("a value is required",)),
    Wrong("too much", ("demo", "now"), 2, ("unexpected argument 'now'",)),
    Wrong("a key as an argument", ("hash", "hunter2"), 2, ("history of the shell",)),
    Wrong("no key on standard input", ("hash",), 1, ("keyferry hash: ",)),
    Wrong("run without a file", ("run", "-c", "/nonexistent/k.toml"), 1, ("/nonexistent/k.toml", "no such file")),
    Wrong("check without a file", ("check", "-c", "/nonexistent/k.toml"), 1, ("no such file", "1 error")),
    Wrong("a directory as the file", ("check", "-c", "/tmp"), 1, ("/tmp", "1 error")),
)

WRONG_LINES = (
    ("an unknown key", "shards = 2", "shrads = 2", ("shrads", "did you mean shards?")),
    ("a wrong type", "shards = 2", 'shards = "many"', ("shards", "many")),
    ("a value out of range", "shards = 2", "shards = 5000", ("shards", "5000", "256")),
    ("a duration without a unit", 'drain_timeout = "5s"', 'drain_timeout = "5"', ("drain_timeout", "5")),
    ("an address without a port", 'address = "127.0.0.1:0"', 'address = "127.0.0.1"', ("address", "127.0.0.1")),
    ("a scheme that is none", 'url = "http://', 'url = "ftp://', ("url", "ftp")),
    ("a line that is no TOML", "shards = 2", "shards = = 2", ("error",)),
    ("a broken reference", 'target = "api"', 'target = "apo"', ("apo", "api")),
    ("a bad digest", 'sha256 = "', 'sha256 = "zz', ("sha256",)),
)
"""What a line of a good configuration is replaced by, and what the message then contains."""


def topic(world: World, nginx: Nginx) -> None:
    """All of it; what has nothing to do with a driver is looked at once."""
    if world.driver == "auto":
        command_line(world)
        configuration(world)
        demo(world)
        with world.check("the demo goes on when its output is closed early"):
            closed_early(world)
    with world.check("run writes no file: none can be written, and the working directory is /proc"):
        nothing_written(world, nginx)
    with world.check("run goes on when its log cannot be written: full disk"):
        full_log(world, nginx)
    with world.check("run drains in order when nobody reads its log any more"):
        closed_log(world, nginx)
    with world.check("a port that is taken is named"):
        taken(world, nginx)


def command_line(world: World) -> None:
    """Exit codes: 0 for success, 1 for failure, 2 for wrong arguments."""
    for wrong in WRONG:
        with world.check(f"wrong arguments: {wrong.name}: exit code {wrong.code}"):
            done = run([world.keyferry, *wrong.arguments])
            text = (done.stdout + done.stderr).decode()
            same(done.returncode, wrong.code, f"exit code, with {text!r}")
            same([word for word in wrong.says if word not in text], [], f"missing in {text!r}")
            expect("hunter2" not in text and "panicked" not in text, text)
    with world.check("--help and --version succeed"):
        for argument in ("--help", "--version"):
            done = run([world.keyferry, argument])
            same((done.returncode, done.stderr), (0, b""), argument)
    with world.check("check into a full disk fails, without a panic"):
        good = write(world, "full.toml", Settings(world.driver, {"api": "http://127.0.0.1:1"}).text())
        with open("/dev/full", "wb") as full:
            done = run([world.keyferry, "check", "-c", good], stdout=full)
        same((done.returncode, done.stderr), (1, b""), "exit code and message")


def configuration(world: World) -> None:
    """Every error names the file and the line, and says the same in `check` and in `run`."""
    text = Settings(world.driver, {"api": "http://127.0.0.1:1"}).text()
    with world.check("a good configuration: check succeeds"):
        done = run([world.keyferry, "check", "-c", write(world, "good.toml", text)])
        same(done.returncode, 0, f"exit code, with {done.stdout!r}")
    for name, old, new, says in WRONG_LINES:
        with world.check(f"wrong configuration: {name}"):
            expect(old in text, f"there is no {old!r} to replace")
            changed = text.replace(old, new, 1)
            file = write(world, "wrong.toml", changed)
            line = changed[:changed.index(new)].count("\n") + 1
            done = run([world.keyferry, "check", "-c", file])
            found = done.stdout.decode()
            same(done.returncode, 1, f"exit code, with {found!r}")
            for word in (f"{file}:{line}", *says):
                expect(word in found, f"no {word!r} in {found!r}")
            if "1 broken" not in found:
                started = run([world.keyferry, "run", "-c", file])
                same(started.returncode, 1, "exit code of run")
                expect(f"{file}:{line}" in started.stderr.decode(), f"run says {started.stderr!r}")


def write(world: World, name: str, text: str) -> str:
    """A file in the temporary directory."""
    path = world.directory / name
    path.write_text(text)
    return str(path)


def demo(world: World) -> None:
    """Every line that it prints for people to try is tried."""
    child = world.children.start("demo", [world.keyferry, "demo"])
    gateway = ready(child)
    eventually("it has printed everything", lambda: "Ctrl-C ends it." in child.text())
    lines = [line for line in child.text().splitlines() if line.startswith("curl ")]
    with world.check("demo: it prints as many lines as are documented"):
        same(len(lines), len(DEMO_STATUSES), f"lines {lines}")
    for line, status in zip(lines, DEMO_STATUSES):
        shown = re.sub(r"demo_[a-z]+_[0-9a-f]+", "KEY", re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", line))
        with world.check(f"demo: {shown}: {status}"):
            done = run(["bash", "-c", line])
            same((done.returncode, done.stderr), (0, b""), "exit code and messages")
            expect(len(done.stdout) > 0, "no answer")
            asked = run(["bash", "-c", f"{line} -o /dev/null -w '%{{http_code}}'"])
            same(asked.stdout.decode(), status, "status")
    with world.check("demo: Ctrl-C ends it"):
        child.signal(signal.SIGINT)
        same(child.exit_code(), 0, "exit code")
        expect(Path(child.log).exists() and not gateway.child.runs(), "it still runs")


def closed_early(world: World) -> None:
    """`keyferry demo | head -1`: whoever read is gone, before or after the first line."""
    for lines in (0, 1):
        reading, writing = os.pipe()
        log = (world.directory / f"closed-{lines}.log").open("wb")
        child = world.children.start("demo", [world.keyferry, "demo"], stdout=writing, stderr=log)
        os.close(writing)
        if lines:
            os.read(reading, 1)
        os.close(reading)
        child.log = Path(log.name)
        gateway = ready(child)
        same(Caller(gateway.peer).get("/crm/x").status, 401, "status for an unknown key")
        leave(gateway)


def nothing_written(world: World, nginx: Nginx) -> None:
    """With a limit of 0 bytes on files every write to one fails, as on a full disk."""
    reading, writing = os.pipe()

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # a write would be the end

    name = write(world, "nothing.toml", Settings(world.driver, {"api": nginx.url}).text())
    command = [world.keyferry, "run", "-c", name]
    child = world.children.start("keyferry", command, stdout=writing, stderr=writing, cwd="/proc", preexec_fn=no_files)
    os.close(writing)
    with open(reading, "rb", buffering=0) as log:
        text = b""
        while b"INFO ready" not in text and (piece := log.read(65536)):
            text += piece
        child.log.write_bytes(text)
        gateway = ready(child)
        same(Caller(gateway.peer).get("/api/files/1m").status, 200, "status")
        child.signal(signal.SIGTERM)
        same(child.exit_code(), 0, "exit code")
        clean((text + log.read()).decode())


def full_log(world: World, nginx: Nginx) -> None:
    """From the first line on."""
    with open("/dev/full", "wb") as full:
        child, address = start_unheard(world, nginx, stderr=full)
    # It cannot say when it is ready: it has to serve for a while.
    for _ in range(20):
        eventually("it serves", lambda: serves(child, address))
        time.sleep(0.02)
    child.signal(signal.SIGTERM)
    same(child.exit_code(), 0, "exit code")


def closed_log(world: World, nginx: Nginx) -> None:
    """The collector of the log ends after a good start; what comes next is logged into nothing."""
    reading, writing = os.pipe()
    child, address = start_unheard(world, nginx, stderr=writing)
    os.close(writing)
    with open(reading, "rb", buffering=0) as log:
        text = b""
        while b"INFO ready" not in text and (piece := log.read(65536)):
            text += piece
    expect(serves(child, address), "it does not serve")
    caller = Caller(peer(address))
    caller.send(head("GET", "/api/slow/64k"))
    same(caller.open_answer().status, 200, "status")
    child.signal(signal.SIGTERM)
    same(child.exit_code(), 0, "exit code of a drain that cannot be logged")


def start_unheard(world: World, nginx: Nginx, **options: object) -> tuple[Child, str]:
    """A gateway that cannot say where it listens."""
    address = f"127.0.0.1:{free_port()}"
    text = Settings(world.driver, {"api": nginx.url}, address=address).text()
    command = [world.keyferry, "run", "-c", write(world, "unheard.toml", text)]
    return world.children.start("keyferry", command, **options), address


def peer(address: str) -> tuple[str, int]:
    """Where a socket connects to."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def serves(child: Child, address: str) -> bool:
    """Whether a request gets its answer."""
    expect(child.runs(), f"keyferry has ended with {child.popen.poll()}")
    try:
        caller = Caller(peer(address))
        status = caller.get("/api/files/1k").status
        caller.close()
        return status == 200
    except ConnectionError:
        return False


def taken(world: World, nginx: Nginx) -> None:
    """Of the listener and of the admin listener; the one who has it goes on."""
    first = world.start(Settings(world.driver, {"api": nginx.url}))
    other = f"127.0.0.1:{nginx.port}"
    for what, changes in (("listener", {"address": other}), ("admin listener", {"admin": other}),
                          ("admin listener", {"admin": first.admin}), ("listener", {"address": first.admin})):
        settings = Settings(world.driver, {"api": nginx.url}, **changes)
        done = run([world.keyferry, "run", "-c", write(world, "taken.toml", settings.text())])
        said = done.stderr.decode()
        same(done.returncode, 1, f"exit code, with {said!r}")
        expect(f"{what} {next(iter(changes.values()))}" in said, f"it says {said!r}")
    same(Caller(first.peer).get("/api/files/1k").status, 200, "status")
    leave(first)
