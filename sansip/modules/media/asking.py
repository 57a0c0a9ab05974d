"""One question to a relay, with the time of its answer.

Theory of operation: a hook that waits does not hear what time it is when it goes on, and a breaker must. So
the answer comes with its time, and a failure is a ``RelayFailed`` with its time.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from sansip.questions import Callback, Inside
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.modules.media.settings import RelaySettings

__all__ = ["Asked", "NoRelay", "RelayFailed", "Timed"]


class RelayFailed(Exception):
    """A relay did not do what it was asked. ``broken``: it is the relay's own fault, not the command's."""

    def __init__(self, why: str, now: float, *, broken: bool = True) -> None:
        super().__init__(why)
        self.now = now
        self.broken = broken


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
    async def ask(self, command: bytes, now: float) -> tuple[bytes, float]: ...
    def broke(self, why: str, now: float) -> RelayFailed: ...
    def worked(self) -> None: ...
    def is_full(self, now: float) -> RelayFailed: ...


class _Exchange(Protocol):
    def put(self, callback: Callback, now: float) -> None: ...


class Timed(Inside):
    """Awaiting it returns (what came, or the exception; when)."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def __await__(self) -> Generator[Any, Any, tuple[bytes | Exception, float]]:
        pair: tuple[bytes | Exception, float] = yield from Question(self).__await__()
        return pair

    def put(self, callback: Callback, now: float) -> None:
        self._exchange.put(lambda result, then: callback((result, then), then), now)
