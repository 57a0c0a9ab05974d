"""The life of a call as a total table: state, input, next state.

Theory of operation: a call is tried, rings, is answered and ends. Each state has a line for each thing that
can happen, so the table has an answer to whatever a network does. Some lines change nothing: a ring that
comes behind the answer, say.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

__all__ = ["ANSWERED", "CALLING", "ENDED", "HAPPENINGS", "RINGING", "STATES", "TABLE", "Happening", "State"]

State: TypeAlias = Literal["calling", "ringing", "answered", "ended"]
Happening: TypeAlias = Literal["rings", "answers", "ends"]

CALLING: Final = "calling"
RINGING: Final = "ringing"
ANSWERED: Final = "answered"
ENDED: Final = "ended"
STATES: Final[tuple[State, ...]] = (CALLING, RINGING, ANSWERED, ENDED)
HAPPENINGS: Final[tuple[Happening, ...]] = ("rings", "answers", "ends")

TABLE: Final[dict[tuple[State, Happening], State]] = {
    ("calling", "rings"): "ringing",
    ("calling", "answers"): "answered",
    ("calling", "ends"): "ended",
    ("ringing", "rings"): "ringing",
    ("ringing", "answers"): "answered",
    ("ringing", "ends"): "ended",
    # Another phone of the fork rings on until its CANCEL comes.
    ("answered", "rings"): "answered",
    # RFC 3261 13.2.2.4: a 2xx of another branch makes one more dialog of the same call.
    ("answered", "answers"): "answered",
    ("answered", "ends"): "ended",
    ("ended", "rings"): "ended",
    # A 2xx that crossed the CANCEL: its dialog is the caller's to end, with a BYE (RFC 3261 15).
    ("ended", "answers"): "ended",
    ("ended", "ends"): "ended",
}
