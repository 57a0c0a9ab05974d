"""Multipart bodies (RFC 2046 5.1, RFC 5621), binary safe.

Theory of operation: the body is searched for its delimiter as octets, from one
occurrence to the next, so a part may hold anything but the delimiter itself.
Part headers are MIME headers: read like SIP's, folds included. A part that is
itself a multipart is taken apart by calling ``parse_multipart`` on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire.abnf import LWS, TOKEN, compiled
from sansip.wire.faults import excerpt, malformed
from sansip.wire.fields import header_line
from sansip.wire.headers.media import ContentType, parse_content_type
from sansip.wire.message import Message
from sansip.wire.values import unfold

__all__ = ["Part", "build_multipart", "message_parts", "parse_multipart", "part_places"]

_SECTION: Final = "RFC 2046 5.1"
# RFC 2046 5.1.1: bchars, at most 70, the last no space.
_BOUNDARY: Final = compiled(r"[A-Za-z0-9'()+_,\-./:=? ]{0,69}[A-Za-z0-9'()+_,\-./:=?]")
_HEADER: Final = compiled(rf"({TOKEN}){LWS}:")
_UNQUOTED: Final = compiled(TOKEN)


@dataclass(slots=True)
class Part:
    """One part of a multipart body.

    Attributes:
        headers: (name as written, value unfolded), in order.
        body: the octets, as they are (no transfer encoding is undone).
    """

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def get(self, name: str) -> str | None:
        """Return the first value of MIME header ``name``, or None."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return None

    @property
    def content_type(self) -> ContentType:
        """The part's media type; text/plain when it has none (RFC 2046 5.1)."""
        value = self.get("Content-Type")
        if value is None:
            return ContentType("text", "plain")
        return parse_content_type(value, "Content-Type", "RFC 2045 5.1")


def parse_multipart(body: bytes, boundary: str, *, most: int = 64) -> list[Part]:
    """Return the parts of ``body``; preamble and epilogue are dropped.

    Raises RemoteProtocolError for a boundary that cannot be one, a body without
    its delimiters, a part whose headers are malformed, or more than ``most`` parts.
    """
    return [part for part, _, _ in part_places(body, boundary, most=most)]


def part_places(body: bytes, boundary: str, *, most: int = 64) -> list[tuple[Part, int, int]]:
    """Return what ``parse_multipart`` does, each part with where its own body begins and ends in ``body``."""
    if _BOUNDARY.fullmatch(boundary) is None:
        raise malformed("Content-Type", f"malformed boundary {excerpt(boundary)!r}", "RFC 2046 5.1.1")
    # The first delimiter may stand at the very beginning (RFC 2046 5.1.1).
    data = b"\r\n" + body
    parts: list[tuple[Part, int, int]] = []
    begin = -1
    for at, end, closing in _delimiters(data, b"\r\n--" + boundary.encode("ascii")):
        if begin >= 0:
            if len(parts) == most:
                raise malformed("", f"more than {most} body parts", _SECTION)
            # The CRLF that ends a delimiter's line may begin the next delimiter.
            part = _parse_part(data[begin : max(at, begin)])
            last = max(at, begin) - 2
            parts.append((part, last - len(part.body), last))
        begin = end
        if closing and parts:
            return parts
    raise malformed("", "a multipart body without its closing delimiter", _SECTION)


def _delimiters(data: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield where each delimiter begins, where its line ends, and whether it is the closing one."""
    at = data.find(delimiter)
    while at >= 0:
        begin = at + len(delimiter)
        closing = data.startswith(b"--", begin)
        end = data.find(b"\r\n", begin)
        # The closing delimiter may be the last thing of all.
        rest = data[begin + 2 * closing : len(data) if end < 0 and closing else max(end, begin)]
        if (end >= 0 or closing) and not rest.strip(b" \t"):
            yield at, end + 2, closing
            at = data.find(delimiter, end if end >= 0 else len(data))
        else:
            # The boundary's text with more behind it is no delimiter.
            at = data.find(delimiter, begin)


def _parse_part(data: bytes) -> Part:
    if data.startswith(b"\r\n"):
        return Part([], data[2:])
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        # RFC 2046 5.1.1: a part may be nothing but header fields.
        head = data.removesuffix(b"\r\n")
    headers: list[tuple[str, str]] = []
    if head:
        folded: list[list[str]] = []
        for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
            if line[:1] in {" ", "\t"} and folded:
                folded[-1].append(line)
            else:
                folded.append([line])
        for lines in folded:
            match = _HEADER.match(lines[0])
            if match is None:
                raise malformed("", f"malformed header in a body part: {excerpt(lines[0])!r}", _SECTION)
            headers.append((match[1], unfold("\r\n".join(lines)[match.end() :]).strip(" \t")))
    return Part(headers, body)


def message_parts(message: Message) -> list[Part] | None:
    """Return the body parts of ``message``, None when its Content-Type is no multipart.

    Raises RemoteProtocolError when the Content-Type or the body is malformed.
    """
    content_type = message.content_type
    if content_type is None or content_type.type != "multipart":
        return None
    boundary = content_type.boundary
    if boundary is None:
        raise RemoteProtocolError(
            "Content-Type: a multipart needs a boundary", section="RFC 2046 5.1.1", field="Content-Type"
        )
    return parse_multipart(message.body, boundary)


def build_multipart(
    parts: Iterable[Part], boundary: str, *, subtype: str = "mixed", params: str = ""
) -> tuple[str, bytes]:
    """Return (Content-Type value, body) of ``parts``; ``params`` (``;type=…``) are added to the former.

    Raises LocalProtocolError when ``boundary`` cannot be one or occurs in a part,
    or when a header cannot be written.
    """
    if _BOUNDARY.fullmatch(boundary) is None:
        raise LocalProtocolError(f"{boundary!r} cannot be a boundary (RFC 2046 5.1.1)")
    delimiter = f"--{boundary}".encode("ascii")
    chunks: list[bytes] = []
    for part in parts:
        head = "".join([f"{header_line(name, value)}\r\n" for name, value in part.headers])
        octets = head.encode("utf-8", "surrogateescape") + b"\r\n" + part.body
        if delimiter in octets:
            raise LocalProtocolError(f"the boundary {boundary!r} occurs in a part")
        chunks.append(delimiter + b"\r\n" + octets + b"\r\n")
    if not chunks:
        raise LocalProtocolError("a multipart has at least one part (RFC 2046 5.1.1)")
    shown = boundary if _UNQUOTED.fullmatch(boundary) else f'"{boundary}"'
    # linphone (belle-sip) takes all that follows "boundary=" for the boundary.
    return f"multipart/{subtype}{params};boundary={shown}", b"".join([*chunks, delimiter, b"--\r\n"])
