"""Real programs on loopback: the programs that a test needs, and the server that they talk to.

Theory of operation: each test names the programs it needs; where one is missing
the test is skipped on a developer's machine and fails in CI, so that a green build
cannot hide a missing peer. The server under test is the installed
``sansip serve``; with ``SANSIP_INTEROP_TARGET=kamailio`` the same tests run against
Kamailio, which is how the harness itself is checked. ``SANSIP_INTEROP_OPTIONS`` is
put behind ``sansip serve`` (``--uvloop``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.missing import missing as missing_here
from tools import peers

TARGET = os.environ.get("SANSIP_INTEROP_TARGET", "sansip")
OPTIONS = os.environ.get("SANSIP_INTEROP_OPTIONS", "").split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test marked ``needs("sipp", ...)`` where one of them is missing.

    No fixture: those of a module or a session are made before it, and would try to start the program.
    """
    names = [name for marker in item.iter_markers("needs") for name in marker.args]
    if TARGET == "kamailio":
        names.append("kamailio")
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (see .ci/run for the Debian packages)"
        missing_here(reason)


class Server:
    """A running server and where it listens: UDP and TCP, 127.0.0.1 and ::1, one port."""

    def __init__(self, directory: Path, domains: Sequence[str]) -> None:
        self.port = peers.free_port()
        hosts = ("127.0.0.1", "[::1]")
        listeners = [f"{transport}:{host}:{self.port}" for host in hosts for transport in ("udp", "tcp")]
        if TARGET == "kamailio":
            self.program = peers.kamailio(directory, listeners, domains)
        else:
            self.program = peers.sansip_serve(directory, listeners, domains, OPTIONS)
        self.v4 = ("127.0.0.1", self.port)
        self.v6 = ("::1", self.port)

    def end(self) -> None:
        """Stop it; whatever the tests sent, it must not have tripped over it."""
        log = self.program.output()
        self.program.stop()
        assert "Traceback" not in log, log


@pytest.fixture(scope="session")
def biloxi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of biloxi.test, shared by the tests that only place calls through it."""
    server = Server(tmp_path_factory.mktemp("biloxi"), ["biloxi.test"])
    with server.program:
        yield server
        server.end()


@pytest.fixture(scope="session")
def example_com(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Server]]:
    """The servers, by number, that the torture messages of RFC 4475 and RFC 5118 are written for."""
    servers: dict[int, Server] = {}

    def get(number: int) -> Server:
        if number not in servers:
            directory = tmp_path_factory.mktemp(f"example-{number}")
            # RFC 5118 4.1 expects a normal REGISTER: the registrar it names is ours too.
            servers[number] = Server(directory, ["example.com", "registrar.example.com"])
        return servers[number]

    with ExitStack() as stack:
        yield get
        for server in servers.values():
            stack.enter_context(server.program)
        for server in servers.values():
            server.end()
