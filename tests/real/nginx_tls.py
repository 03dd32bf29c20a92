"""nginx that speaks TLS as APIs do, well and badly: one server with a port, a certificate and a log for each way."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from certificates import PAST, Authority, Certificate, self_signed
from harness import Child, Children, Failed, eventually, free_port

REQUESTS_PER_CONNECTION = 10
"""Of the servers whose names begin with `short`."""

CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    log_format told "$connection $ssl_session_reused $ssl_protocol $ssl_client_verify $http_authorization";
    default_type text/plain;
{servers}
}}
"""

SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate.cert};
        ssl_certificate_key {certificate.key};
        access_log {log} told;
        {lines}
        location / {{ return 200 "whole\\n"; }}
    }}
"""


@dataclass(frozen=True)
class Line:
    """A request, as nginx logs it."""

    connection: str
    reused: bool
    protocol: str
    verified: str
    authorization: str


@dataclass
class SecureNginx:
    """The servers by their names."""

    directory: Path
    authority: Authority
    client: Certificate
    """What it accepts where it asks for one."""
    certificates: dict[str, Certificate] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def url(self, name: str, host: str = "localhost") -> str:
        """Where a server is."""
        return f"https://{host}:{self.ports[name]}"

    def log(self, name: str) -> Path:
        """What a server was asked."""
        return self.directory / f"{name}.log"

    def lines(self, name: str) -> list[Line]:
        """Its requests so far."""
        split = (line.split(" ", 4) for line in self.log(name).read_text().splitlines())
        return [Line(words[0], words[1] == "r", *words[2:]) for words in split]

    def start(self, children: Children) -> Child:
        """Starts it and waits until it accepts connections."""
        configuration = str(self.directory / "nginx.conf")
        child = children.start("nginx", ["nginx", "-e", "stderr", "-p", str(self.directory), "-c", configuration])

        def accepts() -> bool:
            if not child.runs():
                raise Failed(f"nginx did not start: {child.text()}")
            return (self.directory / "nginx.pid").exists()

        eventually("nginx accepts connections", accepts)
        return child


def prepare(directory: Path) -> SecureNginx:
    """Makes certificates and the configuration; starts nothing."""
    own, unknown = Authority.make(directory / "own"), Authority.make(directory / "unknown")
    here = "DNS:localhost,IP:127.0.0.1"
    good = own.issue("good", here)
    nginx = SecureNginx(directory, own, own.issue("client", "DNS:gateway.example"))
    short = f"keepalive_requests {REQUESTS_PER_CONNECTION};"
    servers = {
        "good": (good, "keepalive_requests 100000;"),
        "rsa": (own.issue("rsa", here, "rsa"), ""),
        "tls12": (good, "ssl_protocols TLSv1.2;"),
        "tls13": (good, "ssl_protocols TLSv1.3;"),
        "short12": (good, f"ssl_protocols TLSv1.2; {short}"),
        "short13": (good, f"ssl_protocols TLSv1.3; {short}"),
        "asking": (good, f"ssl_verify_client on; ssl_client_certificate {own.root.cert};"),
        "other-name": (own.issue("other-name", "DNS:other.example"), ""),
        "unknown": (unknown.issue("unknown", here), ""),
        "expired": (own.issue("expired", here, when=PAST), ""),
        "self-signed": (self_signed(directory, "self-signed", f"subjectAltName={here}"), ""),
    }
    texts = []
    for name, (certificate, lines) in servers.items():
        while (port := free_port()) in nginx.ports.values():
            pass  # it is free until nginx takes it
        nginx.ports[name], nginx.certificates[name] = port, certificate
        texts.append(SERVER.format(port=nginx.ports[name], certificate=certificate, log=nginx.log(name), lines=lines))
    (directory / "nginx.conf").write_text(CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "", directory=directory, servers="".join(texts)))
    return nginx
