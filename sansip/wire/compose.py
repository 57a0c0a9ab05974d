"""Building messages out of others: the response to a request (RFC 3261 8.2.6).

Theory of operation: a response copies fields of the request as raw lines, without parsing and printing them
again. So this works as well for a request that was refused half-way, and costs little for one that was not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire.abnf import compiled, quote
from sansip.wire.fields import encode, header_lines
from sansip.wire.message import Request, Response
from sansip.wire.status import REASONS
from sansip.wire.values import line_value

__all__ = ["answer_octets", "response_to"]

# Field names that are not ordinary words.
_FIELD_NAME: Final = compiled(
    r"(?i:\b(?:CSeq|Via|Contact|(?:Record-)?+Route|[a-z]++-(?:ID|Authenticate|Authorization|Forwards|Require|Expires)"
    r"|Content-(?:Type|Length|Encoding|Disposition|Language))\b)|:"
)
_COPIED: Final = frozenset({"via", "from", "to", "call-id", "cseq"})


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None,
    headers: Iterable[tuple[str, object]] = (),
    body: bytes = b"",
) -> Response:
    """Return the response with ``status`` to ``request`` (RFC 3261 8.2.6.2).

    Via (all), From, To, Call-ID and CSeq are copied as they came; ``to_tag`` is
    added to To unless it has a tag or ``status`` is 100. Timestamp is copied to a
    100 (8.2.6.1). ``headers`` follow, then Content-Length. A request of which
    fields are missing or doubled (``RemoteProtocolError.message``) gives a
    response with the first of each that is there.

    A ``reason`` that holds the name of a header field, or a colon, becomes the text of
    a Warning (20.43), and the usual phrase stands in the status line: SIPp and others
    look for a field by its name wherever it stands.

    Raises LocalProtocolError for a status, a name or a value that cannot be written.
    """
    if reason is None:
        reason = REASONS.get(status) or REASONS.get(status // 100 * 100)
        if reason is None:
            raise LocalProtocolError(f"{status} is not a status code, 100 to 699 (RFC 3261 21)")
    elif "\r" in reason or "\n" in reason or not 100 <= status <= 699:
        raise LocalProtocolError(f"{status} {reason!r} cannot be a status line (RFC 3261 7.2)")
    elif _FIELD_NAME.search(reason) is not None:
        # RFC 3261 7.2: the phrase is for human users, and so is this.
        headers = [*headers, ("Warning", f"399 sansip {quote(reason)}")]
        reason = REASONS.get(status) or REASONS[status // 100 * 100]
    keys: list[str] = []
    lines: list[str] = []
    first = request._first
    for key, line in zip(request.keys, request.lines, strict=True):
        if key in _COPIED:
            if key != "via":
                if line is not first[key]:
                    continue
                if key == "to" and to_tag is not None and status != 100 and not _has_tag(request, line):
                    line = f"{line};tag={to_tag}"
            keys.append(key)
            lines.append(line)
    if status == 100 and "timestamp" in first:
        keys.append("timestamp")
        lines.append(first["timestamp"])
    header_lines(headers, keys, lines)
    if "content-length" not in keys:
        keys.append("content-length")
        lines.append(f"Content-Length: {len(body)}")
    response = Response()
    response.status = status
    response.reason = reason
    response._begin(keys, lines, body)
    return response


def answer_octets(request: Request, start: str, to_tag: str, rest: str) -> bytes:
    """Return the octets of the answer to ``request``, in which the reader found no fault (RFC 3261 8.2.6.2).

    They are those of ``response_to``, with no message in between. ``start``: the status line, not of a 100.
    ``rest``: everything behind the copied fields, well formed, with its line ends and the empty line.
    """
    lines = [start]
    for key, line in zip(request.keys, request.lines, strict=True):
        if key in _COPIED:
            if key == "to" and request.to_tag is None:
                line = f"{line};tag={to_tag}"
            lines.append(line)
    lines.append(rest)
    return encode("\r\n".join(lines))


def _has_tag(request: Request, line: str) -> bool:
    if ";" not in line:
        return False
    try:
        return request.to.tag is not None
    except RemoteProtocolError:
        # A malformed To: a second tag would make it worse.
        return ";tag=" in line_value(line).lower().replace(" ", "")
