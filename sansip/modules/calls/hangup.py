"""A BYE to both sides of a call, each as if it came from the other.

Theory of operation: both sides take only requests with the tags, and a CSeq above the last, of their dialog
(RFC 3261 12.2.2). This server saw both, so it can write what either side would have written, and send it
along the Route values between here and the other. Kamailio's ``dlg_end_dlg`` does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.client import Asker
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.transport.nat import is_private
from sansip.ua.home import leads_home, way_home
from sansip.wire import Request, Response, SipUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sansip.client import Client, Sending
    from sansip.modules.calls.call import Side
    from sansip.transport import Flow
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Uri

__all__ = ["send", "written"]

# RFC 3261 8.1.1.5
_END: Final = 1 << 31


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

    Return whether it could be written: the peers' values in Contact and Record-Route may be malformed.
    """
    # RFC 3261 12.2.1.1: one more than the last of this direction; 8.1.1.5: less than 2**31. 12.2.2: a probe
    # has the last number itself, for the side in whose name it is sent goes on counting from there.
    cseq = from_.cseq
    if method == "BYE":
        if cseq + 1 >= _END:
            return False
        cseq = from_.cseq = cseq + 1
    headers: list[tuple[str, object]] = []
    if reason:
        # RFC 3326
        headers.append(("Reason", reason))
    try:
        request, hop = written(client, method, call_id, to, from_, cseq, headers)
        client.send(request, _Asking(done), now, hop=hop)
    except (RemoteProtocolError, LocalProtocolError):
        return False
    return True


def written(
    client: Client,
    method: str,
    call_id: str,
    to: Side,
    from_: Side,
    cseq: int,
    more: Sequence[tuple[str, object]] = (),
    body: bytes = b"",
) -> tuple[Request, Flow | NextHop | SipUri | None]:
    """Return a request within a dialog, and where to send it in place of where it leads.

    Raises RemoteProtocolError or LocalProtocolError: the peers' Contact and Record-Route may be malformed.
    """
    if cseq >= _END or (to.flow is None and not to.proven):
        # RFC 3261 8.1.1.5. A stranger's connection is gone: nothing goes to an address that it only names.
        raise LocalProtocolError("no request of ours can be sent within this dialog")
    headers: list[tuple[str, object]] = [("Route", route) for route in to.routes]
    headers += [
        ("From", from_.name),
        ("To", to.name),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        *more,
    ]
    uri = parse_uri(to.target)
    strict = _strict(to.routes)
    request = Request.build(method, to.target, headers, body)
    if strict is not None:
        # RFC 3261 12.2.1.1: the Request-URI of a strict router, and the target as the last Route.
        request.set_uri(strict)
        request.remove("Route")
        for route in (*to.routes[1:], f"<{to.target}>"):
            request.append("Route", route)
    return request, _way(client, to, uri, strict)


def _strict(routes: tuple[str, ...]) -> SipUri | None:
    if not routes:
        return None
    uri = parse_uri(routes[0].partition("<")[2].partition(">")[0])
    return uri if isinstance(uri, SipUri) and not uri.is_loose_router else None


def _way(client: Client, to: Side, uri: Uri, strict: SipUri | None) -> Flow | NextHop | SipUri | None:
    """Return where to send, in place of where Route and Request-URI lead; None: there."""
    flow = to.flow
    first = parse_uri(to.routes[0].partition("<")[2].partition(">")[0]) if to.routes else uri
    if flow is not None:
        if not to.proven and not leads_home(first, flow):
            # No stranger has requests of ours sent to an address that it only names.
            return way_home(client, flow)
        if flow.conn and not to.routes:
            # A phone on a connection is reached over it (RFC 5923, RFC 7118 5).
            return flow
        if not to.routes and isinstance(uri, SipUri) and is_private(uri.host) and uri.host != flow.host:
            return flow
    return strict
