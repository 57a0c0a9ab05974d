"""Events of kept messages."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MessageDoubtful", "MessageKept", "MessageRefused"]


@dataclass(slots=True)
class MessageDoubtful:
    """A server died before it saw the answer of ``device``, and ``in_doubt`` has the message given up."""

    user: str
    id: str
    device: str

    def __str__(self) -> str:
        return (
            f"message {self.id} of {self.user:.80} is not sent to {self.device:.80} again, which may have it"
            f" or not: the server died before the answer came (messages.in_doubt)"
        )


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
