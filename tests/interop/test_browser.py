"""JsSIP and SIP.js in headless Chromium, over WS and WSS: they register, call SIPp on UDP, and are called.

Theory of operation: npm fetches the two libraries at the versions of
``browser/package-lock.json``, esbuild makes one file of them and of
``browser/phone.js``, and a web server of the test's own serves it on localhost,
where pages may use the microphone. What the page's phone sees, it posts back.
"""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import pytest

from tests.certificates import Authority
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Phone
from tests.interop.users import ask, serve_users
from tests.interop.wire import Wire
from tools.peers import Program, Sipp, free_port, sansip_serve

HERE = Path(__file__).parent
LOCAL = "127.0.0.1"
DOMAIN = "biloxi.test"
# Starting a browser on a machine that is busy with other tests takes its time.
PATIENCE = 30.0

pytestmark = [
    pytest.mark.needs("chromium", "npm", "sipp"),
    pytest.mark.skipif(TARGET != "sansip", reason="Kamailio is not set up for WebSocket here"),
    pytest.mark.timeout(180),
]


class Page:
    """A web server for the phone's page, and the events that it posts."""

    def __init__(self, script: bytes) -> None:
        events: queue.Queue[list[str]] = queue.Queue()
        calls: queue.Queue[str] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/call":
                    body = calls.get().encode()
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(body)
                    return
                is_script = self.path.startswith("/phone.js")
                page = b'<!doctype html><meta charset="utf-8"><body><script src="/phone.js"></script>'
                body = script if is_script else page
                self.send_response(200)
                self.send_header("Content-Type", "text/javascript" if is_script else "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                events.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.events = events
        self.calls = calls
        self._server = http.server.ThreadingHTTPServer((LOCAL, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Code that waited for a call to make waits no longer.
        self.calls.put("")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, **asked: str) -> str:
        """Return the address of the page of a test."""
        return f"http://localhost:{self._server.server_port}/?{urllib.parse.urlencode(asked)}"

    def expect(self, what: str) -> str:
        """Return the detail of the next event, which must be ``what``."""
        seen = []
        while True:
            try:
                event = self.events.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"the page told of no {what}, but of {seen}") from None
            seen.append(event)
            if event[0] == what:
                return event[1]
            assert event[0] not in ("error", "failed", "refused", "disconnected"), seen


def chromium(url: str, directory: Path) -> Program:
    """Open ``url`` in a browser of its own."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags += ["--ignore-certificate-errors", f"--user-data-dir={directory / 'profile'}"]
    # The profile's size is no concern of a test, and /dev/shm may be small.
    return Program(["chromium", *flags, "--disable-dev-shm-usage", url], directory / "chromium.log")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The page's program: both libraries and ``browser/phone.js`` in one file."""
    directory = tmp_path_factory.mktemp("npm")
    for file in (HERE / "browser").iterdir():
        if file.is_file():
            shutil.copy(file, directory)
    for command in (
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        ["node_modules/.bin/esbuild", "phone.js", "--bundle", "--outfile=bundle.js", "--log-level=warning"],
    ):
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return (directory / "bundle.js").read_bytes()


class Server:
    """UDP, WS and WSS on loopback; ``options`` are added to the command line."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.udp = (LOCAL, free_port())
        self.ports = ports = {"ws": free_port(), "wss": free_port()}
        listeners = [
            f"udp:{LOCAL}:{self.udp[1]}",
            *(f"{name}:{LOCAL}:{port}" for name, port in ports.items()),
        ]
        certificate = Authority(directory).issue("server.pem", DOMAIN, LOCAL)
        self.program = sansip_serve(
            directory, listeners, [DOMAIN], [*OPTIONS, "--certificate", str(certificate), *options]
        )
        self.urls = {name: f"{name}://{LOCAL}:{port}/" for name, port in ports.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        server = Server(tmp_path_factory.mktemp("server"))
        stack.enter_context(server.program)
        yield server
        assert "Traceback" not in server.program.output()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is a back-to-back user agent: browser phone and classic phone share no dialog."""
    with ExitStack() as stack:
        route = HERE.parents[1] / "examples" / "routes" / "bridge.py"
        server = Server(tmp_path_factory.mktemp("bridge"), "--route", str(route))
        stack.enter_context(server.program)
        yield server
        assert "Traceback" not in server.program.output()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, str, tuple[str, int], Path]]:
    """A server that asks for passwords: (program, WebSocket URL, UDP address, file of secrets)."""
    directory = tmp_path_factory.mktemp("guarded")
    udp, ws = free_port(), free_port()
    secrets = directory / "secrets"
    secrets.write_text("0123456789abcdef0123456789abcdef\n")
    listeners = [f"udp:{LOCAL}:{udp}", f"ws:{LOCAL}:{ws}"]
    users = {f"{name}@{DOMAIN}": "wonderland" for name in ("jssip", "sipjs", "desk")}
    with serve_users(directory, listeners, users, 'ephemeral_file = "secrets"\n') as program:
        yield program, f"ws://{LOCAL}:{ws}/", (LOCAL, udp), secrets
        assert "Traceback" not in program.output()


