"""Phones behind a NAT, in an ACK or BYE that passes as octets: the flow tokens in its Route.

Theory of operation: where a side of the dialog is behind a NAT, our Record-Route values come in a pair, and
name its flow (``proxy.flow_tokens``). A request of the dialog repeats them, in one line or in two. If both
look just as we write them, they are read here as ``arrival.take_route`` and ``flows`` read them; whatever is
not plain is for the long way. What is sent on has no Route at all, so two lines may be read as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sansip.routing.flow_route import FlowRoute
from sansip.routing.flows import follow, sender_of
from sansip.transport.flow_token import MARK

if TYPE_CHECKING:
    from sansip.proxy import Target
    from sansip.routing.core import Core
    from sansip.transport import Flow, Listener
    from sansip.wire.passing import Passing

__all__ = ["joined_routes", "named_way"]

_VALUE: Final = rf"<sip:(?:({re.escape(MARK)}[A-Za-z0-9_\-]++)@)?([A-Za-z0-9\-_.:\[\];=]++>)"
_VALUES: Final = re.compile(rf"Route: {_VALUE}(?:,[ ]?{_VALUE})?")
_LINE: Final = b"\r\nRoute: "


def joined_routes(data: bytes) -> bytes | None:
    """Return ``data`` with its first two lines of Route as one, None where none follows the first."""
    end = data.find(b"\r\n", data.find(_LINE) + 2)
    if not data.startswith(_LINE, end):
        return None
    return data[:end] + b", " + data[end + len(_LINE) :]


def named_way(
    core: Core, passing: Passing, flow: Flow, now: float
) -> tuple[Listener, str, Target | None] | None:
    """Return the listener of the far side, its mark, and where the tokens in Route lead; or None.

    None for a target: nowhere, the Request-URI leads on. ``flow``: that of the sender.
    """
    match = _VALUES.fullmatch(passing.route)
    if match is None:
        return None
    flows: FlowRoute | None = None
    recorded = None
    for token, rest in (match.group(1, 2), match.group(3, 4)):
        if rest is None:
            break
        second = recorded is not None
        recorded = core.listeners.recorded_by(f"Route: <sip:{rest}")
        if recorded is None:
            return None
        if token is None:
            if flows is not None:
                flows.pass_plain()
            continue
        read = core.proxy.tokens.read(token, passing)
        if read is None or not read.bound:
            # RFC 5626 5.3.1: it has been tampered with, or is of another dialog; or it is of a Path.
            return None
        if flows is None:
            flows = FlowRoute()
            senders = None if second else sender_of(core, read, flow, now)
        else:
            senders = None
        flows.add(read, senders, False)
    if recorded is None:
        return None
    onward = None if flows is None else flows.onward
    target = None if onward is None else follow(core, onward, now)
    if onward is not None and (target is None or target.flow is None):
        # It may be elsewhere.
        return None
    return (*recorded, target)
