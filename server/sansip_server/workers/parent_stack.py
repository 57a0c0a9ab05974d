"""The parent of the workers as a stack: what its hub feeds, without any SIP.

Theory of operation: the parent has a hub like every server, for its links, its control socket, its timers and
the threads of its store. A hub feeds a stack, and this is it: answers of the store go to who asked, time goes
to the keeper, and an HTTP request for a path of a module to the first worker (``mounts``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.actions import Action, Address, Ask
from sansip.limits import Limits
from sansip_server.workers.keeper import Keeper
from sansip_server.workers.mounts import FirstMounts

__all__ = ["ParentStack"]


class ParentStack:
    """Feeds ``keeper``. ``serves`` tells whether a worker lives, ``ends`` is called to end them all.

    ``mounts`` has the paths of modules, for HTTP.
    """

    def __init__(
        self,
        keeper: Keeper,
        limits: Limits,
        serves: Callable[[], bool],
        ends: Callable[[], None],
        mounts: FirstMounts,
    ) -> None:
        self.limits = limits
        self.wall_offset: Any = None
        self.draining = False
        # It has none, and HTTP asks for their paths and commands.
        self.modules = mounts
        self.web_received, self.web_closed = mounts.received, mounts.closed
        self._keeper = keeper
        self._serves = serves
        self._ends = ends
        self._asked: dict[int, Callable[[Any], None]] = {}
        self._number = 0

    def question(self, subject: Any, done: Callable[[Any], None]) -> Ask:
        """Return the action that asks ``subject``; ``done`` gets the answer."""
        self._number += 1
        self._asked[self._number] = done
        return Ask(self._number, subject)

    # --- the inputs of a stack

    @property
    def idle(self) -> bool:
        return not self._serves()

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        self._asked.pop(id)(result)
        return []

    def time_passed(self, now: float) -> list[Action]:
        self._keeper.time_passed(now)
        return []

    def next_deadline(self) -> float | None:
        return self._keeper.next_due()

    def drain(self, now: float) -> list[Action]:
        self.draining = True
        self._ends()
        return []

    def new_connection(self) -> int:
        raise NotImplementedError("the parent of workers has no connections")

    def is_crowd(self, listener: int, source: Address) -> bool:
        return False

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        return []

    def connection_opened(self, conn: int, flow: Any, now: float) -> list[Action]:
        return []

    def protocol_agreed(self, conn: int, protocol: str, now: float) -> list[Action]:
        return []

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        return []

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        return []

    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]:
        return []