@pytest.mark.parametrize("kind", ["stored", "ephemeral"])
@pytest.mark.parametrize("library", ["jssip", "sipjs"])
def test_with_a_password(
    library: str,
    kind: str,
    guarded: tuple[Program, str, tuple[str, int], Path],
    script: bytes,
    tmp_path: Path,
) -> None:
    """REGISTER and INVITE are challenged and answered; the password is the user's, or one for an hour."""
    _, url, udp, secrets = guarded
    asked = {"library": library, "server": url, "aor": f"sip:{library}@{DOMAIN}"}
    asked |= {"name": library, "password": "wonderland"}
    if kind == "ephemeral":
        command = [sys.executable, "-m", "sansip_server", "user", "ephemeral", library, "--json"]
        command += ["--secret-file", str(secrets)]
        made = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
        asked |= {"name": made["username"], "password": made["password"]}
    port = free_port()
    with Phone("desk", DOMAIN, "udp", udp) as desk:
        contact = [f"Contact: <sip:sipp@{LOCAL}:{port}>", "Expires: 600"]
        assert ask(desk, "REGISTER", f"sip:{DOMAIN}", "wonderland", contact).what == "200"
    with Page(script) as page, chromium(page.url(**asked), tmp_path):
        page.expect("registered")
        path = HERE / "scenarios" / "browser_uas.xml"
        with Sipp(path, udp, tmp_path, local=(LOCAL, port), service=library, domain=DOMAIN) as uas:
            uas.wait_until_bound()
            page.calls.put(f"sip:desk@{DOMAIN}")
            for event in ("progress", "confirmed", "ended"):
                page.expect(event)
            uas.succeed()


@pytest.mark.parametrize("library", ["jssip", "sipjs"])
def test_a_wrong_password(
    library: str, guarded: tuple[Program, str, tuple[str, int], Path], script: bytes, tmp_path: Path
) -> None:
    """The page is told so, and does not go on for ever."""
    asked = {"library": library, "server": guarded[1], "aor": f"sip:{library}@{DOMAIN}"}
    with Page(script) as page, chromium(page.url(**asked, name=library, password="guess"), tmp_path):
        assert page.events.get(timeout=PATIENCE)[0] == "refused"


@pytest.mark.parametrize("transport", ["ws", "wss"])
@pytest.mark.parametrize("library", ["jssip", "sipjs"])
def test_calls_and_is_called(
    library: str, transport: str, server: Server, script: bytes, tmp_path: Path
) -> None:
    """SIPp calls the browser and hangs up; then the browser calls SIPp and hangs up."""
    calls_and_is_called(library, transport, server, script, tmp_path)


@pytest.mark.parametrize("library", ["jssip", "sipjs"])
def test_through_a_bridge(library: str, bridge: Server, script: bytes, tmp_path: Path) -> None:
    """The same over a back-to-back user agent; the descriptions, WebRTC's, pass untouched."""
    calls_and_is_called(library, "ws", bridge, script, tmp_path)


def calls_and_is_called(library: str, transport: str, server: Server, script: bytes, tmp_path: Path) -> None:
    user = f"{library}-{transport}"
    port = free_port()
    with Phone(f"sipp-{user}", DOMAIN, "udp", server.udp) as desk:
        desk.contact = f"<sip:sipp@{LOCAL}:{port}>"
        desk.register()
    asked = {"library": library, "server": server.urls[transport], "aor": f"sip:{user}@{DOMAIN}"}

    def sipp(scenario: str, port: int) -> Sipp:
        path = HERE / "scenarios" / f"{scenario}.xml"
        return Sipp(path, server.udp, tmp_path, local=(LOCAL, port), service=user, domain=DOMAIN)

    with Page(script) as page, chromium(page.url(**asked), tmp_path):
        page.expect("registered")
        with sipp("browser_uac", free_port()) as uac:
            for event in ("confirmed", "ended"):
                page.expect(event)
            uac.succeed()
        with sipp("browser_uas", port) as uas:
            uas.wait_until_bound()
            page.calls.put(desk.aor)
            for event in ("progress", "confirmed", "ended"):
                page.expect(event)
            uas.succeed()


