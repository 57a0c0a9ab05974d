"""Hold and resume: the direction of a whole description (RFC 3264 8.4)."""

from __future__ import annotations

from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.sdp.description import WAYS, Description, Media, parse

__all__ = ["DIRECTIONS", "direction_of", "raise_version", "with_direction"]

# RFC 3264 6.1: the directions of an offer, and what the other side may answer at the most.
DIRECTIONS: Final = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


def direction_of(sdp: bytes) -> str:
    """Return ``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``: of the first medium that is used.

    A description that cannot be read holds nothing: ``sendrecv``.
    """
    try:
        description = parse(sdp)
        for one in description.media:
            if one.port:
                return _held(one)
        return next((way for way in WAYS if description.session.attribute(way) is not None), "sendrecv")
    except RemoteProtocolError:
        return "sendrecv"


def _held(media: Media) -> str:
    found = media.direction
    # RFC 3264 8.4: RFC 2543 held a call by the address 0.0.0.0.
    connection = media.connection
    return "sendonly" if found == "sendrecv" and connection is not None and connection.held else found


def with_direction(sdp: bytes, direction: str) -> bytes:
    """Return ``sdp`` as a new offer in which every medium has ``direction`` (RFC 3264 8.4).

    Raises ``ValueError`` for a word that is none, RemoteProtocolError for what is no description.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"{direction!r} is not a direction (RFC 3264 5.1)")
    description = parse(sdp)
    description.session.remove_attributes(WAYS)
    for one in description.media:
        one.direction = direction
    raise_version(description)
    return description.to_bytes()


def raise_version(description: Description) -> None:
    """Raise the version in ``o=`` (RFC 3264 8); an ``o=`` that cannot be read stays as it is."""
    try:
        description.next_version()
    except RemoteProtocolError:
        pass
