"""Octets that should be SIP messages: the parser, and what cuts a stream into messages."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT
from sansip.transport.framing import PING, StreamFramer
from sansip.wire import check_headers, parse_message, parse_uri, uri_equal
from sansip.wire.names import SPELLINGS

__all__ = ["framing", "heads", "parser"]


# The scanner knows no limits; who calls it does.
_MOST = 10**6
_WIDE = dataclasses.replace(
    DEFAULT,
    uri_size=_MOST,
    via_count=_MOST,
    route_count=_MOST,
    contact_count=_MOST,
    header_count=_MOST,
    header_size=_MOST,
)


@functools.cache
def _scanner() -> Any:
    """Return the C scanner, compiled now: a module of its own."""
    from hatch_build import compile_scanner
    from tests.wire.scanners import ROOT, load

    return load(compile_scanner(ROOT, Path(tempfile.mkdtemp(prefix="sansip-head-"))))


def heads(data: bytes) -> None:
    """Both scanners of heads agree; the reader reads what they accept, except for its limits."""
    from tests.wire import head_rules

    scanner = _scanner()
    index = scanner.scan(data)
    ruled = head_rules.scan(data)
    assert (index is None) == (ruled is None)
    if index is not None:
        for name in vars(scanner.Index):
            if not name.startswith("_"):
                assert getattr(index, name) == getattr(ruled, name), name
        message = parse_message(data, _WIDE)
    parts = scanner.read(data, SPELLINGS)
    # It may leave more to the reader than the index does, never less.
    assert parts is None or index is not None
    if parts is not None:
        keys, lines, first = parts[:3]
        assert (keys, lines, first) == (message.keys, message.lines, message._first)
        assert message.cseq.number == index.cseq
        assert message.body == data[index.body :]


def parser(data: bytes) -> None:
    """A message or RemoteProtocolError; a parsed message can be written and read again."""
    for datagram in (True, False):
        try:
            message = parse_message(data, datagram=datagram)
        except RemoteProtocolError as error:
            # The understood parts must be enough to answer with.
            if error.message is not None:
                str(error.message)
            continue
        check_headers(message)
        again = parse_message(message.to_bytes())
        assert again.to_bytes() == message.to_bytes()
        assert again.keys == message.keys
    with contextlib.suppress(RemoteProtocolError):
        # RFC 3261 19.1.4: a URI equals itself, however it is written out again.
        uri = parse_uri(data.decode("utf-8", "replace"))
        assert uri_equal(parse_uri(str(uri)), uri)


def framing(data: bytes) -> None:
    """Whole or in pieces, the same messages come out; memory is bounded by what went in."""
    whole = _feed([data])
    step = data[0] % 17 + 1 if data else 1
    pieces = _feed([data[at : at + step] for at in range(0, len(data), step)])
    assert whole == pieces
    # One cut at each of a few places that the input chooses.
    for octet in data[:4]:
        at = octet * len(data) // 256
        assert _feed([data[:at], data[at:]]) == whole
    assert sum(map(len, whole)) <= len(data) + len(whole) * 8


def _feed(pieces: list[bytes]) -> list[bytes]:
    framer = StreamFramer()
    out = []
    for piece in pieces:
        for framed in framer.feed(piece):
            if isinstance(framed, RemoteProtocolError):
                out.append(b"error")
            else:
                out.append(b"ping" if framed is PING else framed)
    return out
