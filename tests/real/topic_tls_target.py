"""nginx with TLS as the API: whom keyferry trusts, what it shows, and how often the two shake hands."""

from dataclasses import dataclass

from certificates import Certificate
from gateway import KEY, TOKEN, Gateway, World
from harness import expect, eventually, run, same
from nginx_tls import REQUESTS_PER_CONNECTION, SecureNginx

REQUESTS = 200


@dataclass(frozen=True)
class Case:
    """A target: which server, what its `[target.tls]` says beside the authority, and what becomes of a request."""

    name: str
    server: str
    tls: str = ""
    status: str = "200"
    host: str = "localhost"
    trusting: bool = True
    """Whether the authority is named."""


def cases(nginx: SecureNginx) -> list[Case]:
    """Every one."""
    good, wrong = nginx.certificates["good"].pin(), nginx.client.pin()
    bad, anybody = "502 upstream-certificate-", "dangerous_accept_any_certificate = true"
    return [
        Case("a name in the certificate", "good"),
        Case("an address in the certificate", "good", host="127.0.0.1"),
        Case("an RSA certificate", "rsa"),
        Case("a name that is not in the certificate", "other-name", status=bad + "name"),
        Case("server_name that is in it", "other-name", 'server_name = "other.example"'),
        Case("server_name that is not in it", "good", 'server_name = "other.example"', status=bad + "name"),
        Case("an unknown authority", "unknown", status=bad + "issuer"),
        Case("authorities of the machine only", "good", status=bad + "issuer", trusting=False),
        Case("an expired certificate", "expired", status=bad + "expired"),
        Case("a certificate that signs itself", "self-signed", status=bad + "issuer"),
        Case("its pin", "good", f'pins = ["{good}"]'),
        Case("one of its pins", "good", f'pins = ["{wrong}", "{good}"]'),
        Case("the pin of its authority", "good", f'pins = ["{nginx.authority.root.pin()}"]'),
        Case("another pin", "good", f'pins = ["{wrong}"]', status=bad + "pin"),
        Case("a pin does not replace the authority", "self-signed",
             f'pins = ["{nginx.certificates["self-signed"].pin()}"]', status=bad + "issuer"),
        Case("any certificate: signs itself", "self-signed", anybody, trusting=False),
        Case("any certificate: expired", "expired", anybody, trusting=False),
        Case("any certificate: another name", "other-name", anybody, trusting=False),
        Case("any certificate, but with its pin", "self-signed",
             f'{anybody}, pins = ["{nginx.certificates["self-signed"].pin()}"]', trusting=False),
        Case("any certificate, but another pin", "self-signed", f'{anybody}, pins = ["{wrong}"]',
             status=bad + "pin", trusting=False),
        Case("asks for a certificate and gets it", "asking", f"client_certificate = {nginx.client.table}"),
        # nginx shakes hands all the same, and then says so in HTTP.
        Case("asks for a certificate and gets none", "asking", status="400"),
        Case("TLS 1.2 only", "tls12"),
        Case("TLS 1.3 only", "tls13"),
        Case("TLS 1.2 only, where 1.3 is wanted", "tls12", 'min_version = "1.3"', status="502 upstream-tls-refused"),
        Case("TLS 1.3 only, where 1.3 is wanted", "tls13", 'min_version = "1.3"'),
        Case("a plain port", "plain", status="502 upstream-tls"),
    ]


