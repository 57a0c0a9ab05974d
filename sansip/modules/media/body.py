"""The session description in a message: its whole body, or a part of a multipart (RFC 5621 3).

Theory of operation: ``find`` returns the description and what stands around it. ``put`` writes another one in
its place; the other parts, their headers and the delimiters stay octet for octet. In a message that nobody
has read (``sansip.wire.unread``) a description is found and replaced in the octets, so it stays unread. Where
that is not plain the message is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.media.octets import place, record_routes, replaced
from sansip.proxy.sides import marked_in
from sansip.sdp import is_sdp
from sansip.wire.multipart import part_places
from sansip.wire.unread import octets_of, rewrite

if TYPE_CHECKING:
    from sansip.wire import Message

__all__ = [
    "Found",
    "dialog_of",
    "find",
    "find_in",
    "has_body",
    "marks_in",
    "put",
    "put_in",
    "routes_in",
    "routes_of",
]

_NAMES: Final = (b"\r\nCall-ID: ", b"\r\nFrom: ", b"\r\nTo: ")
_FOLDED: Final = (b" ", b"\t")
# Characters of Record-Route that are kept of one message: a call keeps some of each callee, for its life.
_MOST_ROUTE: Final = 2048
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')


class Found:
    """A description, and the octets of the body before and after it.

    ``length``: where the digits of Content-Length begin and end, and the body begins, in the octets of an
    unread message.
    """

    __slots__ = ("after", "before", "boundary", "length", "sdp")

    def __init__(
        self,
        sdp: bytes,
        before: bytes = b"",
        after: bytes = b"",
        boundary: bytes = b"",
        length: tuple[int, int, int] | None = None,
    ) -> None:
        self.sdp = sdp
        self.before = before
        self.after = after
        self.boundary = boundary
        self.length = length


def has_body(message: Message) -> bool:
    """Whether ``message`` has a body; one that nobody has read stays unread."""
    data = octets_of(message)
    return bool(message.body) if data is None else data.find(b"\r\n\r\n") + 4 < len(data)


def find(message: Message) -> Found | None:
    """Return the description in ``message``, or None. A body that cannot be read has none."""
    data = octets_of(message)
    if data is not None:
        found = find_in(data)
        if found is not None:
            return found
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
    data = octets_of(message)
    if data is not None and found.length is not None:
        rewrite(message, put_in(data, found.length, sdp))
        return
    message.set_body(found.before + sdp + found.after)


def put_in(data: bytes, length: tuple[int, int, int], sdp: bytes) -> bytes:
    """Return ``data`` with the body ``sdp``; ``length``: as in ``Found``."""
    begin, stop, body = length
    made: bytes = replaced(data, begin, stop, body, sdp)
    return made


def dialog_of(message: Message) -> tuple[str, str, str]:
    """Return the Call-ID of ``message`` and the tags of From and To, "" for one that it has not."""
    data = octets_of(message)
    if data is not None:
        known = _dialog_unread(data)
        if known is not None:
            return known
    return message.call_id, message.from_tag or "", message.to_tag or ""


def routes_of(message: Message) -> str:
    """Return the lines Record-Route of ``message``, "" where they have no mark of ours (``proxy.sides``)."""
    data = octets_of(message)
    if data is not None:
        return routes_in(data)
    if "record-route" not in message.keys:
        return ""
    return marked_in("\n".join(message.raw_lines("record-route")), _MOST_ROUTE)


def routes_in(data: bytes) -> str:
    """Return what ``routes_of`` returns for the message ``data``; more lines may stand between those."""
    text: str = record_routes(data)
    return marks_in(text) if text else ""


def marks_in(text: str) -> str:
    """Return what is kept of ``record_routes``."""
    return marked_in(text, _MOST_ROUTE)


def find_in(data: bytes) -> Found | None:
    """Return the description in the message ``data``, None where that has to be read to know."""
    found: tuple[int, int, int] | None = place(data)
    if found is None:
        return None
    return Found(data[found[2] :], length=found)


def _dialog_unread(data: bytes) -> tuple[str, str, str] | None:
    """Return what ``dialog_of`` returns, None where it has to be read to know."""
    end = data.find(b"\r\n\r\n") + 2
    found = []
    for name in _NAMES:
        begin = data.find(name, 0, end)
        if begin < 0:
            return None
        begin += len(name)
        stop = data.find(b"\r\n", begin)
        if data[stop + 2 : stop + 3] in _FOLDED:
            return None
        found.append(data[begin:stop].rstrip())
    call_id, from_, to = found
    try:
        return call_id.decode(), _tag_of(from_), _tag_of(to)
    except ValueError:
        return None


def _tag_of(value: bytes) -> str:
    """Return the tag of a From or To, "" where it has none. Raises ``ValueError`` where it must be read."""
    plain, _, tag = value.rpartition(b">;tag=")
    if plain and tag.isalnum():
        return tag.decode()
    if b'"' in value:
        # RFC 3261 25.1
        value = _QUOTED.sub(b"", value)
        if b'"' in value:
            raise ValueError
    # RFC 3261 20.10: without <> all parameters are the field's own.
    for parameter in value.rpartition(b">")[2].split(b";")[1:]:
        name, _, tag = parameter.partition(b"=")
        if name.strip().lower() == b"tag":
            return tag.strip().decode()
    return ""
