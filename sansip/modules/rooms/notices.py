"""Events of rooms."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RoomMessage", "RoomRefused"]


@dataclass(slots=True)
class RoomMessage:
    """A message of ``sender`` went to ``phones`` phones of the members of ``room``."""

    room: str
    sender: str
    phones: int


@dataclass(slots=True)
class RoomRefused:
    """A message did not go to a room."""

    room: str
    sender: str
    reason: str

    def __str__(self) -> str:
        return f"a message of {self.sender:.80} for the room {self.room:.80} was refused: {self.reason}"
