"""How other threads, and later moments, reach the thread of the stack.

Theory of operation: a deque of calls and a socket pair. ``post`` appends and
makes the pair readable; the hub's heart, a pump like any other, waits on it and
runs what it finds. So a runtime needs no notion of threads to have them.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Inbox"]


class Inbox:
    """A queue of calls. ``post`` and ``wake`` are safe from any thread."""

    __slots__ = ("_items", "_writer", "reader", "signalled")

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.setblocking(False)
        self._writer.setblocking(False)
        self._items: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # Whether the heart is wanted: something was posted, or it is to look at the time.
        self.signalled = False

    @property
    def wakeup_fd(self) -> int:
        """Descriptor to which a signal may write an octet (``signal.set_wakeup_fd``)."""
        return self._writer.fileno()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have the heart call ``function(*args)``; dropped when the inbox is closed."""
        self._items.append((function, args))
        self.wake()

    def wake(self) -> None:
        """Have the heart look at the time again."""
        # The flag is cleared before the items are taken, so that an item posted
        # in between is either taken then or signalled again; two threads that
        # both signal cost one octet.
        if not self.signalled:
            self.signalled = True
            try:
                self._writer.send(b"!")
            except OSError:
                pass  # closed meanwhile: there is no heart to wake

    def take(self) -> list[tuple[Callable[..., object], tuple[Any, ...]]]:
        """Return the posted calls. A call that is posted while these run waits for the next turn."""
        try:
            self.reader.recv(64)
        except OSError:
            pass
        self.signalled = False
        items = self._items
        return [items.popleft() for _ in range(len(items))]

    def close(self) -> None:
        self.reader.close()
        self._writer.close()
