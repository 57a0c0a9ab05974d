"""Whole messages from an SCTP association, of which a read may give a part."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.clock import Timer

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Inlet"]


class Inlet:
    """Reads whole messages from an association.

    ``lost(reason)`` is called if a message begun is not complete within
    ``limits.message_time``. If a message is larger than ``limits.message_size``, this keeps
    one octet more than that, which is enough for the stack to refuse the message (RFC 3261
    21.4.11), and drops the rest.
    """

    __slots__ = ("_hub", "_lost", "_parts", "_size", "_sock", "_timer")

    def __init__(self, hub: Host, sock: socket.socket, lost: Callable[[str], None]) -> None:
        self._hub = hub
        self._sock = sock
        self._lost = lost
        self._parts: list[bytes] = []
        self._size = 0
        self._timer: Timer | None = None

    def read(self, size: int) -> bytes:
        """Return the next message, or nothing at the end of the association.

        Raises ``BlockingIOError`` if no whole message has come, ``OSError`` when the association broke.
        """
        data, _, flags, _ = self._sock.recvmsg(size)
        whole = flags & socket.MSG_EOR
        if not data or (whole and not self._parts):
            return data
        hub = self._hub
        limits = hub.driver.limits
        room = limits.message_size + 1 - self._size
        if room > 0:
            self._parts.append(data[:room])
            self._size += min(len(data), room)
        if not whole:
            if self._timer is None:
                now = hub.clock()
                self._timer = hub.driver.timers.start(now, limits.message_time, self, None)
                hub.settle(now)
            raise BlockingIOError(errno.EAGAIN, "part of a message")
        message = b"".join(self._parts)
        self.close()
        return message

    def close(self) -> None:
        """Forget what was begun."""
        self._parts = []
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def timer_fired(self, _argument: None, now: float) -> None:
        """Called by the driver's timers: the rest did not come."""
        self._timer = None
        self._lost(
            f"message incomplete after {self._hub.driver.limits.message_time:g} s (limits.message_time)"
        )
