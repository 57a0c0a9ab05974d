"""The route set of a dialog, and the Request-URI and Route that follow from it (RFC 3261 12).

Theory of operation: three rules, each a function of its own, so that each can be compared
with its paragraph of the RFC: which values the side that was asked keeps, which values the
side that asked keeps, and how a request is aimed with them. A value is kept as it came,
parameters of the URI and of the header field included, for proxies keep their state there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sansip.errors import RemoteProtocolError
from sansip.wire import NameAddr, Request, Response, SipUri, Uri

__all__ = ["RouteSet", "aim", "record_routes_to_copy", "route_set_of_uac", "route_set_of_uas"]

RouteSet = tuple[NameAddr, ...]


def route_set_of_uas(request: Request) -> RouteSet:
    """Return the route set of the side that answers ``request``.

    Raises RemoteProtocolError for a Record-Route that is malformed.
    """
    # RFC 3261 12.1.1: the Record-Route values of the request, taken in order.
    return _checked(request.record_routes)


def route_set_of_uac(response: Response) -> RouteSet:
    """Return the route set of the side that sent the request, made of its ``response``.

    Raises RemoteProtocolError for a Record-Route that is malformed.
    """
    # RFC 3261 12.1.2: the Record-Route values of the response, taken in reverse order.
    return _checked(response.record_routes[::-1])


def _checked(values: Sequence[NameAddr]) -> RouteSet:
    for value in values:
        if not isinstance(value.uri, SipUri):
            raise RemoteProtocolError(
                f"Record-Route: {value.uri} is not a SIP URI",
                status=400,
                section="RFC 3261 20.30",
                field="Record-Route",
            )
    return tuple(values)


def record_routes_to_copy(request: Request) -> list[tuple[str, str]]:
    """Return the header fields by which an answer to ``request`` tells the caller the route set."""
    # RFC 3261 12.1.1: all values, with parameters known or unknown, in their order.
    return [("Record-Route", value) for value in request.get_all("record-route")]


def aim(remote_target: Uri, route_set: RouteSet) -> tuple[Uri, list[str]]:
    """Return the Request-URI and the Route values of a request within a dialog (RFC 3261 12.2.1.1)."""
    target = _for_request_uri(remote_target)
    if not route_set:
        # The remote target, and no Route header field.
        return target, []
    first = route_set[0].uri
    if isinstance(first, SipUri) and first.is_loose_router:
        # The remote target, and the whole route set in order, all parameters included.
        return target, [str(value) for value in route_set]
    # A strict router: its URI, then the rest of the route set, and the remote target last.
    return _for_request_uri(first), [*(str(value) for value in route_set[1:]), f"<{target}>"]


def _for_request_uri(uri: Uri) -> Uri:
    # RFC 3261 19.1.1, table 1: a Request-URI has no method parameter and no header fields.
    if not isinstance(uri, SipUri) or not (uri.headers or "method" in uri.params):
        return uri
    params = {name: value for name, value in uri.params.items() if name != "method"}
    return uri.replace(params=params, headers=())
