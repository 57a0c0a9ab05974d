"""A call as commands return it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.calls.call import Call

__all__ = ["Row", "row_of"]


@dataclass(slots=True)
class Row:
    """A call in `calls.list` and `calls.show`; Unix times, 0 for an event that has not happened."""

    number: int
    id: str
    state: str
    caller: str
    callee: str
    target: str
    source: str
    call_id: str
    began: float
    answered: float
    seconds: float
    keys: list[str]


def row_of(call: Call, unix: Callable[[float], float], now: float) -> Row:
    """Return ``call`` as commands tell it. ``seconds``: since the answer."""
    answered = call.answered
    return Row(
        call.number,
        call.id,
        call.state,
        call.caller,
        call.callee,
        call.target,
        call.source,
        call.call_id,
        round(unix(call.began), 3),
        0.0 if answered is None else round(unix(answered), 3),
        0.0 if answered is None else round(now - answered, 3),
        sorted(call.keys),
    )
