"""Events of the module ``media``, for the log and for other modules."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CallUnrelayed", "RelayChanged", "RelayDoubted"]


@dataclass(slots=True)
class RelayChanged:
    """A relay is up or down. ``why`` is for people."""

    uri: str
    state: str
    why: str

    def __str__(self) -> str:
        because = f": {self.why}" if self.why else ""
        return f"media relay {self.uri} is {self.state}{because}"


@dataclass(slots=True)
class RelayDoubted:
    """A relay has told its version, and strangers can misuse it. ``why`` is for people."""

    why: str

    def __str__(self) -> str:
        return f"media relay {self.why}"


@dataclass(slots=True)
class CallUnrelayed:
    """A call that needs a relay got none. ``done`` is what became of it."""

    call_id: str
    why: str
    done: str

    def __str__(self) -> str:
        return f"no media relay for the call {self.call_id} ({self.why}): {self.done}"
