"""Session descriptions of peers, and what claims to be a media relay's reply."""

from __future__ import annotations

import contextlib

from sansip.errors import RemoteProtocolError
from sansip.modules.media import bencode
from sansip.modules.media.octets import reply as quick_reply
from sansip.modules.media.profiles import Side, side_in, side_of
from sansip.sdp import answer_to, direction_of, match, parse

__all__ = ["relay_reply", "sdp"]

_MOST = 64


def sdp(data: bytes) -> None:
    """Any octets are a description or a RemoteProtocolError; what is not edited stays octet for octet."""
    try:
        found = parse(data, most_media=_MOST)
    except RemoteProtocolError:
        return
    assert found.to_bytes() == data
    for one in found.media:
        for name in ("kind", "port", "connection", "direction", "codecs", "ice", "dtls", "crypto", "mid"):
            with contextlib.suppress(RemoteProtocolError):
                getattr(one, name)
    for name in ("origin", "connection", "groups"):
        with contextlib.suppress(RemoteProtocolError):
            getattr(found, name)
    assert direction_of(data) in ("sendrecv", "sendonly", "recvonly", "inactive")
    # Questions change nothing.
    assert found.to_bytes() == data
    assert _side(lambda: side_of(data, _MOST)) == _side(lambda: side_in(found))
    with contextlib.suppress(RemoteProtocolError):
        # RFC 3264 6: an answer of ours is one.
        answer = parse(answer_to(data, data), most_media=_MOST)
        assert len(answer.media) == len(found.media)
        with contextlib.suppress(RemoteProtocolError):
            match(found, answer)
    with contextlib.suppress(RemoteProtocolError):
        found.strip_codecs(["PCMU", "opus"])
        found.remove_ice()
        found.remove_dtls()
        again = parse(found.to_bytes(), most_media=_MOST)
        assert len(again.media) == len(found.media)


def _side(ask: object) -> Side | str:
    assert callable(ask)
    try:
        found: Side = ask()
    except RemoteProtocolError as error:
        return str(error)
    return found


def relay_reply(data: bytes) -> None:
    """A reply that is read in brief is read alike by the long way; any other is a value or a ValueError."""
    brief = quick_reply(data)
    try:
        value = bencode.read(data, len(data.partition(b" ")[0]) + 1)
    except (ValueError, RecursionError):
        assert brief is None
        return
    if brief is not None:
        assert value == {"sdp": brief, "result": b"ok"}
    assert bencode.read(bencode.write(value)) == value
