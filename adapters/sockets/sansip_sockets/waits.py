"""The waits that a pump yields, and the duties of a runtime.

Theory of operation: a pump is a generator that moves octets between one socket
and the stack and never waits itself. It yields a *wait*, and the runtime that drives it
resumes it. That is all a runtime has to do, for every socket, timer and thread
of the server:

- ``(READ, sock, timeout)``: resume with ``True`` when ``sock`` is readable, or
  with ``False`` after ``timeout`` seconds (None: never);
- ``(WRITE, sock, timeout)``: the same for writable;
- ``(PAUSE, sock, seconds)``: stop watching ``sock`` altogether (it may be closed
  the moment the pump goes on) and resume with ``False`` after ``seconds`` (0:
  at once);
- each of them with a *bell* as fourth element: set ``bell.resume`` to a function that
  resumes with ``False`` if the pump still waits for this, and does nothing else.

A pump yields the same tuple object again where its wait has not changed, so a
runtime that keeps its watch registered pays one identity test. At most one
pump reads a socket and at most one writes it at a time. A pump contains its own
exceptions; it ends by returning.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from socket import SHUT_RDWR, socket
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sansip_sockets.inbox import Inbox

__all__ = ["PAUSE", "READ", "WRITE", "Bell", "Pump", "Spawn", "Wait", "wake"]

PAUSE = 0
READ = 1
WRITE = 2


class Bell:
    """Wakes one pump before its time; ``inbox`` is the hub's."""

    __slots__ = ("_inbox", "resume")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        # The runtime's way back into the wait that names this bell.
        self.resume: Callable[[], None] | None = None

    def ring(self) -> None:
        """Resume the pump, in the next turn; from any thread."""
        self._inbox.post(self._rung)

    def _rung(self) -> None:
        if self.resume is not None:
            self.resume()


Wait: TypeAlias = tuple[int, socket, float | None] | tuple[int, socket, float | None, Bell]
Pump: TypeAlias = Generator[Wait, bool, None]
# How a new pump is handed to the runtime; it may be started at once or later.
Spawn: TypeAlias = Callable[[Pump], None]


def wake(sock: socket) -> None:
    """Resume the pump that reads ``sock``, which is to look whether it shall end."""
    try:
        sock.shutdown(SHUT_RDWR)
    except OSError:
        pass  # a socket without a peer: the system refuses, having woken the reader
