"""One command to a relay, with the time of its answer.

Theory of operation: a hook that waits does not hear what time it is when it goes on, and a breaker must. So
the answer comes with its time, and a failure is a ``RelayFailed`` with its time. Most commands have a
callback (``line.ask``) and need none of this.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.inside import Callback, Inside
from sansip.modules.media.command import Called
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.modules.media.command import Command
    from sansip.modules.media.settings import RelaySettings

__all__ = ["Asked", "Asking", "Line", "NoRelay", "RelayBusy", "RelayFailed"]


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
    def ask(self, command: bytes, is_ping: bool = False) -> Asking: ...
    def odd(self, why: str, now: float) -> RelayFailed: ...
    def broke(self, why: str, now: float) -> RelayFailed: ...
    def worked(self) -> None: ...
    def is_full(self, now: float) -> RelayFailed: ...


class Line(Protocol):
    """What brings commands to a relay, as one of them sees it."""

    def begin(self, command: Command, now: float) -> None: ...
    def forget(self, command: Command) -> None: ...


class Asking(Inside):
    """A command, to be awaited: that returns (the answer, when), or raises ``RelayFailed``."""

    __slots__ = ("_command", "_line")

    def __init__(self, line: Line, command: Command) -> None:
        self._line = line
        self._command = command

    def __await__(self) -> Generator[Any, Any, tuple[bytes, float]]:
        command = self._command
        try:
            pair: tuple[bytes, float] = yield Question(self)
            return pair
        finally:
            if command.asker is not None:
                # The one who asked gave up: a repeated command would open ports that no call uses.
                command.asker = None
                self._line.forget(command)

    def put(self, callback: Callback, now: float) -> None:
        self._command.asker = Called(callback)
        self._line.begin(self._command, now)
