"""``run``, the front door of the command line: signals, draining, exit status; as a process of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec

import pytest

import sansip_asyncio
from sansip.actions import Notify
from sansip_sockets import BindError, bind, tune_gc
from tests.adapters.fakes import PATIENCE, FakeStack, Listen
from tests.missing import missing

PROGRAM = """
import sys
from importlib import import_module

if sys.argv[1] == "gevent-patched":
    import gevent.monkey
    gevent.monkey.patch_all()
uvloop = {"uvloop": True} if sys.argv[1] == "uvloop" else {}
name = "asyncio" if uvloop else sys.argv[1].partition("-")[0]
run = import_module("sansip_" + name).run

from tests.adapters.fakes import FakeStack, Listen

stack = FakeStack()
stack.idle = "busy" not in sys.argv
def hold(*_):
    print("held", flush=True)
    while True:
        pass

if "held" in sys.argv:
    stack.on_datagram = hold
stack.on_drain = lambda: print("drain", flush=True) or []
sys.exit(run(
    lambda listeners: print("build", listeners[0].port > 0, flush=True) or stack,
    [Listen(0, "udp", "127.0.0.1")],
    on_ready=lambda server: print(server.listeners[0], flush=True),
    on_reload=lambda: print("reload", flush=True),
    drain_time=0.0 if "impatient" in sys.argv else 60.0,
    **uvloop,
))
"""


class Program:
    def __init__(self, *arguments: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONWARNINGS": "error",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.line() == "build True"
        self.listener = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Return the exit status of a process that ended with nothing to complain about."""
        _, complaints = self.process.communicate(timeout=PATIENCE)
        assert complaints == ""
        return self.process.returncode


def need(runtime: str) -> None:
    package = runtime.partition("-")[0]
    if package != "blocking" and find_spec(package) is None:
        missing(f"{package} is not installed")


