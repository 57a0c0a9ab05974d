"""What users use at the other workers of one server.

Theory of operation: each worker says of a user what its ended calls used, and which of its calls go on. From
that every worker counts, at any time, what the user has used at all of them: a limit is reached when the sum
is. What a worker said of calls that go on ends with it.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from sansip.modules.calls.tariff import Tariff

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.quotas.use import Use

__all__ = ["Others"]


class Others:
    """The use of all users at other workers; the same module tells them what this one sees."""

    __slots__ = ("_core", "_digit", "_uses")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._digit = "" if core.seat is None else core.seat.digit
        # User -> worker -> period, seconds, spent, calls that go on: since when, and their tariffs.
        self._uses: dict[str, dict[str, tuple[Any, ...]]] = {}

    def share(self, user: str, use: Use) -> None:
        """Say what ``user`` uses here."""
        if self._digit:
            running = tuple(
                (call.answered, None if call.tariff is None else astuple(call.tariff))
                for call in use.running.values()
                if call.answered is not None
            )
            word = (use.period, use.seconds, use.spent, running) if running or use.seconds else None
            self._core.announce(f"{self._digit} {user}", word, own=True)

    def heard(self, key: str, word: tuple[Any, ...] | None) -> str:
        """Take what another worker says; return the user."""
        digit, _, user = key.partition(" ")
        uses = self._uses.setdefault(user, {})
        if word is None:
            uses.pop(digit, None)
        else:
            uses[digit] = word
        if not uses:
            del self._uses[user]
        return user

    def at(self, user: str, period: int, now: float) -> tuple[float, int]:
        """Return the seconds and the spend of ``user`` in ``period`` at the other workers until ``now``."""
        seconds, spent = 0.0, 0
        for began, used, cost, running in self._uses.get(user, {}).values():
            if began == period:
                seconds, spent = seconds + used, spent + cost
            for answered, tariff in running:
                seconds += now - answered
                if tariff is not None:
                    spent += Tariff(*tariff).cost(now - answered)
        return seconds, spent

    def running(self, user: str) -> list[Tariff | None]:
        """Return the tariffs of the calls of ``user`` that go on at other workers."""
        return [
            None if tariff is None else Tariff(*tariff)
            for *_, running in self._uses.get(user, {}).values()
            for _, tariff in running
        ]

    def users(self) -> list[str]:
        """Return the users that another worker has said something of."""
        return list(self._uses)
