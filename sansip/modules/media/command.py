"""One command to a relay, which the ``line`` to that keeps until it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.inside import Callback
    from sansip.module.peer import Exchange

__all__ = ["Command"]


class Command:
    """A command.

    Attributes:
        key: its cookie, which ``data`` begins with.
        callback: who waits; None where nobody does.
        begun: when it was sent first; ``due``: when it is sent again, or has failed; ``left``: how often yet.
        exchange: what brings it, where its relay is asked over a stream.
        patient: whether nothing needs its answer to go on: a deletion.
    """

    __slots__ = ("begun", "callback", "data", "due", "exchange", "is_ping", "key", "left", "patient")

    def __init__(
        self, key: bytes, data: bytes, is_ping: bool, callback: Callback | None = None, patient: bool = False
    ) -> None:
        self.is_ping = is_ping
        self.patient = patient
        self.key = key
        self.data = data
        self.callback = callback
        self.exchange: Exchange | None = None
        self.begun = 0.0
        self.due = 0.0
        self.left = 0
