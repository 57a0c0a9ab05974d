"""Bindings between processes of one server: tuples of plain values, which ``marshal`` writes.

Theory of operation: all processes of a server are one program on one machine. So there are no versions here,
and times are those of the machine's clock, which all of them read.
"""

from __future__ import annotations

from math import inf
from typing import Any

from sansip.location import Binding, ConnectionFlow, Record, Source

__all__ = ["Packed", "packed", "unpacked", "until"]

# The bindings of one address-of-record.
Packed = tuple[tuple[Any, ...], ...]
# How long a place in a binding is: the flow of a connection stands as its values.
_CONNECTION = 4


def packed(bindings: Record) -> Packed:
    """Return ``bindings`` as plain values."""
    return tuple(
        (
            one.contact,
            one.expires_at,
            one.call_id,
            one.cseq,
            one.q,
            one.registered_at,
            one.refreshed_at,
            one.path,
            one.instance,
            one.reg_id,
            one.params,
            tuple(one.flow) if isinstance(one.flow, ConnectionFlow) else one.flow,
            None if one.received is None else (one.received.transport, *one.received.address),
            one.user_agent,
        )
        for one in bindings
    )


def unpacked(aor: str, bindings: Packed) -> Record:
    """Return the bindings of ``aor`` that ``packed`` made plain."""
    found = []
    for values in bindings:
        *plain, flow, received, agent = values
        if isinstance(flow, tuple):
            flow = ConnectionFlow(*flow[:_CONNECTION])
        source = None if received is None else Source(*received)
        contact, expires_at, call_id, cseq, *rest = plain
        one = Binding(aor, contact, expires_at, call_id, cseq, *rest)
        one.flow, one.received, one.user_agent = flow, source, agent
        found.append(one)
    return tuple(found)


def until(bindings: Record) -> float:
    """Return when the last of ``bindings`` expires; minus infinity for none."""
    return max((one.expires_at for one in bindings), default=-inf)
