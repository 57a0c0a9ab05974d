"""The session descriptions of calls: what ``sansip.sdp`` makes of them, where a peer's fault must not raise.

Theory of operation: a call answers what it is sent, and a description that cannot be read is answered with
none; the handler refuses such an offer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sansip.errors import RemoteProtocolError
from sansip.sdp import answer_to as answer
from sansip.sdp import is_sdp
from sansip.sdp import with_direction as directed

__all__ = ["answer_to", "is_sdp", "typed", "with_direction"]

_TYPE: Final = "application/sdp"


def typed(body: bytes, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return ``headers`` with the Content-Type of SDP where there is a body without one."""
    fields = list(headers)
    if body and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", _TYPE))
    return fields


def answer_to(offer: bytes, local: bytes) -> bytes:
    """Return the answer to ``offer`` out of ``local`` (``sansip.sdp``); none to what is no offer."""
    try:
        return answer(offer, local)
    except RemoteProtocolError:
        return b""


def with_direction(sdp: bytes, direction: str) -> bytes:
    """Return our own ``sdp`` with ``direction`` for all media; as it is where it is no description."""
    try:
        return directed(sdp, direction)
    except RemoteProtocolError:
        return sdp
