"""testssl.sh looks at a listener with all that it knows: nothing that it finds may be worse than LOW."""

import json
from contextlib import ExitStack
from pathlib import Path

from certificates import KEYS, Authority
from gateway import Gateway, World
from harness import Child, expect, same
from nginx import Nginx

SECONDS_MAX = 400

GOOD = ("DEBUG", "INFO", "OK", "LOW")

EXCEPTIONS = {
    "engine_problem": "about the openssl that testssl itself uses: Debian's has no GOST",
}
"""Findings that say nothing about keyferry, and why."""

EXPECTED = {
    "TLS1": "not offered",
    "TLS1_1": "not offered",
    "TLS1_2": "offered",
    "TLS1_3": "offered with final",
    "cert_trust": "Ok via SAN",
    "cert_chain_of_trust": "passed.",
    "heartbleed": "not vulnerable",
    "RC4": "not vulnerable",
}
"""How some findings begin, from its first part to its last: it has to have come so far."""


def topic(world: World, nginx: Nginx) -> None:
    """A gateway for each kind of key, both looked at at the same time. TLS is the same with every driver."""
    if world.driver != "auto":
        return
    own = Authority.make(world.directory / "testssl")
    looks: dict[str, tuple[Child, Path]] = {}
    with ExitStack() as stack:
        for key in KEYS:
            certificate = own.issue(key, "DNS:localhost,IP:127.0.0.1", key)
            listener = f"tls = {{ certificates = [{certificate.table}] }}"
            gateway = stack.enter_context(world.gateway({"api": nginx.url}, listener=listener))
            looks[key] = look(world, gateway, own, key)
        for key, (child, findings) in looks.items():
            with world.check(f"testssl: nothing worse than LOW, {key}") as figures:
                child.exit_code(SECONDS_MAX)
                judge(child, findings, figures)


def look(world: World, gateway: Gateway, own: Authority, key: str) -> tuple[Child, Path]:
    """Starts testssl with what it does by itself, but without questions to the rest of the world."""
    findings = own.directory / f"{key}.json"
    command = ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "127.0.0.1", "--nodns", "none",
               "--add-ca", str(own.root.cert), "--jsonfile", str(findings)]
    return world.children.start("testssl", [*command, f"https://localhost:{gateway.peer[1]}/api/empty"]), findings


def judge(child: Child, path: Path, figures: list[str]) -> None:
    """Everything that it has found."""
    findings = {each["id"]: each for each in json.loads(path.read_text())}
    bad = [f"{each['id']}: {each['severity']}, {each['finding']}" for each in findings.values()
           if each["severity"] not in GOOD and each["id"] not in EXCEPTIONS]
    same(bad, [], "findings")
    for name, text in EXPECTED.items():
        expect(findings[name]["finding"].startswith(text) if name in findings else False,
               f"{name}: {findings.get(name)}; {child.text()[-500:]}")
    low = [name for name, each in findings.items() if each["severity"] == "LOW"]
    figures.append(f"{len(findings)} findings, LOW: {', '.join(low) or 'none'}")
