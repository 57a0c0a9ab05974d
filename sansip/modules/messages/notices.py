"""Events of kept messages."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MessageKept", "MessageRefused"]


@dataclass(slots=True)
class MessageKept:
    """A message waits for ``user``."""

    user: str
    sender: str
    id: str


@dataclass(slots=True)
class MessageRefused:
    """A message was not kept, because ``limit`` is reached."""

    sender: str
    user: str
    limit: str

    def __str__(self) -> str:
        which = f"a message of {self.sender:.80} for {self.user:.80}"
        return f"messages.{self.limit} is reached: {which} was not kept"
