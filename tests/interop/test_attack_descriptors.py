"""Idle clients against the server's file descriptors: others still get in, and the store still opens."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.siege import LOCAL, STREAMS, Siege
from tools.peers import Program

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own behaviour")

# Files that the server may open: fewer than the attacker's connections.
FILES = 256
IDLE = 400
# Seconds after which an idle connection may go (``sansip.transport.room.QUIET``).
QUIET = 5.0


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A child process may open few files; the test itself may open more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    begin = Program.__init__

    def limited(self: Program, *arguments: object, **options: object) -> None:
        begin(self, *arguments, **options)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (FILES, FILES))

    monkeypatch.setattr(Program, "__init__", limited)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("transport", STREAMS)
def test_idle_clients_keep_nobody_out(transport: str, few_files: None, tmp_path: Path) -> None:
    """A line end from each, and then silence: phones that come later register, and those before stay."""
    siege = Siege(tmp_path, options=["--store", "siege.db", "--auth", "none"])
    with siege, ExitStack() as stack:
        before = stack.enter_context(Phone("anna", siege.domain, transport, siege.address(transport)))
        before.register()
        idle = []
        with siege.watched():
            for number in range(IDLE):
                # From many addresses: one source has a quarter of the connections at the most.
                place = (f"127.0.2.{1 + number % 10}", 0)
                sock = socket.create_connection(siege.address("tcp"), timeout=5, source_address=place)
                stack.callback(sock.close)
                sock.sendall(b"\r\n")
                idle.append(sock)
            # All of them for as long as it takes until they count as idle.
            time.sleep(QUIET + 1.0)
            for number in range(20):
                phone = stack.enter_context(Phone(f"user{number}", siege.domain, "tcp", siege.address("tcp")))
                # Stored, so the store has the files that it needs.
                phone.register()
            before.register()
        files = len(list(Path(f"/proc/{siege.program.pid}/fd").iterdir()))
        assert files < FILES - 20
        assert "idle for " in siege.log
        assert "limits.connections" in siege.log
        assert "until there is room" not in siege.log
        assert siege.address("tcp")[0] == LOCAL
