"""What is read of a message, and of the description in it, in their octets: the rules.

Theory of operation: a call that rides has nothing taken apart. These functions find what is needed in its
octets, and find nothing in what is written in an unusual way. The same functions are in C beside these
(``_octets.c``, compiled at the installation where there is a compiler): this is the reference, and both
return the same (``tests/modules/media/test_octets.py``).
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = [
    "HAS_OCTETS",
    "family",
    "made",
    "number_of",
    "numbered",
    "place",
    "read",
    "record_routes",
    "replaced",
    "reply",
    "same_media",
    "spliced",
]

# First octets of the fields that tell what a body is, and what ends their short names.
_FIRST: Final = frozenset(b"cCeElL")
_ENDS: Final = frozenset(b" \t:")
_TYPED: Final = b"content-type: application/sdp"
_SIZED: Final = b"content-length: "
_RECORD_ROUTE: Final = b"\r\nRecord-Route:"
_RECORDED: Final = re.compile(rb"\r\nrecord-route[ \t]*:", re.IGNORECASE)
# A medium that is used, and where all media go: what is read of nearly all descriptions of phones.
_USED: Final = re.compile(rb"m=[^ \r\0]+ ([1-9][0-9]{0,4}) [^ \r\0]+(?: [^ \r\0]+)+\r?")
_PLACE: Final = re.compile(rb"c=IN IP([46]) [^ \r\0]+\r?")
# How nearly all replies of an rtpengine begin, and end.
_REPLY: Final = re.compile(rb"[^ ]* d3:sdp([1-9][0-9]{0,4}):")
_OK: Final = b"6:result2:oke"
_MEDIUM: Final = b"\nm="
_KIND: Final = re.compile(rb"[^ \r\n]*")
# The digits of a cookie.
_NUMBER: Final = re.compile(rb"_([1-9][0-9]{0,14})(?: |\Z)")


def plain_place(data: bytes) -> tuple[int, int, int] | None:
    """Return where the digits of Content-Length begin and end in a message, and where its body begins.

    Its body is a description, by the usual fields; None where it has to be read to know.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    typed = after = False
    begin = stop = at = 0
    # Line by line, in one go: a search of the head for each name costs more.
    for line in data[:end].split(b"\r\n"):
        first = line[0] if line else 0
        if after and (first == 32 or first == 9):
            # One of the two lines is folded.
            return None
        after = False
        if first in _FIRST:
            lower = line.lower()
            if lower.startswith(b"content-"):
                after = True
                if lower == _TYPED and not typed:
                    typed = True
                elif lower.startswith(_SIZED) and not stop:
                    begin, stop = at + len(_SIZED), at + len(line)
                else:
                    # A third one, or one of another kind.
                    return None
            elif len(line) > 1 and line[1] in _ENDS:
                return None
        at += len(line) + 2
    size = len(data) - end - 4
    # SIPp writes blanks before the number (RFC 3261 25.1: HCOLON).
    if not typed or not size or data[begin:stop].lstrip(b" ") != b"%d" % size:
        return None
    return begin, stop, end + 4


def plain_record_routes(data: bytes) -> str:
    """Return the lines Record-Route of a message, with what stands between them; "" where it has none."""
    end = data.find(b"\r\n\r\n") + 2
    # As most write it; the pattern costs more.
    begin = data.find(_RECORD_ROUTE, 0, end)
    if begin >= 0:
        stop = data.find(b"\r\n", data.rfind(_RECORD_ROUTE, begin, end) + 2)
    else:
        found = [(match.start(), match.end()) for match in _RECORDED.finditer(data, 0, end)]
        if not found:
            return ""
        begin, stop = found[0][0], data.find(b"\r\n", found[-1][1])
    return data[begin + 2 : stop].decode("utf-8", "surrogateescape")


def plain_family(sdp: bytes, most_lines: int) -> int:
    """Return 4 or 6, the version of IP, of one medium that is in use, in one place, without DTLS and SDES.

    0 for any other description, and for one of more lines.
    """
    if not sdp.startswith(b"v=0\r\n"):
        return 0
    lines = sdp.split(b"\n")
    if len(lines) > most_lines or lines[-1].startswith(b"c="):
        return 0
    medium = place = b""
    for line in lines:
        if len(line) < 2 or line[1] != 61:
            # No "="
            continue
        kind = line[0]
        if kind == 109:
            if medium:
                return 0
            medium = line
        elif kind == 99:
            if place:
                return 0
            place = line
        elif kind == 97 and len(line) > 2 and (line[2] == 102 or line[2] == 99):
            if line.startswith((b"a=fingerprint", b"a=crypto")):
                return 0
    used, at = _USED.fullmatch(medium), _PLACE.fullmatch(place)
    return 0 if used is None or at is None or int(used[1]) > 65_535 else int(at[1])


