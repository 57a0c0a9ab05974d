"""What the dispatcher tells."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MemberChanged"]


@dataclass(slots=True)
class MemberChanged:
    """A destination is up or down, or rests. ``why`` is for people."""

    uri: str
    group: str
    state: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"destination {self.uri} of group {self.group} is {self.state}{because}"
