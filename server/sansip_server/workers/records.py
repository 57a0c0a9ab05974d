"""Bindings between processes of one server: octets that ``marshal`` writes.

Theory of operation: the parent keeps the octets of a record, and reads them for a store alone. All processes
of a server are one program on one machine. So there are no versions here, and times are those of the
machine's clock, which all of them read.
"""

from __future__ import annotations

import marshal
from math import inf
from typing import Any

from sansip.location import Binding, ConnectionFlow, NodeFlow, Record, Source

__all__ = ["packed", "unpacked", "until"]

# The flow of a connection stands as its values, so many; that of a node has more.
_CONNECTION = 4


def packed(bindings: Record) -> bytes:
    """Return ``bindings`` as octets, b"" for none."""
    if not bindings:
        return b""
    values: Any = tuple(
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
            tuple(one.flow) if isinstance(one.flow, ConnectionFlow | NodeFlow) else one.flow,
            None if one.received is None else (one.received.transport, *one.received.address),
            one.user_agent,
        )
        for one in bindings
    )
    return marshal.dumps(values)


def unpacked(aor: str, octets: bytes) -> Record:
    """Return the bindings of ``aor`` that ``packed`` wrote."""
    if not octets:
        return ()
    found = []
    for values in marshal.loads(octets):
        *plain, flow, received, agent = values
        if isinstance(flow, tuple):
            flow = ConnectionFlow(*flow) if len(flow) == _CONNECTION else NodeFlow(*flow)
        source = None if received is None else Source(*received)
        contact, expires_at, call_id, cseq, *rest = plain
        one = Binding(aor, contact, expires_at, call_id, cseq, *rest)
        one.flow, one.received, one.user_agent = flow, source, agent
        found.append(one)
    return tuple(found)


def until(bindings: Record) -> float:
    """Return when the last of ``bindings`` expires; minus infinity for none."""
    return max((one.expires_at for one in bindings), default=-inf)
