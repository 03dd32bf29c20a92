"""Debian's nginx as the API: a configuration of its own in a temporary directory, run as a child."""

import os
import random
import resource
import socket
from dataclasses import dataclass
from pathlib import Path

from harness import Child, Children, Failed, eventually, free_port

SIZES = {"0": 0, "1k": 1024, "64k": 64 * 1024, "1m": 1024 * 1024}
"""Files of these sizes; their bytes are random, so that no part can pass for another."""

CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/octet-stream;
    types {{ text/plain txt; text/html html; }}
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    sendfile on;
    tcp_nopush on;
    etag on;
    ssi_types *;

    # It ends a kept connection after every tenth request.
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        keepalive_requests 10;
        root {directory}/files;
        location /files/ {{ alias {directory}/files/; }}
        location /copied/ {{ alias {directory}/files/; sendfile off; }}
        # keyferry names itself in Via, for which nginx would otherwise send nothing compressed.
        location /zipped/ {{ alias {directory}/files/; gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1; }}
        # Server-side includes may change the length, so nginx sends chunks, or until it closes.
        location /chunked/ {{ alias {directory}/files/; ssi on; }}
        location /until-close/ {{ alias {directory}/files/; ssi on; chunked_transfer_encoding off; }}
        location /closing/ {{ alias {directory}/files/; keepalive_timeout 0; }}
        location /relayed/ {{
            proxy_pass http://127.0.0.1:{port}/chunked/;
            proxy_http_version 1.1;
            proxy_buffering off;
        }}
        location /slow/ {{ alias {directory}/files/; limit_rate 32k; }}
        location = /empty {{ return 204; }}
        location = /moved {{ return 301 /files/1k; }}
        location = /found {{ return 302 https://elsewhere.example/files/1k?a=b#c; }}
        location = /kept {{ return 308 /files/1k; }}
        location = /broken {{ return 500 "broken\\n"; }}
        location = /cookies {{ add_header Set-Cookie a=1; add_header Set-Cookie b=2; return 200 "crumbs\\n"; }}
        location /put/ {{ alias {directory}/put/; dav_methods PUT; }}
    }}
    server {{
        listen 127.0.0.1:{lasting_port} backlog=4096;
        keepalive_requests 100;
        location / {{ alias {directory}/files/; }}
    }}
    # It ends kept connections so early that some end while a request is on its way.
    server {{
        listen 127.0.0.1:{hasty_port} backlog=4096;
        keepalive_timeout 50ms;
        location / {{ alias {directory}/files/; }}
    }}
}}
"""


@dataclass
class Nginx:
    """A running nginx."""

    directory: Path
    port: int
    lasting_port: int
    hasty_port: int
    child: Child | None = None

    @property
    def url(self) -> str:
        """Where its many locations are; it ends a connection after ten requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def lasting_url(self) -> str:
        """The files, a hundred requests for each connection."""
        return f"http://127.0.0.1:{self.lasting_port}"

    @property
    def hasty_url(self) -> str:
        """The files, on connections that are kept for a twentieth of a second."""
        return f"http://127.0.0.1:{self.hasty_port}"

    def file(self, name: str) -> Path:
        """A file that it serves."""
        return self.directory / "files" / name

    def start(self, children: Children) -> None:
        """Starts it, also for a second time, and waits until it accepts connections."""
        configuration = str(self.directory / "nginx.conf")
        command = ["nginx", "-e", "stderr", "-p", str(self.directory), "-c", configuration]
        self.child = child = children.start("nginx", command)

        def accepts() -> bool:
            if not child.runs():
                raise Failed(f"nginx did not start: {child.text()}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        eventually("nginx accepts connections", accepts)


def prepare(directory: Path) -> Nginx:
    """Writes the configuration and the files; starts nothing."""
    for part in ("files", "put"):
        (directory / part).mkdir(parents=True)
    source = random.Random(7)
    for name, size in SIZES.items():
        (directory / "files" / name).write_bytes(source.randbytes(size))
    lines = (f"line {number} of a text that is worth compressing\n" for number in range(20_000))
    (directory / "files" / "text.txt").write_text("".join(lines))
    nginx = Nginx(directory, free_port(), free_port(), free_port())
    (directory / "nginx.conf").write_text(CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "", directory=directory,
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        port=nginx.port, lasting_port=nginx.lasting_port, hasty_port=nginx.hasty_port))
    return nginx
