"""A browser in front of keyferry: a page from the API, whose script asks the API for things with the key."""

import hashlib
import os
import re

from certificates import Authority, Certificate
from gateway import KEY, Gateway, World
from harness import expect, run, same
from nginx import Nginx

BROWSER_SECONDS = 60

PAGE_KEY = "real_page_5b20d7c4e8f913"

PAGE = f"""\
<!doctype html>
<title>page</title>
<p id="told">nothing yet</p>
<script>
async function ask(path, options) {{
    const answer = await fetch(path, options);
    const body = new Uint8Array(await answer.arrayBuffer());
    return `${{options.method}} ${{answer.status}} ${{body.length}} ${{body.reduce((sum, byte) => sum + byte, 0)}}`;
}}
async function all() {{
    const headers = {{ "X-API-Key": "{KEY}" }};
    const told = [await ask("/api/chunked/1m", {{ method: "GET", headers }})];
    told.push(await ask("/api/put/page-" + Date.now(), {{ method: "PUT", headers, body: "x".repeat(300000) }}));
    told.push(await ask("/api/files/1k", {{ method: "GET" }}));
    const many = Array.from({{ length: 24 }}, () => ask("/api/files/64k", {{ method: "GET", headers }}));
    told.push(new Set(await Promise.all(many)).size);
    return told.join("; ");
}}
all().catch(error => `failed: ${{error}}`).then(text => document.getElementById("told").textContent = text);
</script>
"""

PAGES = """\
[[credential]]
name = "browsers"
type = "proxy"
auth = "key"
# The only field that a browser can be told to send when it goes to a page.
locations = ["header:user-agent"]
keys = [{{ sha256 = "{digest}" }}]
[[proxy]]
alias = "pages"
target = "api"
proxy_credentials = ["browsers"]
"""


def topic(world: World, nginx: Nginx) -> None:
    """All of it."""
    nginx.file("page.html").write_text(PAGE)
    own = Authority.make(world.directory / f"browser-{world.driver}")
    certificate = own.issue("gw", "DNS:gw.example")
    pages = PAGES.format(digest=hashlib.sha256(PAGE_KEY.encode()).hexdigest())
    listener = f"tls = {{ certificates = [{certificate.table}] }}"
    with world.gateway({"api": nginx.url}, listener=listener, more=pages) as gateway:
        with world.check("Chromium: a page, and what its script fetches") as figures:
            sums = [f"GET 200 {len(data)} {sum(data)}" for data in [nginx.file("1m").read_bytes()]]
            told = told_by(dom(world, gateway, "trusting", own.root))
            found = re.fullmatch(rf"{sums[0]}; PUT 201 0 0; GET 401 \d+ \d+; 1", told)
            expect(bool(found), f"the page says {told!r}")
            figures.append(told)
        with world.check("Chromium: an authority that it does not know"):
            before = gateway.outcome("forwarded")
            text = dom(world, gateway, "doubting", None)
            same((told_by(text), gateway.outcome("forwarded")), ("", before), "what the page says, and requests")


def dom(world: World, gateway: Gateway, name: str, root: Certificate | None) -> str:
    """The page as it is when its script is done."""
    home = world.directory / f"{name}-{world.driver}"
    (home / ".pki/nssdb").mkdir(parents=True)
    database = f"sql:{home}/.pki/nssdb"
    same(run(["certutil", "-N", "-d", database, "--empty-password"]).returncode, 0, "certutil -N")
    if root:
        trust = ["certutil", "-A", "-d", database, "-n", "real", "-t", "C,,", "-i", str(root.cert)]
        same(run(trust).returncode, 0, "certutil -A")
    child = world.children.start("chromium", [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", f"--user-data-dir={home}/profile",
        # Time of the page goes on only while nothing is being fetched.
        "--virtual-time-budget=10000", "--host-resolver-rules=MAP gw.example 127.0.0.1",
        f"--user-agent={PAGE_KEY}", "--dump-dom", f"https://gw.example:{gateway.peer[1]}/pages/files/page.html",
    ], env=os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)})
    try:
        child.exit_code(BROWSER_SECONDS)
    finally:
        child.kill()
    return child.text()


def told_by(text: str) -> str:
    """What the script has written."""
    found = re.search(r'<p id="told">(.*?)</p>', text)
    return found[1] if found else ""
