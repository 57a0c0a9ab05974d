"""The octets of messages that leave, joined once from the lines of the message that came.

Theory of operation: a proxy changes few lines of a request (RFC 3261 16.6): the Request-URI, Max-Forwards,
Max-Breadth, its own Via and Record-Route. Where no part of this node looks at the copy, there is no copy: the
lines as they came and those that are new are joined into the octets that are sent. The result is what a
``copy_for`` with the same edits gives, octet for octet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.wire import Request

__all__ = ["forwarded", "trying"]


def forwarded(
    request: Request, uri: str, hops: int | None, breadth: int, via: str, record_routes: Sequence[str] = ()
) -> bytes:
    """Return ``request`` as it goes on to ``uri`` (RFC 3261 16.6 steps 1 to 5, 8 and 9).

    ``hops``: its Max-Forwards. ``via`` and ``record_routes``: our lines, the last of these comes first.
    """
    keys = request.keys
    lines = [*request.lines]
    # RFC 3261 16.6 step 3: one hop less; 70 where there was none.
    if hops is None:
        lines.append("Max-Forwards: 70")
    else:
        lines[keys.index("max-forwards")] = f"Max-Forwards: {hops - 1}"
    if "max-breadth" in keys:
        lines[keys.index("max-breadth")] = f"Max-Breadth: {breadth}"
    else:
        lines.append(f"Max-Breadth: {breadth}")
    if "content-length" not in keys:
        # RFC 3261 18.3 and 16.6 step 9: framing on streams rests on the field.
        lines.append(f"Content-Length: {len(request.body)}")
    at = keys.index("via")
    if record_routes:
        top = keys.index("record-route") if "record-route" in keys else 0
        if top > at:
            for line in record_routes:
                lines.insert(top, line)
            lines.insert(at, via)
        else:
            lines.insert(at, via)
            for line in record_routes:
                lines.insert(top, line)
    else:
        lines.insert(at, via)
    head = "\r\n".join((f"{request.method} {uri} {request.version}", *lines, "\r\n"))
    return head.encode("utf-8", "surrogateescape") + request.body


def trying(request: Request) -> bytes:
    """Return the 100 to ``request`` (RFC 3261 8.2.6.1, 8.2.6.2), as ``response_to`` makes it."""
    lines = ["SIP/2.0 100 Trying"]
    lines += [line for key, line in zip(request.keys, request.lines, strict=True) if key in _COPIED]
    stamp = request.first_line("timestamp")
    if stamp is not None:
        lines.append(stamp)
    lines.append("Content-Length: 0\r\n\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


_COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))
