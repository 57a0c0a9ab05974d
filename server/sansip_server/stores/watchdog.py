"""Ends conversations with a database server that has stopped talking.

Theory of operation: a database server enforces its own statement timeout. But a server that hangs
(a stopped process, a dead disk) enforces nothing, and its machine still acknowledges our octets.
So one thread checks a few times within the timeout how long each conversation has lasted, and
shuts down the socket of one that is overdue; the caller that waits on it gets an error at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

__all__ = ["Watchdog"]


class Watchdog:
    """Bounds blocks of code that talk over a socket to ``timeout`` seconds, or a quarter more."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        # Number of a block -> its descriptor and when it is overdue.
        self._watched: dict[int, tuple[int, float]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, descriptor: int) -> Iterator[None]:
        """Shut ``descriptor``, a connected socket, down when the block lasts too long."""
        with self._lock:
            self._number += 1
            number = self._number
            self._watched[number] = (descriptor, time.monotonic() + self._timeout)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="sansip-watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(number, None)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(self._timeout / 4):
            now = time.monotonic()
            # Under the lock: a block that ends may close its descriptor afterwards, but not during this.
            with self._lock:
                for number, (descriptor, overdue) in list(self._watched.items()):
                    if overdue <= now:
                        del self._watched[number]
                        _shut_down(descriptor)


def _shut_down(descriptor: int) -> None:
    try:
        with socket.socket(fileno=socket.dup(descriptor)) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone already