def test_one_of_two_flows_is_torn(server: Server, script: bytes, tmp_path: Path) -> None:
    """RFC 5626 in a browser: SIP.js registers two flows, one is torn, and the other rings at once."""
    with closing(Wire((LOCAL, server.ports["ws"]))) as wire:
        asked = {"library": "flows", "server": server.urls["ws"], "aor": f"sip:flows@{DOMAIN}"}
        asked["second"] = f"ws://{LOCAL}:{wire.port}/"
        with Page(script) as page, chromium(page.url(**asked), tmp_path):
            # The registrar bound flows, and says so (RFC 5626 6).
            assert [page.expect("registered"), page.expect("registered")] == ["1 outbound", "2 outbound"]
            path = HERE / "scenarios" / "browser_uac.xml"
            for torn, ringing in ((False, "2"), (True, "1")):
                if torn:
                    wire.tear()
                    assert page.expect("lost") == "2"
                with Sipp(
                    path, server.udp, tmp_path, local=(LOCAL, free_port()), service="flows", domain=DOMAIN
                ) as uac:
                    for event in ("rings", "confirmed", "ended"):
                        assert page.expect(event) == ringing
                    uac.succeed()


def test_a_call_outlives_its_connection(server: Server, script: bytes, tmp_path: Path) -> None:
    """RFC 5627 6.1: JsSIP's Contact is its GRUU, so what the far side sends finds its next connection."""
    slow = tmp_path / "slow_uac.xml"
    text = (HERE / "scenarios" / "browser_uac.xml").read_text()
    slow.write_text(text.replace('milliseconds="200"', 'milliseconds="7000"'))
    with closing(Wire((LOCAL, server.ports["ws"]))) as wire:
        asked = {"library": "jssip", "server": f"ws://{LOCAL}:{wire.port}/", "aor": f"sip:torn@{DOMAIN}"}
        with Page(script) as page, chromium(page.url(**asked), tmp_path):
            page.expect("registered")
            with Sipp(
                slow, server.udp, tmp_path, local=(LOCAL, free_port()), service="torn", domain=DOMAIN
            ) as uac:
                page.expect("confirmed")
                wire.tear()
                seen = []
                while not seen or seen[-1] != "registered":
                    seen.append(page.events.get(timeout=PATIENCE)[0])
                assert seen == ["disconnected", "registered"]
                assert page.expect("ended") == "remote"
                uac.succeed()


@pytest.mark.parametrize("what", ["torn", "restarted"])
def test_a_call_outlives_its_flow(what: str, script: bytes, tmp_path: Path) -> None:
    """RFC 5626 5.3.2, without the help of a GRUU: the connection is torn, or the server is started anew, and
    what the far side sends by the route set of before finds the browser."""
    slow = tmp_path / "slow_uac.xml"
    text = (HERE / "scenarios" / "browser_uac.xml").read_text()
    # It connects again after two seconds, and after four more where the server is not there yet.
    slow.write_text(text.replace('milliseconds="200"', 'milliseconds="12000"'))
    config = tmp_path / "sansip.toml"
    config.write_text(f'store = "{tmp_path / "sansip.db"}"\n[registrar]\ngruu = false\n')
    udp, ws = (LOCAL, free_port()), free_port()
    listeners = [f"udp:{LOCAL}:{udp[1]}", f"ws:{LOCAL}:{ws}"]

    def start() -> Program:
        return sansip_serve(tmp_path, listeners, [DOMAIN], [*OPTIONS, "--config", str(config)])

    with ExitStack() as stack:
        program = stack.enter_context(start())
        wire = stack.enter_context(closing(Wire((LOCAL, ws))))
        asked = {"library": "jssip", "server": f"ws://{LOCAL}:{wire.port}/", "aor": f"sip:torn@{DOMAIN}"}
        page = stack.enter_context(Page(script))
        stack.enter_context(chromium(page.url(**asked), tmp_path))
        page.expect("registered")
        uac = Sipp(slow, udp, tmp_path, local=(LOCAL, free_port()), service="torn", domain=DOMAIN)
        stack.enter_context(uac)
        page.expect("confirmed")
        if what == "torn":
            wire.tear()
        else:
            program.stop()
            program = stack.enter_context(start())
        seen = []
        while not seen or seen[-1] != "registered":
            seen.append(page.events.get(timeout=PATIENCE)[0])
        assert page.expect("ended") == "remote"
        uac.succeed()
        assert "Traceback" not in program.output()
