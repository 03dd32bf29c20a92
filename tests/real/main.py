"""keyferry between real parts: nginx and small APIs behind it, curl, wrk, browsers and others in front of it.

Called by `run`. Everything is on free ports of this machine and in one temporary directory, and ends with this
program. Prints a line for each check; the exit code is 1 when one has failed.
"""

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nginx_tls
import topic_bodies
import topic_browser
import topic_cli
import topic_hostile
import topic_idle
import topic_nginx
import topic_restart
import topic_testssl
import topic_tls
import topic_tls_target
import topic_websocket
from api import Api
from gateway import World
from harness import Children, Report
from nginx import Nginx, prepare
from nginx_tls import SecureNginx

DRIVERS = ("auto", "epoll")
BIG_BYTES = {"auto": 1024**3, "epoll": 256 * 1024**2}
LARGE_BYTES = 64 * 1024**2


def main() -> int:
    """Runs the topics that were asked for."""
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report, began = Report(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keyferry-real-") as name, Children(Path(name)) as children:
        directory = Path(name)
        nginx = prepare(directory / "nginx")
        nginx.start(children)
        for driver in options.driver:
            world = World(report, children, directory, options.keyferry, driver)
            for topic, check in topics(world, nginx).items():
                if topic in options.topics:
                    run_topic(world, topic, check)
    print(f"{time.monotonic() - began:.0f} seconds")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed or not report.passed else 0


TOPICS = ("nginx", "websocket", "bodies", "idle", "hostile", "restart", "cli", "tls", "tls-target", "browser",
          "testssl")


def topics(world: World, nginx: Nginx) -> dict[str, Callable[[], None]]:
    """Every topic, in the order in which they run."""

    def bodies() -> None:
        big = topic_bodies.Big(nginx.file("big"), BIG_BYTES[world.driver])
        big.make()
        topic_bodies.topic(world, nginx, small_api(big.path), big)

    def tls() -> None:
        big = topic_bodies.Big(nginx.file("large"), LARGE_BYTES)
        big.make()
        topic_tls.topic(world, nginx, small_api(big.path), big)

    return {
        "nginx": lambda: topic_nginx.topic(world, nginx),
        "websocket": lambda: topic_websocket.topic(world, nginx),
        "bodies": bodies,
        "idle": lambda: topic_idle.topic(world, nginx),
        "hostile": lambda: topic_hostile.topic(world, nginx, small_api(nginx.file("1m"))),
        "restart": lambda: topic_restart.topic(world),
        "cli": lambda: topic_cli.topic(world, nginx),
        "tls": tls,
        "tls-target": lambda: topic_tls_target.topic(world, secure(world), nginx.port),
        "browser": lambda: topic_browser.topic(world, nginx),
        "testssl": lambda: topic_testssl.topic(world, nginx),
    }


def small_api(big: Path) -> Api:
    """The API that is written here, serving."""
    api = Api(big)
    api.start()
    return api


def secure(world: World) -> SecureNginx:
    """The nginx that speaks TLS, serving."""
    nginx = nginx_tls.prepare(world.directory / f"nginx-tls-{world.driver}")
    nginx.start(world.children)
    return nginx


def run_topic(world: World, name: str, check: Callable[[], None]) -> None:
    """What breaks a topic outside its checks fails it as a whole."""
    try:
        check()
    except Exception as error:
        with world.check(f"{name}: runs to its end"):
            raise error


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keyferry", required=True, help="the program")
    parser.add_argument("--driver", choices=DRIVERS, action="append", help="only this one, may be repeated")
    parser.add_argument("topics", nargs="*", metavar="topic", help=f"only these: {', '.join(TOPICS)}")
    options = parser.parse_args()
    unknown = set(options.topics) - set(TOPICS)
    if unknown:
        parser.error(f"there is no topic {', '.join(sorted(unknown))}")
    options.driver = options.driver or DRIVERS
    options.topics = options.topics or TOPICS
    return options


if __name__ == "__main__":
    sys.exit(main())
