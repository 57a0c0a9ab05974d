"""One command to a relay, which the ``line`` to that keeps until it is answered; and who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.inside import Callback
    from sansip.module.peer import Exchange

__all__ = ["Asker", "Called", "Command"]


class Asker:
    """Who waits for a command."""

    __slots__ = ()

    def heard(self, result: Any, now: float) -> None:
        """Take the answer, as octets, or the exception that says why there is none."""
        raise NotImplementedError


class Called(Asker):
    """A function that waits: ``callback((answer, when) or failure, when)``."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callback) -> None:
        self._callback = callback

    def heard(self, result: Any, now: float) -> None:
        self._callback(result if isinstance(result, Exception) else (result, now), now)


class Command:
    """A command.

    Attributes:
        number: that of its cookie, which ``data`` begins with.
        asker: who waits; None where nobody does.
        begun: when it was sent first; ``due``: when it is sent again, or has failed; ``left``: how often yet.
        exchange: what brings it, where its relay is asked over a stream.
        patient: whether nothing needs its answer to go on: a deletion.
    """

    __slots__ = ("asker", "begun", "data", "due", "exchange", "is_ping", "left", "number", "patient")

    def __init__(
        self, number: int, data: bytes, is_ping: bool, asker: Asker | None = None, patient: bool = False
    ) -> None:
        self.is_ping = is_ping
        self.patient = patient
        self.number = number
        self.data = data
        self.asker = asker
        self.exchange: Exchange | None = None
        self.begun = 0.0
        self.due = 0.0
        self.left = 0