@pytest.fixture(
    params=["anyio", "asyncio", "blocking", "curio", "gevent", "gevent-patched", "trio", "uvloop"]
)
def program(request: pytest.FixtureRequest) -> Iterator[Callable[..., Program]]:
    need(request.param)
    started: list[Program] = []

    def begin(*arguments: str) -> Program:
        started.append(Program(request.param, *arguments))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture(params=["anyio", "asyncio", "blocking", "curio", "gevent", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Return the adapter's ``run``, to be called in this process."""
    need(request.param)
    return import_module(f"sansip_{request.param}").run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(program, number):
    """A service manager sends one of these signals, and Ctrl-C the other."""
    one = program()
    host, port = one.listener.removeprefix("udp:").split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(PATIENCE)
        peer.sendto(b"hello", (host, int(port)))
        assert peer.recv(100) == b"hello"
    one.process.send_signal(number)
    assert one.line() == "drain"
    assert one.end() == 0


def test_a_second_signal_does_not_wait(program):
    """An operator who asks twice means it: the stack is never idle here."""
    one = program("busy")
    one.process.send_signal(signal.SIGTERM)
    assert one.line() == "drain"
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 0


def test_draining_has_a_time_limit(program):
    """drain_time: a call that does not end does not keep the process."""
    one = program("busy", "impatient")
    one.process.send_signal(signal.SIGTERM)
    assert one.line() == "drain"
    assert one.end() == 0


def test_a_held_loop_does_not_hold_the_process(program):
    """A function in the loop may never come back, under patched threads as well."""
    one = program("held")
    host, port = one.listener.removeprefix("udp:").split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", (host, int(port)))
    assert one.line() == "held"
    one.process.send_signal(signal.SIGTERM)
    _, complaints = one.process.communicate(timeout=PATIENCE)
    assert one.process.returncode == 70
    # The log is not set up here: only what Python prints of a program without one.
    assert "ended without draining: the loop was held for" in complaints


def test_sighup_reloads(program):
    """The server goes on."""
    one = program()
    one.process.send_signal(signal.SIGHUP)
    assert one.line() == "reload"
    one.process.send_signal(signal.SIGTERM)
    assert one.line() == "drain"
    assert one.end() == 0


def test_a_missing_uvloop_names_the_command(monkeypatch):
    """Before any socket is opened."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sansip\[uvloop\]'"):
        sansip_asyncio.run(FakeStack(), [Listen(0, "udp", "127.0.0.1")], uvloop=True)


@pytest.mark.parametrize("runtime", ["blocking", "curio", "gevent", "trio"])
def test_uvloop_is_for_asyncio(runtime):
    """A setting that would do nothing is refused."""
    need(runtime)
    with pytest.raises(ValueError, match="uvloop is an event loop for asyncio"):
        import_module(f"sansip_{runtime}").run(FakeStack(), [Listen(0, "udp", "127.0.0.1")], uvloop=True)


@pytest.mark.parametrize("runtime", ["anyio", "curio", "gevent", "trio"])
def test_a_missing_runtime_names_the_command(runtime):
    """At the import of the adapter, in a process that has none of it imported."""
    program = f"""
import sys
sys.modules[{runtime!r}] = None
try:
    import sansip_{runtime}
except ModuleNotFoundError as error:
    print(error)
"""
    path = os.pathsep.join(filter(None, sys.path))
    output = subprocess.check_output(
        [sys.executable, "-c", program], text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert output == f"{runtime} is not installed; pip install 'sansip[{runtime}]'\n"


def test_a_port_in_use_is_told_before_anything_else(run):
    """The stack is not built, no loop is started."""
    with bind(Listen(0, "udp", "127.0.0.1")).sock as taken, pytest.raises(BindError, match="in use"):
        run(lambda listeners: pytest.fail("built"), [Listen(0, "udp", "127.0.0.1", taken.getsockname()[1])])


def test_a_build_that_fails_leaves_no_socket(run):
    """The exception is the caller's own; a socket left open would warn."""

    def build(listeners):
        raise ValueError("bad route")

    with pytest.raises(ValueError, match="bad route"):
        run(build, [Listen(0, "tcp", "127.0.0.1")])


def test_a_transport_without_filters_is_refused(run):
    """TLS needs its filter; the text says what there is."""
    with pytest.raises(BindError, match="transport 'tls' is not available; use udp or tcp"):
        run(FakeStack(), [Listen(0, "tls", "127.0.0.1", 5061)])


def test_a_stack_built_before_its_port_was_known_is_refused(run):
    """Port 0 would stand in its Via."""
    with pytest.raises(BindError, match="pass a function that builds it"):
        run(FakeStack(), [Listen(0, "udp", "127.0.0.1", 0)])


def test_run_in_another_thread(run):
    """Only the main thread may handle signals; elsewhere the embedding program stops the server."""
    with ThreadPoolExecutor() as pool:
        status = pool.submit(
            run,
            lambda listeners: FakeStack(),
            [Listen(0, "udp", "127.0.0.1")],
            on_ready=lambda server: server.stop(),
        )
        assert status.result(PATIENCE) == 0


def test_drain_is_awaited():
    """``await server.drain()`` inside a program, with and without success."""

    async def main() -> tuple[bool, bool]:
        stack = FakeStack()
        stack.idle = False
        async with sansip_asyncio.serve(lambda listeners: stack, [Listen(0, "udp", "127.0.0.1")]) as server:
            first = await server.drain(0.0)
            stack.idle = True
            return first, await server.drain()

    assert asyncio.run(main()) == (False, True)


def test_stop_from_inside():
    """A watcher of events, a handler or a route may stop the server: everything is closed then, too."""
    reports: list[object] = []

    async def main() -> None:
        async with sansip_asyncio.serve(
            lambda listeners: stack,
            [Listen(0, "udp", "127.0.0.1"), Listen(1, "tcp", "127.0.0.1")],
            notify=lambda event: server.stop(),
            report=lambda text, error: reports.append(error),
        ) as server:
            with socket.create_connection(server.listeners[1].address) as peer:
                peer.send(b"stop")
                await server.wait_closed()
                # In the server's thread, where sockets show at once that they are closed.
                assert [listener.sock.fileno() for listener in server.listeners] == [-1, -1]

    stack = FakeStack()
    stack.on_data = lambda conn, data: [Notify("stop")]
    asyncio.run(main())
    assert reports == []


def test_tune_gc():
    """Live objects are frozen and collections are rare, until the server has ended."""
    before = gc.get_threshold()
    with tune_gc():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > before[0]
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)
