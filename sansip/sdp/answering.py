"""Offers and answers: which medium answers which, and what both have agreed on (RFC 3264 6).

Theory of operation: an answer has as many media as its offer, in the same order. ``match`` pairs them and
tells what goes over each; ``answer_to`` makes the answer that our own description allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.sdp.codecs import Codec
from sansip.sdp.description import WAYS, Description, Media, parse
from sansip.sdp.hold import DIRECTIONS, raise_version

__all__ = ["Stream", "answer_to", "match"]

# RFC 3264 6.1: what an answer may say to a direction.
_ALLOWED: Final = {
    "sendrecv": WAYS,
    "sendonly": ("recvonly", "inactive"),
    "recvonly": ("sendonly", "inactive"),
    "inactive": ("inactive",),
}
# What an answer begins with where we have no description of our own: all is refused.
_NOTHING: Final = b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
# RFC 5763 5, RFC 4145 4.1: what an answer may say to a role.
_ROLES: Final = {
    "actpass": ("active", "passive"),
    "active": ("passive",),
    "passive": ("active",),
}


@dataclass(frozen=True, slots=True)
class Stream:
    """A medium that was offered, and its answer.

    Attributes:
        accepted: whether it is used.
        direction: which way media goes, as the offerer sees it.
        codecs: those that both have, in the answer's order, with its payload types.
    """

    offered: Media
    answered: Media
    accepted: bool
    direction: str
    codecs: tuple[Codec, ...]


def match(offer: Description, answer: Description) -> list[Stream]:
    """Return what ``answer`` makes of each medium of ``offer``.

    Raises RemoteProtocolError where it cannot be an answer to that offer.
    """
    # RFC 3264 6: as many m= lines, in the same order.
    if len(offer.media) != len(answer.media):
        raise _fault(f"{len(answer.media)} media answer {len(offer.media)}")
    return [_stream(*pair) for pair in zip(offer.media, answer.media, strict=True)]


def _fault(text: str, section: str = "RFC 3264 6") -> RemoteProtocolError:
    return RemoteProtocolError(text, status=488, section=section)


def _stream(offered: Media, answered: Media) -> Stream:
    if offered.kind != answered.kind:
        raise _fault(f"{answered.kind} answers {offered.kind}")
    if offered.refused:
        if not answered.refused:
            raise _fault("a medium with port 0 was accepted")
        return Stream(offered, answered, False, "inactive", ())
    if answered.refused:
        return Stream(offered, answered, False, "inactive", ())
    if offered.protocol != answered.protocol:
        raise _fault(f"{answered.protocol} answers {offered.protocol}")
    if answered.direction not in _ALLOWED[offered.direction]:
        raise _fault(f"{answered.direction} answers {offered.direction}", "RFC 3264 6.1")
    _check_roles(offered, answered)
    common = _common(offered.codecs, answered.codecs)
    if not common:
        raise _fault("no format of the offer is in the answer", "RFC 3264 6.1")
    return Stream(offered, answered, True, DIRECTIONS[answered.direction], common)


def _common(ours: list[Codec], theirs: list[Codec]) -> tuple[Codec, ...]:
    """Return those of ``theirs`` that are the same as one of ``ours``, without comparing each with each."""
    nameless = {one.format for one in ours if not one.name}
    formats = {one.format for one in ours}
    encodings = {(one.name.lower(), one.rate, one.channels) for one in ours if one.name}
    found = []
    for one in theirs:
        # See ``Codec.same``.
        if one.name and one.format not in nameless:
            known = (one.name.lower(), one.rate, one.channels) in encodings
        else:
            known = one.format in formats
        if known:
            found.append(one)
    return tuple(found)


def _check_roles(offered: Media, answered: Media) -> None:
    ours, theirs = offered.dtls, answered.dtls
    if ours is None or theirs is None:
        return
    allowed = _ROLES.get(ours.setup)
    if allowed is not None and theirs.setup not in allowed:
        raise _fault(f"setup:{theirs.setup or 'none'} answers setup:{ours.setup}", "RFC 5763 5")


def answer_to(offer: bytes, local: bytes) -> bytes:
    """Return the answer to ``offer`` that says what ``local``, our description, can take of it (RFC 3264 6).

    As many media as offered, in their order; those that ``local`` has not at their place are refused
    by port 0. Directions mirror the offer's. Raises RemoteProtocolError where one of them is no description;
    an empty ``local`` refuses everything.
    """
    theirs, ours = parse(offer), parse(local or _NOTHING)
    answered = []
    for index, offered in enumerate(theirs.media):
        own = ours.media[index] if index < len(ours.media) else None
        if own is None or not _fits(offered, own):
            answered.append(_refused(offered, ours))
            continue
        own.direction = DIRECTIONS[offered.direction]
        answered.append(own)
    ours.session.remove_attributes(WAYS)
    raise_version(ours)
    ours.media = answered
    return ours.to_bytes()


def _fits(offered: Media, own: Media) -> bool:
    """Whether both are of one kind and protocol, with a format in common."""
    try:
        same = (offered.kind, offered.protocol) == (own.kind, own.protocol)
        return same and offered.port != 0 and not set(offered.formats).isdisjoint(own.formats)
    except RemoteProtocolError:
        return False


def _refused(offered: Media, ours: Description) -> Media:
    # RFC 3264 6: port 0, and the formats for the grammar's sake.
    text = offered.first("m") or ""
    fields = text.split(" ")
    line = " ".join([fields[0], "0", *fields[2:]]) if len(fields) > 3 else "audio 0 RTP/AVP 0"
    session = ours.session
    octets = f"m={line}".encode("utf-8", "surrogateescape") + session.ends
    return Media(octets, session.ends, session)
