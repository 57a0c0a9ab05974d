"""A SUBSCRIBE, a PUBLISH or a MESSAGE in brief: the parts of which most of them are told apart.

Theory of operation: a head in which each field has its usual spelling and stands once is split into lines.
Those by which one request of a phone differs from its next are read: Via, To, Call-ID, CSeq. The rest stays
as it is written, for modules know it from the request before. The reader accepts all that is accepted here,
with the same values (``tests/wire/test_usage.py``), and reads everything else. Where the C module is there,
it reads (``_usage.h``), and the patterns here say what it has to return.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sansip.wire.abnf import PLAIN_HOST, PLAIN_PORT, TOKEN, TOKEN_CLASS, WORD, compiled
from sansip.wire.head import read_usage_parts

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Usage", "read_usage"]


class Usage(NamedTuple):
    """The parts of a request, as written; None for what is not there.

    Attributes:
        method: ``"SUBSCRIBE"``, ``"PUBLISH"`` or ``"MESSAGE"``.
        user, host, port, gr: of the Request-URI, a sip URI with no parameter but ``gr``.
        via: the line of the only Via, with ``sent_host``, ``sent_port`` and ``branch``; ``rport`` is the flag
            before the branch, ``rport_behind`` that behind it.
        tag: of To, None without one.
        from_user, from_host: of the URI in From.
        call_id: the value of Call-ID.
        cseq: the number.
        lines: each line by its field, in lower case and in full.
        copied: the lines that an answer copies, in order.
        body: the octets behind the head.
    """

    method: str
    user: str | None
    host: str
    port: str | None
    gr: str | None
    via: str
    sent_host: str
    sent_port: str | None
    rport: str | None
    branch: str
    rport_behind: str | None
    tag: str | None
    from_user: str | None
    from_host: str
    call_id: str
    cseq: str
    lines: dict[str, str]
    copied: tuple[str, ...]
    body: bytes


_PARAM: Final = r"[\w\-.!~*'()\[\]/:&+$]++"
_USER: Final = r"[\w\-.!~*'()&=+$/]++"
_DISPLAY: Final = rf'(?:"[^"\\]*+"[ \t]*+|[{TOKEN_CLASS} \t]*+)'
_ONE_PARAM: Final = rf"(?:;{_PARAM}(?:={_PARAM})?+)?+"
# Lines of one kind of character, and no other: neither folded nor empty.
_plain_head: Final = compiled(r"(?:[\x21-\x7e][\x20-\x7e\t]*+\r\n)++").fullmatch
_start_line: Final = compiled(
    rf"(SUBSCRIBE|PUBLISH|MESSAGE) sip:(?:([\w\-.+]++)@)?({PLAIN_HOST})(?::({PLAIN_PORT}))?+"
    r"(;gr=[\w\-]++)?+ SIP/2\.0"
).fullmatch
_via: Final = compiled(
    rf"Via: SIP/2\.0/UDP ({PLAIN_HOST})(?::({PLAIN_PORT}))?(;rport)?;branch=(z9hG4bK{TOKEN})(;rport)?"
).fullmatch
_party: Final = compiled(
    rf"(?:From|To): {_DISPLAY}<sip:(?:({_USER})@)?+({PLAIN_HOST})(?::(?:{PLAIN_PORT}))?+{_ONE_PARAM}>"
    rf"(?:;tag=({TOKEN}))?+"
).fullmatch
_call_id: Final = compiled(rf"Call-ID: ({WORD}(?:@{WORD})?+)").fullmatch
_cseq: Final = compiled(r"CSeq: ([0-9]{1,9}) (SUBSCRIBE|PUBLISH|MESSAGE)").fullmatch
_hops: Final = compiled(r"Max-Forwards: [1-9][0-9]?+").fullmatch
# The spellings that phones use. No other field is here: it may decide something.
_COMMON: Final = {
    name: name.lower()
    for name in (
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Max-Forwards",
        "Contact",
        "Event",
        "Expires",
        "Content-Length",
        "Content-Type",
        "SIP-If-Match",
        "Accept",
        "User-Agent",
        "Supported",
        "Allow",
        "Allow-Events",
    )
}
# RFC 3261 22.2: this server answers a request for event state itself, and 22.3: it is the proxy of a text.
_KEYS: Final = _COMMON | {"Authorization": "authorization"}
# The same for a text (RFC 3428 4, 10).
_KEYS_OF_MESSAGE: Final = _COMMON | {
    name: name.lower()
    for name in (
        "Date",
        "Subject",
        "Content-Encoding",
        "Content-Language",
        "Content-Disposition",
        "MIME-Version",
        "Priority",
        "In-Reply-To",
        "Organization",
        "Reply-To",
        "Proxy-Authorization",
    )
}
_COPIED: Final = ("via", "from", "to", "call-id", "cseq")
# Request-Lines that are remembered: phones write theirs again and again.
_start: Final = lru_cache(1_024)(
    lambda line: None if (found := _start_line(line)) is None else found.groups()
)
_new_tuple: Final = tuple.__new__


def read_usage(data: bytes, limits: Limits) -> Usage | None:
    """Return the request in ``data``, a datagram; None where it is not plain, or near a limit."""
    parts: tuple[Any, ...] | None = _parts_of(data) if read_usage_parts is None else read_usage_parts(data)
    if parts is None:
        return None
    count, end = parts[-2:]
    # What is measured of a head is no more than all of it.
    if (
        end >= limits.header_parts
        or end >= limits.header_size
        or end > limits.head_size - 4
        or end >= limits.uri_size
        or len(data) > limits.message_size
        or count > min(limits.header_count, limits.via_count, limits.route_count, limits.contact_count)
    ):
        return None
    return _new_tuple(Usage, parts[:-2])


def _parts_of(data: bytes) -> tuple[Any, ...] | None:
    """Return the values of a ``Usage``, how many lines and commas there are, and where the last line ends."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    try:
        head = data[: end + 2].decode("ascii")
    except UnicodeDecodeError:
        return None
    if _plain_head(head) is None:
        return None
    written = head[:-2].split("\r\n")
    start = _start(written[0])
    if start is None:
        return None
    keys = _KEYS_OF_MESSAGE if start[0] == "MESSAGE" else _KEYS
    lines: dict[str, str] = {}
    copied: list[str] = []
    for line in written[1:]:
        name, colon, _ = line.partition(":")
        key = keys.get(name) if colon else None
        if key is None or key in lines:
            return None
        lines[key] = line
        if key in _COPIED:
            copied.append(line)
    if len(copied) != 5 or lines.get("content-length") != f"Content-Length: {len(data) - end - 4}":
        return None
    via, from_, to = _via(lines["via"]), _party(lines["from"]), _party(lines["to"])
    call_id, cseq = _call_id(lines["call-id"]), _cseq(lines["cseq"])
    if (
        via is None
        or from_ is None
        or to is None
        or call_id is None
        or cseq is None
        # RFC 3261 7.3.1: a parameter of Via that stands twice.
        or (via[3] is not None and via[5] is not None)
        or cseq[2] != start[0]
        # RFC 3261 8.1.1.6
        or _hops(lines.get("max-forwards", "")) is None
    ):
        return None
    return (
        *start,
        via.string,
        *via.groups(),
        to[3],
        from_[1],
        from_[2],
        call_id[1],
        cseq[1],
        lines,
        tuple(copied),
        data[end + 4 :],
        len(written) + head.count(","),
        end,
    )
