"""A feed of callers who were turned away, for a board on the wall: the protocol ``quiet``.

Theory of operation: a client connects, over TCP, TLS or WebSocket, and names one user, or ``*``, in one
line. From then on it gets a line of JSON for each caller of that user who was turned away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sansip.module import Link

if TYPE_CHECKING:
    from sansip_quiet_hours import QuietHours

__all__ = ["Feed"]


class Feed(Link):
    """One client."""

    websocket = True
    largest = 256
    module: QuietHours
    wanted = ""

    def split(self, buffer: bytearray) -> int:
        """A message is a line."""
        return buffer.find(b"\n") + 1

    def received(self, message: bytes, now: float) -> None:
        """Take the name of the user from the client."""
        self.wanted = message.decode("utf-8", "replace").strip()

    def tell(self, user: str, caller: str) -> None:
        """Report a caller, if the client asked for ``user``."""
        if self.wanted in ("*", user):
            self.send(json.dumps({"user": user, "caller": caller}).encode() + b"\n")
