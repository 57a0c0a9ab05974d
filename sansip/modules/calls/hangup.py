"""A BYE to both sides of a call, each as if it came from the other.

Theory of operation: both sides take only requests with the tags, and a CSeq above the last, of their dialog
(RFC 3261 12.2.2). This server saw both, so it can write what either side would have written, and send it
along the Route values between here and the other. Kamailio's ``dlg_end_dlg`` does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.client import Asker
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.transport.nat import is_private
from sansip.wire import Request, Response, SipUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.client import Client, Sending
    from sansip.modules.calls.call import Side
    from sansip.transport import Flow

__all__ = ["send"]

Done = "Callable[[int, float], None]"


class _Asking(Asker):
    """Hears the answer to one request of ours."""

    __slots__ = ("_done",)

    def __init__(self, done: Callable[[int, float], None]) -> None:
        self._done = done

    def final(self, sending: Sending, response: Response, now: float) -> None:
        self._done(response.status, now)


def send(
    client: Client,
    method: str,
    call_id: str,
    to: Side,
    from_: Side,
    now: float,
    done: Callable[[int, float], None],
    reason: str = "",
) -> bool:
    """Send ``method`` to the side ``to`` as if it came from ``from_``; ``done`` hears the status.

    Return whether it could be written: what peers put into Contact and Record-Route may be malformed.
    """
    # RFC 3261 12.2.1.1: one more than the last of this direction.
    from_.cseq += 1
    headers: list[tuple[str, object]] = [("Route", route) for route in to.routes]
    headers += [
        ("From", from_.name),
        ("To", to.name),
        ("Call-ID", call_id),
        ("CSeq", f"{from_.cseq} {method}"),
    ]
    if reason:
        # RFC 3326
        headers.append(("Reason", reason))
    try:
        uri = parse_uri(to.target)
        strict = _strict(to.routes)
        request = Request.build(method, to.target, headers)
        if strict is not None:
            # RFC 3261 12.2.1.1: the Request-URI of a strict router, and the target as the last Route.
            request.set_uri(strict)
            request.remove("Route")
            for route in (*to.routes[1:], f"<{to.target}>"):
                request.append("Route", route)
        client.send(request, _Asking(done), now, hop=strict or _way(to, uri))
    except (RemoteProtocolError, LocalProtocolError):
        return False
    return True


def _strict(routes: tuple[str, ...]) -> SipUri | None:
    if not routes:
        return None
    uri = parse_uri(routes[0].partition("<")[2].partition(">")[0])
    return uri if isinstance(uri, SipUri) and not uri.is_loose_router else None


def _way(to: Side, uri: object) -> Flow | None:
    """Return the flow to send over where neither Route nor Contact leads to ``to``, else None."""
    flow = to.flow
    if to.routes or flow is None or not isinstance(uri, SipUri):
        return None
    if flow.conn:
        # A phone on a connection is reached over it (RFC 5923, RFC 7118 5).
        return flow
    return flow if is_private(uri.host) and uri.host != flow.host else None