def plain_same_media(sdp: bytes, made: bytes) -> bool:
    """Whether two descriptions have media of the same kinds, in the same order (RFC 8866 5.14)."""
    one, two = sdp.find(_MEDIUM), made.find(_MEDIUM)
    while one >= 0 and two >= 0:
        kind, other = _KIND.match(sdp, one + 3), _KIND.match(made, two + 3)
        assert kind is not None
        assert other is not None
        if kind[0] != other[0]:
            return False
        one, two = sdp.find(_MEDIUM, one + 3), made.find(_MEDIUM, two + 3)
    return one == two


def plain_reply(data: bytes) -> bytes | None:
    """Return the description in a reply that says nothing else but "ok"; None for any other."""
    match = _REPLY.match(data)
    if match is None:
        return None
    begin = match.end()
    end = begin + int(match[1])
    return data[begin:end] if data[end:] == _OK else None


def plain_read(data: bytes, most_lines: int) -> tuple[str, int, int, int, int]:
    """Return ``record_routes``, the ``family`` of the description, and ``place``, of one message.

    Where it has no ``place`` the family is 0, the digits of Content-Length are at -1 and -1, and the body is
    where the head ends, 3 where that has no end. ``most_lines``: 0 where the family does not matter.
    """
    routes = plain_record_routes(data)
    found = plain_place(data)
    if found is None:
        return routes, 0, -1, -1, data.find(b"\r\n\r\n") + 4
    begin, stop, body = found
    return routes, plain_family(data[body:], most_lines) if most_lines > 0 else 0, begin, stop, body


def plain_made(data: bytes, sdp: bytes) -> bytes | None:
    """Return the description in a reply that says nothing else but "ok", where it fits ``sdp``."""
    made = plain_reply(data)
    return made if made is not None and made.startswith(b"v=0") and plain_same_media(sdp, made) else None


def plain_replaced(data: bytes, begin: int, stop: int, body: int, sdp: bytes) -> bytes:
    """Return the message ``data`` with the body ``sdp``, by its ``place``. Raises ``ValueError`` for none."""
    if not 0 <= begin <= stop <= body <= len(data):
        raise ValueError("these are no places in the message")
    return b"%b%d%b%b" % (data[:begin], len(sdp), data[stop:body], sdp)


def plain_spliced(parts: tuple[bytes, ...], *values: str | bytes) -> bytes:
    """Return ``parts`` with a value between two of them, in bencode; text as UTF-8."""
    made = [parts[0]]
    for value, part in zip(values, parts[1:], strict=True):
        octets = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        made += (b"%d:" % len(octets), octets, part)
    return b"".join(made)


def plain_numbered(prefix: bytes, number: int, command: bytes) -> bytes:
    """Return ``command`` behind its cookie: ``prefix`` and a number."""
    return b"%b_%d %b" % (prefix, number, command)


def plain_number_of(data: bytes, prefix: bytes) -> int:
    """Return the number in the cookie of an answer, -1 where it is none of these."""
    found = _NUMBER.match(data, len(prefix)) if data.startswith(prefix) else None
    return -1 if found is None else int(found[1])


def _in_c() -> Any:
    """Return the C module, or None."""
    try:
        from sansip.modules.media import _octets
    except ImportError:
        return None
    return _octets


_MODULE: Final[Any] = _in_c()
HAS_OCTETS: Final[bool] = _MODULE is not None
place: Final[Any] = plain_place if _MODULE is None else _MODULE.place
record_routes: Final[Any] = plain_record_routes if _MODULE is None else _MODULE.record_routes
family: Final[Any] = plain_family if _MODULE is None else _MODULE.family
same_media: Final[Any] = plain_same_media if _MODULE is None else _MODULE.same_media
reply: Final[Any] = plain_reply if _MODULE is None else _MODULE.reply
read: Final[Any] = plain_read if _MODULE is None else _MODULE.read
made: Final[Any] = plain_made if _MODULE is None else _MODULE.made
replaced: Final[Any] = plain_replaced if _MODULE is None else _MODULE.replaced
spliced: Final[Any] = plain_spliced if _MODULE is None else _MODULE.spliced
numbered: Final[Any] = plain_numbered if _MODULE is None else _MODULE.numbered
number_of: Final[Any] = plain_number_of if _MODULE is None else _MODULE.number_of
