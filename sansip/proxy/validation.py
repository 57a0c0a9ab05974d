"""The checks of a proxy before it forwards a request (RFC 3261 16.3).

Theory of operation: each check returns None or the refusal to send. Syntax was
checked when the message was read; authorization belongs to the route.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.wire import SipUri, TelUri

if TYPE_CHECKING:
    from sansip.wire import Request

__all__ = ["Refusal", "breadth_of", "check_hops", "check_proxy_require", "check_request", "check_uri"]


@dataclass(slots=True)
class Refusal:
    """A response to be made: status, reason and further header fields."""

    status: int
    reason: str
    headers: list[tuple[str, str]] = field(default_factory=list)


def check_request(request: Request, supported: frozenset[str]) -> Refusal | None:
    """RFC 3261 16.3 steps 2, 3 and 5, the checks that need the request alone."""
    return check_uri(request) or check_hops(request) or check_proxy_require(request, supported)


def check_uri(request: Request) -> Refusal | None:
    """RFC 3261 16.3 step 2: the scheme must be one we understand, else 416."""
    uri = request.uri
    if isinstance(uri, SipUri):
        # RFC 3261 19.1.1: a Request-URI carries no header fields.
        if uri.headers:
            return Refusal(400, "Request-URI must not carry header fields")
        return None
    if isinstance(uri, TelUri):
        return None
    return Refusal(416, "Unsupported URI Scheme")


def check_hops(request: Request) -> Refusal | None:
    """RFC 3261 16.3 step 3: no hop is left at Max-Forwards 0."""
    if request.max_forwards == 0:
        return Refusal(483, "Too Many Hops")
    return None


def breadth_of(request: Request, most: int) -> int:
    """Return how many branches ``request`` may have at once (RFC 5393 5.3.3).

    ``most`` where Max-Breadth is absent or larger. Raises ``RemoteProtocolError``
    when it is not one number.
    """
    if "max-breadth" not in request.keys:
        return most
    values = request.get_all("max-breadth")
    if len(values) > 1 or not values[0].isdecimal() or len(values[0]) > 10:
        raise RemoteProtocolError(
            "Max-Breadth must be one number", section="RFC 5393 5.3.1", field="Max-Breadth", message=request
        )
    return min(int(values[0]), most)


def check_proxy_require(request: Request, supported: frozenset[str]) -> Refusal | None:
    """RFC 3261 16.3 step 5: extensions that proxies must know, else 420."""
    if "proxy-require" not in request.keys:
        return None
    unknown = [tag for tag in request.proxy_require if tag.lower() not in supported]
    if not unknown:
        return None
    return Refusal(420, "Bad Extension", [("Unsupported", ", ".join(unknown))])
