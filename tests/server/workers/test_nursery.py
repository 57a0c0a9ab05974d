"""sansip_server.workers.nursery: a machine that has no descriptor or process left ends no server."""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sansip_server.workers.nursery import NOT_STARTED, _Nurse


class Bench:
    """A nursery in this process; ``parent`` is its parent's end."""

    def __init__(self) -> None:
        self.parent, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.parent.setblocking(False)
        self.nurse = _Nurse(self.sock, lambda *given: 0)

    def start(self) -> Any:
        """Ask for worker 1, process 7; return what the nursery tells."""
        ours, theirs = socket.socketpair()
        socket.send_fds(self.parent, [marshal.dumps(("start", 1, 7, 0))], [theirs.fileno()])
        theirs.close()
        assert self.nurse._obey()
        # The link's other end is closed with it: nobody waits for such a worker.
        ours.setblocking(False)
        with ours:
            assert ours.recv(1) == b""
        return marshal.loads(self.parent.recv(1_024))

    def close(self) -> None:
        for sock in (self.parent, self.sock, self.nurse._bell, self.nurse._ringer):
            sock.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_no_process_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """fork(2) fails with EAGAIN at RLIMIT_NPROC: the parent hears of it, and asks again later."""

    def fails() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", fails)
    assert bench.start() == (1, 7, NOT_STARTED)
    assert bench.nurse._children == {}


def test_no_descriptor_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """unix(7): a descriptor for which the table has no room is closed, and the message comes without it."""
    received = socket.recv_fds

    def without(sock: socket.socket, size: int, most: int) -> Any:
        data, found, flags, address = received(sock, size, most)
        for one in found:
            os.close(one)
        return data, [], flags, address

    monkeypatch.setattr(socket, "recv_fds", without)
    assert bench.start() == (1, 7, NOT_STARTED)


def test_why_a_worker_ends_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """The parent knows the exit status alone: what was raised stands in the worker's own output."""

    def fails(*given: object) -> int:
        raise LookupError("no such place")

    parent, sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nurse = _Nurse(sock, fails)
    ours, theirs = socket.socketpair()
    with parent, sock, nurse._bell, nurse._ringer, ours:
        socket.send_fds(parent, [marshal.dumps(("start", 1, 7, 0))], [theirs.fileno()])
        theirs.close()
        assert nurse._obey()
        (pid,) = nurse._children
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert "LookupError: no such place" in capfd.readouterr().err
