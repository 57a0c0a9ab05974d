"""Our Record-Route values: staying on the path of a dialog (RFC 3261 16.6 step 4, RFC 5658)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.proxy.secure import as_sips

if TYPE_CHECKING:
    from sansip.proxy.recording import Recording
    from sansip.transport import Listener, Listeners
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Request

__all__ = ["add_record_route", "can_be_recorded", "record_route_lines"]


def add_record_route(
    listeners: Listeners,
    copy: Request,
    incoming: int,
    outgoing: Listener,
    token: str,
    came: str = "",
    goes: str = "",
    secure: bool = False,
    mark: str = "",
) -> None:
    """Put us into Record-Route (RFC 3261 16.6 step 4).

    RFC 5658 3: where a request leaves by another transport or address than
    it came in by, it is recorded twice, so that each side finds the
    listener that it can reach. ``token`` is the dialog's mark, or "". ``came``
    and ``goes`` are the flow tokens of the two sides, "" where none is needed.
    ``secure``: the next hop was found by a sips URI, so ours is one, too; that of
    the side it came by only where the Request-URI is sips.
    ``mark``: a parameter more (``Shifts.mark``).
    """
    both = secure and copy.uri.scheme == "sips"
    for line in record_route_lines(
        listeners, incoming, outgoing, token, came, goes, secure=secure, both=both, mark=mark
    ):
        copy.prepend_line("record-route", line)


def record_route_lines(
    listeners: Listeners,
    incoming: int,
    outgoing: Listener,
    token: str,
    came: str,
    goes: str,
    *,
    secure: bool = False,
    both: bool = False,
    mark: str = "",
) -> list[str]:
    """Return our Record-Route lines, the last of which stands first; ``both``: each is a sips URI."""
    end = f";d={token}{mark}>" if token else f"{mark}>"
    lines = []
    if outgoing.id != incoming or came or goes or both != secure:
        near = _with_user(listeners[incoming].record_route, came) + end
        lines.append(as_sips(near) if both else near)
    far = (_with_user(outgoing.record_route, goes) if goes else outgoing.record_route) + end
    lines.append(as_sips(far) if secure else far)
    return lines


def can_be_recorded(hop: NextHop, record: Recording | None) -> bool:
    """Whether a request that leaves by a transport without a listener can be recorded as it must.

    RFC 3261 16.6 step 4 requires a sips URI in Record-Route, and no client could follow one to a server that
    does not listen for TLS.
    """
    return record is None or not hop.sips


def _with_user(record_route: str, user: str) -> str:
    """Put a user part into one of our Record-Route lines."""
    return record_route.replace("<sip:", f"<sip:{user}@", 1) if user else record_route
