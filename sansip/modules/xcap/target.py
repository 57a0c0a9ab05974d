"""Which resource the credentials of a request are for (RFC 7616 3.4.6).

Theory of operation: a client may write the target of a request as a whole URI (RFC 9112 3.2.2) or with an
empty query, and takes its digest over what it wrote. A request has only its path and query here, so the
credentials are believed about the spelling where it is the same resource.
"""

from __future__ import annotations

from sansip.errors import RemoteProtocolError
from sansip.module import WebRequest
from sansip.wire.headers.auth import parse_credentials

__all__ = ["target_of"]


def target_of(request: WebRequest, authorization: str) -> str:
    """Return the target of ``request``, as its credentials spell it."""
    target = request.path + (f"?{request.query}" if request.query else "")
    try:
        given = parse_credentials(authorization, "Authorization", "RFC 7616 3.4").params.get("uri", target)
    except RemoteProtocolError:
        return target
    rest = given
    scheme, slashes, after = given.partition("://")
    if slashes and scheme.lower() in ("http", "https"):
        authority, slash, path = after.partition("/")
        # RFC 9112 3.2.2: the URI's authority counts, and the Host that a proxy passes on is the same.
        if authority.lower() != (request.header("host") or "").lower():
            return target
        rest = slash + path
    return given if rest in (target, f"{target}?") else target