def topic(world: World, nginx: SecureNginx, plain: int) -> None:
    """All of it; at the port `plain` something listens that knows no TLS."""
    nginx.ports["plain"] = plain
    every = cases(nginx)
    aliases = {f"case-{number}": case for number, case in enumerate(every)}
    lines = {alias: target_tls(nginx, case) for alias, case in aliases.items()}
    targets = {alias: nginx.url(case.server, case.host) for alias, case in aliases.items()}
    for name in ("short12", "short13"):
        targets[name], lines[name] = nginx.url(name), target_tls(nginx, Case(name, name))
    with world.gateway(targets, target_lines=lines, token=True) as gateway:
        for alias, case in aliases.items():
            with world.check(f"TLS target: {case.name}: {case.status}"):
                ask(gateway, nginx, alias, case)
        with world.check("TLS target: no session of a target that trusts helps one that does not"):
            for alias, case in aliases.items():
                if case.status.startswith("502"):
                    ask(gateway, nginx, alias, case)
        with world.check(f"TLS target: {REQUESTS} requests make few handshakes") as figures:
            pooled(gateway, nginx, figures)
        for name in ("short12", "short13"):
            with world.check(f"TLS target: new connections resume the session, {name}") as figures:
                resumed(gateway, nginx, name, figures)


def target_tls(nginx: SecureNginx, case: Case) -> str:
    """The line of a target."""
    roots: Certificate = nginx.authority.root
    parts = [f'roots = "{roots.cert}"'] if case.trusting else []
    return f"tls = {{ {', '.join(parts + [case.tls] * bool(case.tls))} }}"


def ask(gateway: Gateway, nginx: SecureNginx, alias: str, case: Case) -> None:
    """One request. An API that is not trusted sees nothing of it, above all not its credential."""
    serves = case.server != "plain"
    before = len(nginx.lines(case.server)) if serves else 0
    done = run(["curl", "-sS", "-m", "10", "-w", "%{http_code}", "-H", f"X-API-Key: {KEY}", gateway.url(f"/{alias}/x")])
    body, status = done.stdout[:-3].decode(), done.stdout[-3:].decode()
    expected, _, word = case.status.partition(" ")
    same(status, expected, f"status (and {body!r})")
    expect(word in body, f"{word} is missing in {body!r}")
    if word:
        if serves:
            same(nginx.lines(case.server)[before:], [], "requests that the API saw")
        return
    eventually("nginx logs it", lambda: len(nginx.lines(case.server)) > before)
    line, = nginx.lines(case.server)[before:]
    same(line.authorization, f"Bearer {TOKEN}", "credential")
    if case.server == "asking":
        same(line.verified, "SUCCESS" if expected == "200" else "NONE", "the gateway's certificate")
    if case.server in ("tls12", "tls13"):
        same(line.protocol, f"TLSv1.{case.server[-1]}", "version")


def many(gateway: Gateway, nginx: SecureNginx, alias: str, server: str) -> list[tuple[str, bool]]:
    """Many requests on one connection: the connections that nginx saw, and whether their sessions were resumed."""
    before = len(nginx.lines(server))
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "-H", f"X-API-Key: {KEY}"]
    done = run([*command, gateway.url(f"/{alias}/x?[1-{REQUESTS}]")])
    same(done.stdout.decode().split(), ["200"] * REQUESTS, "statuses")
    eventually("nginx logs them", lambda: len(nginx.lines(server)) >= before + REQUESTS)
    return list(dict.fromkeys((line.connection, line.reused) for line in nginx.lines(server)[before:]))


def pooled(gateway: Gateway, nginx: SecureNginx, figures: list[str]) -> None:
    """Connections are kept."""
    seen = many(gateway, nginx, "case-0", "good")
    figures.append(f"{len(seen)} connections")
    expect(len(seen) <= 2, f"{len(seen)} connections")


def resumed(gateway: Gateway, nginx: SecureNginx, name: str, figures: list[str]) -> None:
    """nginx ends each connection after a few requests; the next handshake has to be a short one."""
    seen = many(gateway, nginx, name, name)
    full = sum(not reused for _, reused in seen)
    figures.append(f"{len(seen)} connections, {full} of them with a full handshake")
    expect(len(seen) >= REQUESTS // REQUESTS_PER_CONNECTION, f"only {len(seen)} connections")
    expect(full <= 1, f"{full} full handshakes of {len(seen)}")
