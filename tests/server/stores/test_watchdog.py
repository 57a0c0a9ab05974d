"""The watchdog: it ends a conversation that hangs, and leaves alone one that ended in time."""

from __future__ import annotations

import socket

from sansip_server.stores.watchdog import Watchdog


def test_a_hanging_conversation_ends() -> None:
    """The code that waits for an answer gets the end of the connection instead."""
    ours, theirs = socket.socketpair()
    watchdog = Watchdog(0.02)
    with ours, theirs, watchdog.watching(ours.fileno()):
        assert ours.recv(1) == b""
        assert theirs.recv(1) == b""
    watchdog.close()


def test_one_that_ended_is_left_alone() -> None:
    """The connection goes back to its pool, and on."""
    ours, theirs = socket.socketpair()
    first, second = socket.socketpair()
    watchdog = Watchdog(0.02)
    with ours, theirs, first, second:
        with watchdog.watching(ours.fileno()):
            pass
        # When this later one is ended, the one before was looked at as well.
        with watchdog.watching(first.fileno()):
            assert first.recv(1) == b""
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
    watchdog.close()


def test_a_descriptor_that_is_gone() -> None:
    """Nothing is left to be shut down, and the thread lives on."""
    ours, theirs = socket.socketpair()
    other, peer = socket.socketpair()
    watchdog = Watchdog(0.02)
    with theirs, other, peer, watchdog.watching(ours.fileno()):
        ours.close()
        with watchdog.watching(other.fileno()):
            assert other.recv(1) == b""
    watchdog.close()
