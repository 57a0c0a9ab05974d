"""Events of the module ``calls``, for the log and for modules that name these classes in ``events``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.calls.call import Call

__all__ = ["CallAnswered", "CallFinished", "CallRang", "CallTakenBack", "CallTried", "CallsRead"]


@dataclass(slots=True, init=False)
class CallTakenBack:
    """A call that the process before kept goes on in this one."""

    call: Call

    def __init__(self, call: Call) -> None:
        self.call = call


@dataclass(slots=True)
class CallsRead:
    """The calls that the process before kept have been taken back, or cannot be read now."""


@dataclass(slots=True, init=False)
class CallTried:
    """An INVITE leaves for the first time."""

    call: Call

    def __init__(self, call: Call) -> None:
        self.call = call


@dataclass(slots=True, init=False)
class CallRang:
    """The first phone rings."""

    call: Call

    def __init__(self, call: Call) -> None:
        self.call = call


@dataclass(slots=True, init=False)
class CallAnswered:
    """The first 2xx goes back to the caller."""

    call: Call

    def __init__(self, call: Call) -> None:
        self.call = call


@dataclass(slots=True, init=False)
class CallFinished:
    """The call is over: refused, given up, or hung up; ``call.why`` says what ended it.

    The log has a line of each; of the others only modules hear.
    """

    call: Call

    def __init__(self, call: Call) -> None:
        self.call = call

    def __str__(self) -> str:
        call = self.call
        lasted = f"{call.duration:.3f} s" if call.answered is not None else "not answered"
        by = f" by the {call.ended_by}" if call.ended_by else ""
        return f"call {call.id} from {call.caller} to {call.callee}: {lasted}, {call.why}{by}"
