"""One command to a relay, with the time of its answer.

Theory of operation: a hook that waits does not hear what time it is when it goes on, and a breaker must. So
the answer comes with its time, and a failure is a ``RelayFailed`` with its time. A command is one object: it
is awaited, or told without a wait, and the relay judges what came before anyone goes on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.questions import Callback, Inside
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.module.peer import Exchange
    from sansip.modules.media.settings import RelaySettings

__all__ = ["Asked", "Command", "NoRelay", "RelayBusy", "RelayFailed"]


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

    @property
    def uri(self) -> str: ...
    def ask(self, command: bytes, is_ping: bool = False) -> Command: ...
    def odd(self, why: str, now: float) -> RelayFailed: ...
    def broke(self, why: str, now: float) -> RelayFailed: ...
    def worked(self) -> None: ...
    def is_full(self, now: float) -> RelayFailed: ...


class _Relay(Protocol):
    """A relay, as a command of it sees it."""

    def begun(self, command: Command, now: float) -> Exchange: ...
    def ended(self, command: Command, answer: bytes | Exception | None, now: float) -> RelayFailed | None: ...


class Command(Inside):
    """A command under way. Awaiting it returns (the answer, when), or raises ``RelayFailed``."""

    __slots__ = ("_callback", "_exchange", "_relay", "begun", "data", "is_ping", "key", "number")

    def __init__(self, relay: _Relay, number: int, key: bytes, data: bytes, is_ping: bool = False) -> None:
        self._relay = relay
        self.is_ping = is_ping
        self._callback: Callback | None = None
        self._exchange: Exchange | None = None
        self.number = number
        # Its cookie.
        self.key = key
        self.data = data
        # When it was sent.
        self.begun = 0.0

    def __await__(self) -> Generator[Any, Any, tuple[bytes, float]]:
        try:
            pair: tuple[bytes, float] = yield Question(self)
            return pair
        finally:
            if self._callback is not None:
                # The one who asked gave up: a repeated command would open ports that no call uses.
                self._callback = None
                if self._exchange is not None:
                    self._exchange.abandon()
                self._relay.ended(self, None, self.begun)

    def put(self, callback: Callback, now: float) -> None:
        self._callback = callback
        self.begun = now
        self._exchange = self._relay.begun(self, now)
        self._exchange.put(self._came, now)

    def fail(self, error: RelayFailed) -> None:
        """Wait no longer."""
        callback, self._callback = self._callback, None
        if callback is not None:
            if self._exchange is not None:
                self._exchange.abandon()
            callback(error, error.now)

    def _came(self, answer: bytes | Exception, now: float) -> None:
        callback, self._callback = self._callback, None
        if callback is None:
            return
        failed = self._relay.ended(self, answer, now)
        callback((answer, now) if failed is None else failed, now)
