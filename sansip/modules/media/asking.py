"""One command to a relay, with the time of its answer.

Theory of operation: a hook that waits does not hear what time it is when it goes on, and a breaker must. So
the answer comes with its time, and a failure is a ``RelayFailed`` with its time. A command is one object: it
is awaited, or put with a callback. The ``line`` to its relay keeps it until it is answered.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.questions import Callback, Inside
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.module.peer import Exchange
    from sansip.modules.media.settings import RelaySettings

__all__ = ["Asked", "Command", "Line", "NoRelay", "RelayBusy", "RelayFailed"]


class RelayFailed(Exception):
    """A relay did not do what it was asked. ``now``: when that was known."""

    def __init__(self, why: str, now: float) -> None:
        super().__init__(why)
        self.now = now


class RelayBusy(RelayFailed):
    """Nothing was asked, for a bound of this server."""


class NoRelay(Exception):
    """No relay can be had for a call. ``now``: when that was known."""

    def __init__(self, why: str, now: float) -> None:
        super().__init__(why)
        self.now = now


class Asked(Protocol):
    """A relay, as its protocol sees it."""

    settings: RelaySettings
    # Whether something was wrong with it, so that it is told of work that it does.
    doubted: bool

    @property
    def uri(self) -> str: ...
    def ask(self, command: bytes, is_ping: bool = False) -> Command: ...
    def odd(self, why: str, now: float) -> RelayFailed: ...
    def broke(self, why: str, now: float) -> RelayFailed: ...
    def worked(self) -> None: ...
    def is_full(self, now: float) -> RelayFailed: ...


class Line(Protocol):
    """What brings commands to a relay, as one of them sees it."""

    def begin(self, command: Command, now: float) -> None: ...
    def forget(self, command: Command) -> None: ...


class Command(Inside):
    """A command under way. Awaiting it returns (the answer, when), or raises ``RelayFailed``.

    Attributes:
        key: its cookie.
        callback: who waits; None where nobody does.
        begun: when it was sent first; ``due``: when it is sent again, or has failed; ``left``: how often yet.
        exchange: what brings it, where its relay is asked over a stream.
    """

    __slots__ = ("_line", "begun", "callback", "data", "due", "exchange", "is_ping", "key", "left")

    def __init__(self, line: Line, key: bytes, data: bytes, is_ping: bool) -> None:
        self._line = line
        self.is_ping = is_ping
        self.key = key
        self.data = data
        self.callback: Callback | None = None
        self.exchange: Exchange | None = None
        self.begun = self.due = 0.0
        self.left = 0

    def __await__(self) -> Generator[Any, Any, tuple[bytes, float]]:
        try:
            pair: tuple[bytes, float] = yield Question(self)
            return pair
        finally:
            if self.callback is not None:
                # The one who asked gave up: a repeated command would open ports that no call uses.
                self.callback = None
                self._line.forget(self)

    def put(self, callback: Callback, now: float) -> None:
        self.callback = callback
        self._line.begin(self, now)
