"""Messages on their way to phones: one at a time for each, the others wait behind it.

Theory of operation: RFC 3428 8 wants one MESSAGE in flight to a receiver at most, and order comes with it. A
phone that does not answer is in nobody's way: its own queue is bounded, and it misses what does not fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.ua.errors import CallRefused

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.proxy import Target

__all__ = ["Letter", "Outbox"]


@dataclass(slots=True)
class Letter:
    """A message for one phone: ``target`` is where it is, ``kind`` the type of ``body``."""

    target: Target | str
    from_: str
    to: str
    kind: str
    body: bytes


class Outbox:
    """The queues of all phones.

    Attributes:
        total: how many messages wait or are on their way.
    """

    __slots__ = ("_core", "_missed", "_queues", "_sent", "total")

    def __init__(self, core: Core) -> None:
        self._core = core
        # Phone -> what waits for it; a phone that is being sent to has one, perhaps empty.
        self._queues: dict[Hashable, deque[Letter]] = {}
        self._sent = core.counter("delivered", "Messages that a phone of a member took")
        self._missed = core.counter("missed", "Messages that a phone did not take, or had no room for")
        self.total = 0

    def put(self, phone: Hashable, letter: Letter, waiting: int, now: float) -> None:
        """Send ``letter`` to ``phone``, behind at most ``waiting`` others."""
        queue = self._queues.get(phone)
        if queue is not None:
            if len(queue) >= waiting:
                self._missed.add()
                return
            queue.append(letter)
            self.total += 1
            return
        self._queues[phone] = deque((letter,))
        self.total += 1
        self._core.run(self._send(phone), now, partial(self._over, phone))

    async def _send(self, phone: Hashable) -> None:
        queue = self._queues[phone]
        while queue:
            letter = queue.popleft()
            try:
                answer = await self._core.ua.request(
                    "MESSAGE",
                    letter.target,
                    [("Content-Type", letter.kind)],
                    letter.body,
                    from_=letter.from_,
                    to=letter.to,
                )
                taken = 200 <= answer.status < 300
            except (CallRefused, LocalProtocolError, RemoteProtocolError):
                taken = False
            finally:
                self.total -= 1
            (self._sent if taken else self._missed).add()

    def _over(self, phone: Hashable, result: object, now: float) -> None:
        left = self._queues.pop(phone, ())
        self.total -= len(left)
        if isinstance(result, Exception):
            self._core.failed("send", result)
