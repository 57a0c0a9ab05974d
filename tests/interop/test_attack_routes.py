"""The operator's own route as the attacker: it awaits for ever, sleeps, loops, matches."""

from __future__ import annotations

import importlib.util
import signal
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.siege import STRICT, TRANSPORTS, Siege, request
from tests.missing import missing

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="a route of sansip's")

# Seconds; where processors are shared, with some to spare.
SOON = 0.5 if STRICT else 2.0
RUNTIMES = {
    "asyncio": None,
    "anyio": "anyio",
    "blocking": None,
    "uvloop": "uvloop",
    "gevent": "gevent",
    "curio": "curio",
    "trio": "trio",
}

ENDLESS = """
async def route(request):
    if request.uri.user != "trap":
        return request.reply(200)
    while True:
        try:
            await request.locate()
        except Exception:
            pass
"""

HELD = """
import re
import time

from helper import wait


async def route(request):
    if request.uri.user == "sleep":
        time.sleep(30)
    elif request.uri.user == "nap":
        wait(0.8)
    elif request.uri.user == "spin":
        while True:
            pass
    elif request.uri.user == "match":
        took, length = 0, 18
        while took < 0.6:
            began = time.monotonic()
            re.match("(a+)+$", "a" * length + "b")
            took, length = time.monotonic() - began, length + 1
    request.reply(200)
"""

LOOKUP = """
import time

from sansip.routing import handler


@handler(parallel=2, within=1.0)
def price(user):
    time.sleep(3)


async def route(request):
    if request.uri.user == "dear":
        try:
            await price(request.uri.user)
        except BlockingIOError:
            return request.reply(503)
        except TimeoutError:
            return request.reply(504)
    request.reply(200)
"""

HELPER = """
import time

def wait(seconds):
    time.sleep(seconds)
"""


def served(tmp_path: Path, runtime: str, text: str, config: str = "") -> Siege:
    """A server of ``runtime`` with the route ``text``."""
    package = RUNTIMES[runtime]
    if package is not None and importlib.util.find_spec(package) is None:
        missing(f"{package} is not installed")
    (tmp_path / "helper.py").write_text(HELPER)
    route = tmp_path / "route.py"
    route.write_text(text)
    options = ["--uvloop"] if runtime == "uvloop" else ["--runtime", runtime]
    return Siege(tmp_path, config=config, options=[*options, "--route", str(route)])


def logged_at(log: str, words: str) -> float:
    """Unix time of the first line of the log with ``words``."""
    line = next(line for line in log.splitlines() if words in line)
    return datetime.fromisoformat(" ".join(line.split()[:2])).timestamp()


@pytest.mark.parametrize("runtime", ["asyncio", "gevent"])
def test_an_endless_await_is_ended(runtime: str, tmp_path: Path) -> None:
    """Each such request gets its 500 and a line that names the route's; other requests go on."""
    with served(tmp_path, runtime, ENDLESS) as siege:
        with siege.watched():
            for transport in TRANSPORTS:
                with siege.line(transport) as stranger:
                    for _ in range(5):
                        stranger.send(request("OPTIONS", "sip:trap@siege.test", stranger))
                        assert stranger.receive().startswith(b"SIP/2.0 500 ")
        assert "the route awaits without end (limits.route_steps = 1000): in route of " in siege.log
        assert f"{tmp_path / 'route.py'}, line 7" in siege.log
        siege.program.terminate()
        assert siege.program.wait(5) == 0


@pytest.mark.parametrize("runtime", ["asyncio", "gevent"])
def test_a_look_up_that_hangs_keeps_few(runtime: str, tmp_path: Path) -> None:
    """Strangers ask for what hangs: two run, ten wait, and everybody else hears so at once."""
    with (
        served(tmp_path, runtime, LOOKUP, "[limits]\nhandler_waiting = 10\n") as siege,
        siege.watched(),
        siege.line("tcp") as stranger,
    ):
        began = time.monotonic()
        for number in range(100):
            stranger.send(request("OPTIONS", "sip:dear@siege.test", stranger, branch=f"z9hG4bKdear{number}"))
        answers = [stranger.receive()[8:11] for _ in range(88)]
        assert set(answers) == {b"503"}
        assert time.monotonic() - began < 1.0
        assert [stranger.receive()[8:11] for _ in range(12)] == [b"504"] * 12


