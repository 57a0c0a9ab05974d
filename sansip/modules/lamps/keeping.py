"""Lamps of calls that a restart takes back (``[calls] keep = true``).

Theory of operation: what a lamp shows of an answered call is in the record of the call already, but not whose
lamps there are, and by which id: that is noted in the call's variables, which its row holds. The lamps are
made anew of both when the call is taken back, with the ids that phones know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.lamps.lamp import CONFIRMED, Lamp, Party
from sansip.wire import parse_name_addr

if TYPE_CHECKING:
    from sansip.modules.calls import Call
    from sansip.wire import NameAddr

__all__ = ["lamps_of", "note_lamp", "party"]

# How the names of these variables begin.
_NAME: Final = "lamps."
_CALLER: Final = "0"


def party(address: NameAddr, target: str) -> Party:
    """Return the side of a dialog that has this From or To value."""
    return Party(str(address.uri), address.display, target)


def note_lamp(call: Call, lamp: Lamp) -> None:
    """Note with ``call`` that ``lamp`` shows that it was answered."""
    tag = lamp.local_tag if lamp.direction == "recipient" else lamp.remote_tag
    call.variables[f"{_NAME}{lamp.id.rpartition('.')[2]}"] = f"{lamp.entity} {tag}"


def lamps_of(call: Call) -> Iterator[Lamp]:
    """Return the lamps of a call that was taken back."""
    for name, value in call.variables.items():
        if not name.startswith(_NAME) or not isinstance(value, str):
            continue
        number = name.removeprefix(_NAME)
        entity, _, tag = value.partition(" ")
        talk = call.talks.get(tag)
        if talk is None or not entity:
            # Another phone that answered goes on with the call.
            continue
        try:
            caller = parse_name_addr(talk.caller.name, "From", "RFC 3261 20.20")
            callee = parse_name_addr(talk.callee.name, "To", "RFC 3261 20.39")
        except RemoteProtocolError:
            continue
        near, far = party(caller, talk.caller.target), party(callee, "")
        local_tag, remote_tag, direction = call.caller_tag, tag, "initiator"
        if number != _CALLER:
            near, far = Party(entity, callee.display, talk.callee.target), near
            local_tag, remote_tag, direction = tag, call.caller_tag, "recipient"
        yield Lamp(
            f"{call.id}.{number}",
            entity,
            call.call_id,
            direction,
            near,
            far,
            call.began,
            CONFIRMED,
            local_tag,
            remote_tag,
        )
