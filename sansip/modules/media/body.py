"""The session description in a message: its whole body, or a part of a multipart (RFC 5621 3).

Theory of operation: ``find`` returns the description and what stands around it. ``put`` writes another one in
its place; the other parts, their headers and the delimiters stay octet for octet. In a message that nobody
has read (``sansip.wire.unread``) a description is found and replaced in the octets, so it stays unread. Where
that is not plain the message is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.sdp import is_sdp
from sansip.wire.multipart import part_places
from sansip.wire.unread import octets_of, rewrite

if TYPE_CHECKING:
    from sansip.wire import Message

__all__ = ["Found", "dialog_of", "find", "has_body", "put"]

# The fields that tell what a body is, with their values.
_FIELDS: Final = re.compile(
    rb"\r\n(content-(?:type|length|encoding)|[cel])[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n(?![ \t]))",
    re.IGNORECASE,
)
_NAMES: Final = re.compile(
    rb"\r\n(call-id|from|to|[ift])[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n(?![ \t]))", re.IGNORECASE
)
_QUOTED: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_TYPE: Final = (b"content-type", b"c")
_LENGTH: Final = (b"content-length", b"l")
_SHORT: Final = {b"i": b"call-id", b"f": b"from", b"t": b"to"}


@dataclass(slots=True)
class Found:
    """A description, and the octets of the body before and after it.

    ``length``: where the digits of Content-Length begin and end in the octets of an unread message.
    """

    sdp: bytes
    before: bytes = b""
    after: bytes = b""
    boundary: bytes = b""
    length: tuple[int, int] | None = None


def has_body(message: Message) -> bool:
    """Whether ``message`` has a body; one that nobody has read stays unread."""
    data = octets_of(message)
    return bool(message.body) if data is None else data.find(b"\r\n\r\n") + 4 < len(data)


def find(message: Message) -> Found | None:
    """Return the description in ``message``, or None. A body that cannot be read has none."""
    data = octets_of(message)
    if data is not None:
        found = _find_unread(data)
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
        begin, end = found.length
        head = data[end : data.find(b"\r\n\r\n") + 4]
        rewrite(message, b"%b%d%b%b" % (data[:begin], len(sdp), head, sdp))
        return
    message.set_body(found.before + sdp + found.after)


def dialog_of(message: Message) -> tuple[str, str, str]:
    """Return the Call-ID of ``message`` and the tags of From and To, "" for one that it has not."""
    data = octets_of(message)
    if data is not None:
        known = _dialog_unread(data)
        if known is not None:
            return known
    return message.call_id, message.from_tag or "", message.to_tag or ""


def _find_unread(data: bytes) -> Found | None:
    """Return the description in ``data``, None where it has to be read to know."""
    end = data.find(b"\r\n\r\n")
    fields = list(_FIELDS.finditer(data, 0, end + 2))
    if len(fields) != 2:
        return None
    kind, length = fields
    if kind[1].lower() in _LENGTH:
        kind, length = length, kind
    body = data[end + 4 :]
    if (
        kind[2] != b"application/sdp"
        or kind[1].lower() not in _TYPE
        or length[1].lower() not in _LENGTH
        or length[2] != b"%d" % len(body)
    ):
        return None
    return Found(body, length=length.span(2)) if body else None


def _dialog_unread(data: bytes) -> tuple[str, str, str] | None:
    found = {}
    for name, value in _NAMES.findall(data, 0, data.find(b"\r\n\r\n") + 2):
        name = name.lower()
        if b'"' in value:
            # RFC 3261 25.1
            value = _QUOTED.sub(b"", value)
            if b'"' in value:
                return None
        found[_SHORT.get(name, name)] = value
    if len(found) != 3:
        return None
    try:
        tags = [_tag_of(found[name]) for name in (b"from", b"to")]
        return found[b"call-id"].decode(), tags[0], tags[1]
    except (KeyError, ValueError):
        return None


def _tag_of(value: bytes) -> str:
    """Return the tag of a From or To without quoted text, "" where it has none."""
    # RFC 3261 20.10: without <> all parameters are the field's own.
    for parameter in value.rpartition(b">")[2].split(b";")[1:]:
        name, _, tag = parameter.partition(b"=")
        if name.strip().lower() == b"tag":
            return tag.strip().decode()
    return ""