@pytest.mark.parametrize("runtime", list(RUNTIMES))
@pytest.mark.parametrize(("how", "line"), [("sleep", "10"), ("spin", "1[45]")])
def test_sigterm_ends_a_held_loop(how: str, line: str, runtime: str, tmp_path: Path) -> None:
    """The log names the route and its line within 0.5 s, and the process ends within 2 s of the signal."""
    with served(tmp_path, runtime, HELD) as siege, siege.line("udp") as caller:
        before = time.time()
        caller.send(request("OPTIONS", f"sip:{how}@siege.test", caller))
        place = rf"{tmp_path}/route\.py, line {line}, in route"
        siege.program.wait_for(rf"a route holds the loop, for 0\.\d s so far: {place}", 5)
        assert logged_at(siege.log, "a route holds the loop") - before < SOON
        # The stack, on lines of its own.
        siege.program.wait_for(rf'^      File "{tmp_path}/route\.py", line {line}, in route$', 5)
        before = time.monotonic()
        siege.program.terminate()
        assert siege.program.wait(5) == 70
        assert time.monotonic() - before < 2
        assert "ended without draining: the loop was held for " in siege.log


def test_a_loop_that_goes_on(tmp_path: Path) -> None:
    """Held for less than a second, by a helper of the route: it is told, with its end; nothing is lost."""
    with served(tmp_path, "asyncio", HELD) as siege, siege.line("udp") as caller:
        for _ in range(2):
            caller.send(request("OPTIONS", "sip:nap@siege.test", caller))
            assert caller.receive().startswith(b"SIP/2.0 200 ")
            siege.program.wait_for(
                r"the loop goes on after 0\.\d s: it was held by .*helper\.py, line 5, in wait"
            )
            time.sleep(0.2)
        # A place is told once in ten seconds.
        assert siege.log.count("a route holds the loop") == siege.log.count("the loop goes on") == 1
        siege.program.terminate()
        assert siege.program.wait(5) == 0


def test_a_route_of_a_reload_is_named_as_well(tmp_path: Path) -> None:
    """The watchdog names the route that runs now, not the route that the server was started with."""
    with served(tmp_path, "asyncio", "def route(request):\n    request.reply(404)\n") as siege:
        (tmp_path / "route.py").write_text(HELD)
        siege.program.process.send_signal(signal.SIGHUP)
        siege.program.wait_for("read again: .*the route")
        with siege.line("udp") as caller:
            caller.send(request("OPTIONS", "sip:nap@siege.test", caller))
            siege.program.wait_for(
                r"a route holds the loop, for 0\.\d s so far: .*helper\.py, line 5, in wait", 5
            )
            assert caller.receive().startswith(b"SIP/2.0 200 ")


def test_what_lets_no_thread_run(tmp_path: Path) -> None:
    """One regular expression keeps the interpreter to itself: told when it has ended, and never silently."""
    with served(tmp_path, "asyncio", HELD) as siege, siege.line("udp") as caller:
        caller.send(request("OPTIONS", "sip:match@siege.test", caller))
        assert caller.receive(30).startswith(b"SIP/2.0 200 ")
        siege.program.wait_for(
            r"a route holds the loop, for \d\.\d s so far: .*route\.py, line 2\d, in route", 5
        )


def test_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of the start and the end, and gets no sign of life while a route holds the loop."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        with served(tmp_path, "asyncio", HELD) as siege, siege.line("udp") as caller:
            assert [systemd.recv(100) for _ in range(4)] == [b"READY=1", *[b"WATCHDOG=1"] * 3]
            caller.send(request("OPTIONS", "sip:nap@siege.test", caller))
            siege.program.wait_for("a route holds the loop", 5)
            systemd.setblocking(False)
            with suppress(BlockingIOError):
                while systemd.recv(100):  # those from before
                    pass
            time.sleep(0.2)
            with pytest.raises(BlockingIOError):
                systemd.recv(100)
            systemd.settimeout(5)
            assert systemd.recv(100) == b"WATCHDOG=1"
            siege.program.terminate()
            while (told := systemd.recv(100)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"
            assert siege.program.wait(5) == 0


def test_an_idle_loop_is_not_held(tmp_path: Path) -> None:
    """The watchdog does not keep an idle loop busy: ten looks a second cost under 1 % of the processor."""
    with served(tmp_path, "asyncio", HELD) as siege:
        windows = []
        # A busy loop is busy in each window; what a busy machine adds is not in all of them.
        while len(windows) < 10 and min(windows, default=1.0) > 0.04:
            spent = siege.spent
            time.sleep(2)
            windows.append(siege.spent - spent)
        assert min(windows) <= 0.04, windows
        assert "sansip.loop" not in siege.log


def test_two_signals_end_a_held_loop_no_later(tmp_path: Path) -> None:
    """Ctrl-C twice, as people do."""
    with served(tmp_path, "asyncio", HELD) as siege, siege.line("tcp") as caller:
        caller.send(request("OPTIONS", "sip:sleep@siege.test", caller))
        siege.program.wait_for("a route holds the loop", 5)
        before = time.monotonic()
        for _ in range(2):
            siege.program.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert siege.program.wait(5) == 70
        assert time.monotonic() - before < 2
