"""As much of SDP as a call needs by itself: hold, and an answer out of our offer (RFC 4566, RFC 3264).

Theory of operation: a description is a session part and a list of media parts, each a list of lines. Lines
without a requested change stay octet for octet. The code keeps lines that it does not understand: only the
endpoints of the media need to understand codecs and crypto. Everything here takes time linear in the
description.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["DIRECTIONS", "answer_to", "direction_of", "is_sdp", "typed", "with_direction"]

_TYPE: Final = "application/sdp"
# RFC 3264 5.1, and the directions that the other side may answer (6.1).
DIRECTIONS: Final = {
    b"sendrecv": b"sendrecv",
    b"sendonly": b"recvonly",
    b"recvonly": b"sendonly",
    b"inactive": b"inactive",
}
_LINES: Final = {b"a=" + name: name for name in DIRECTIONS}


def is_sdp(content_type: str | None) -> bool:
    """Whether a Content-Type is that of SDP; RFC 3261 7.4.1 compares it without case."""
    return (content_type or "").partition(";")[0].strip().lower() == _TYPE


def typed(body: bytes, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``headers`` with the Content-Type of SDP where there is a body without one."""
    fields = list(headers)
    if body and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", _TYPE))
    return fields


def _parts(sdp: bytes) -> list[list[bytes]]:
    """Return the session part, then the media parts, as lines without their ends."""
    parts: list[list[bytes]] = [[]]
    for line in sdp.replace(b"\r\n", b"\n").split(b"\n"):
        if line.startswith(b"m="):
            parts.append([])
        if line:
            parts[-1].append(line)
    return parts


def _joined(parts: Sequence[Sequence[bytes]]) -> bytes:
    return b"".join(line + b"\r\n" for part in parts for line in part)


def _direction(part: Sequence[bytes], default: bytes) -> bytes:
    for line in part:
        if line in _LINES:
            return _LINES[line]
    return default


def direction_of(sdp: bytes) -> str:
    """Return ``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``: of the first medium that is used."""
    session, *media = _parts(sdp)
    default = _direction(session, b"sendrecv")
    for part in media:
        if _port(part) != b"0":
            found = _direction(part, default)
            # RFC 3264 8.4: RFC 2543 held a call by the address 0.0.0.0.
            connection = next((one for one in (*part, *session) if one.startswith(b"c=")), b"")
            if connection == b"c=IN IP4 0.0.0.0" and found == b"sendrecv":
                found = b"sendonly"
            return found.decode()
    return default.decode()


def _port(part: Sequence[bytes]) -> bytes:
    fields = part[0].split(b" ", 2)
    return fields[1].partition(b"/")[0] if len(fields) > 1 else b"0"


def with_direction(sdp: bytes, direction: str) -> bytes:
    """Return ``sdp`` as a new offer in which every medium has ``direction`` (RFC 3264 8.4)."""
    wanted = direction.encode()
    if wanted not in DIRECTIONS:
        raise ValueError(f"{direction!r} is not a direction (RFC 3264 5.1)")
    session, *media = _parts(sdp)
    return _joined([_next_version(_plain(session)), *([*_plain(part), b"a=" + wanted] for part in media)])


def _plain(part: Sequence[bytes]) -> list[bytes]:
    return [line for line in part if line not in _LINES]


def _next_version(session: list[bytes]) -> list[bytes]:
    # RFC 3264 8: the version in o= rises by one with each new description.
    for index, line in enumerate(session):
        fields = line[2:].split(b" ")
        if line.startswith(b"o=") and len(fields) == 6 and fields[2].isdigit() and len(fields[2]) < 20:
            fields[2] = str(int(fields[2]) + 1).encode()
            session[index] = b"o=" + b" ".join(fields)
    return session


def answer_to(offer: bytes, local: bytes) -> bytes:
    """Return the answer to ``offer`` that says what ``local``, our description, can take of it (RFC 3264 6).

    As many media as offered, in their order; those that ``local`` has not at their place are refused
    by port 0. Directions mirror the offer's.
    """
    offered_session, *offered = _parts(offer)
    session, *media = _parts(local)
    default = _direction(offered_session, b"sendrecv")
    answered: list[list[bytes]] = []
    for index, part in enumerate(offered):
        own = media[index] if index < len(media) else None
        if own is None or not _fits(part, own) or _port(part) == b"0":
            answered.append([_refused(part)])
            continue
        mirrored = DIRECTIONS[_direction(part, default)]
        answered.append([*_plain(own), b"a=" + mirrored])
    return _joined([_next_version(_plain(session)), *answered])


def _fits(offered: Sequence[bytes], own: Sequence[bytes]) -> bool:
    """Whether two media parts are of one kind and protocol, with a format in common."""
    theirs, ours = offered[0].split(b" "), own[0].split(b" ")
    same = len(theirs) > 3 and len(ours) > 3 and (theirs[0], theirs[2]) == (ours[0], ours[2])
    return same and not set(theirs[3:]).isdisjoint(ours[3:])


def _refused(part: Sequence[bytes]) -> bytes:
    # RFC 3264 6: port 0, and some format for the grammar's sake.
    fields = part[0].split(b" ")
    return b" ".join([fields[0], b"0", *fields[2:]]) if len(fields) > 2 else b"m=audio 0 RTP/AVP 0"
