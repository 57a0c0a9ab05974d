"""The session description in a message: its whole body, or a part of a multipart (RFC 5621 3).

Theory of operation: ``find`` returns the description and what stands around it. ``put`` writes another one in
its place; the other parts, their headers and the delimiters stay octet for octet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.sdp import is_sdp
from sansip.wire.multipart import part_places

if TYPE_CHECKING:
    from sansip.wire import Message

__all__ = ["Found", "find", "put"]


@dataclass(slots=True)
class Found:
    """A description, and the octets of the body before and after it."""

    sdp: bytes
    before: bytes = b""
    after: bytes = b""
    boundary: bytes = b""


def find(message: Message) -> Found | None:
    """Return the description in ``message``, or None. A body that cannot be read has none."""
    if not message.body:
        return None
    line = message.get("content-type")
    # RFC 3261 20.12: what is compressed is not read here.
    if line is None or message.has("content-encoding"):
        return None
    if line == "application/sdp" or is_sdp(line):
        return Found(message.body)
    if not line.lower().startswith("multipart/"):
        return None
    try:
        content_type = message.content_type
        boundary = None if content_type is None else content_type.boundary
        if boundary is None:
            return None
        for part, begin, end in part_places(message.body, boundary):
            # RFC 3261 20.11: without a disposition a session is what it is for.
            disposition = (part.get("Content-Disposition") or "session").partition(";")[0].strip().lower()
            if is_sdp(part.get("Content-Type")) and disposition == "session":
                body = message.body
                return Found(body[begin:end], body[:begin], body[end:], b"--" + boundary.encode())
    except RemoteProtocolError:
        return None
    return None


def put(message: Message, found: Found, sdp: bytes) -> None:
    """Write ``sdp`` in the place of the description that ``find`` found in such a message.

    Raises ``ValueError`` where it contains the delimiter of the parts.
    """
    if found.boundary and found.boundary in sdp:
        raise ValueError("the description contains the boundary of the multipart")
    message.set_body(found.before + sdp + found.after)
