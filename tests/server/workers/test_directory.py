"""sansip_server.workers.directory: transactions of all workers in one table."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

import pytest

from sansip_server.workers import directory
from sansip_server.workers.directory import SharedDirectory


def test_the_first_worker_has_it() -> None:
    """RFC 3261 17.2.3: a request that is sent again belongs where the first one went."""
    table = SharedDirectory(1_024)
    table.number = 2
    assert table.claim("z9hG4bK1 host") == 2
    table.number = 0
    assert table.claim("z9hG4bK1 host") == 2
    assert table.find("z9hG4bK1 host") == 2
    assert table.find("z9hG4bK2 host") is None


def test_a_full_table_forgets_the_oldest() -> None:
    """A flood of new transactions costs old entries, and neither memory nor an exception."""
    now = [0.0]
    table = SharedDirectory(8, lambda: now[0])
    for index in range(100):
        now[0] += 1
        assert table.claim(f"key {index}") == 0
    assert table.find("key 99") == 0
    assert sum(table.find(f"key {index}") is not None for index in range(100)) <= 8


def test_copies_at_the_same_moment_have_one_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3261 17.2.1: two workers that get copies of one INVITE at once must not both let it ring."""
    # On a machine that others use, one may have no processor for longer.
    monkeypatch.setattr(directory, "_TRIES", 10_000)
    # So large that no set of four places gets a fifth key: the oldest one would go.
    table = SharedDirectory(1 << 20)
    begin, end = os.pipe()
    count, keys = 3, 3_000
    children = []
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end)
            table.number = number
            os.read(begin, 1)
            taken = bytearray(table.claim(f"{index // 100} {index % 100}") for index in range(keys))
            os.write(writer, bytes(taken))
            os._exit(0)
        os.close(writer)
        children.append((child, reader))
    os.close(begin)
    # All begin as the pipe closes.
    os.close(end)
    found = []
    for child, reader in children:
        data = b""
        while more := os.read(reader, 65_536):
            data += more
        found.append(data)
        os.close(reader)
        os.waitpid(child, 0)
    assert len(found[0]) == keys
    assert found == [found[0]] * count


def test_a_process_that_holds_a_lock_holds_nobody_up() -> None:
    """A worker that is stopped by a debugger, or for want of a processor, must not stop the others."""
    table = SharedDirectory(4)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        fcntl.lockf(table._file, fcntl.LOCK_EX)
        os.write(writer, b"x")
        signal.pause()
    os.read(reader, 1)
    try:
        assert table.claim("key") == 0
        assert table.find("key") == 0
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_a_kernel_without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """RLIMIT or table of locks full (ENOLCK): no request waits 20 ms for a lock that does not come."""
    tried: list[int] = []

    def full(_file: int, command: int, *_: int) -> None:
        tried.append(command)
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", full)
    table = SharedDirectory(64)
    assert table.claim("a") == 0
    assert len(tried) == 1
