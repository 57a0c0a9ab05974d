"""The parts of a message/cpim (RFC 3862) that a room reads and writes: who it is from.

Theory of operation: only the header is read, line by line, and at most its first ``_MOST`` octets. A
message/cpim that came goes on octet for octet.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["sender_of", "wrapped"]

# Octets of the header that are looked at.
_MOST: Final = 8_192


def sender_of(body: bytes) -> str:
    """Return the URI in From as a SIP URI, "" without one, and where there are two."""
    head = body[:_MOST].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    # RFC 3862 3.1: names are case-sensitive.
    found = [line for line in head.split(b"\n") if line.startswith(b"From:")]
    if len(found) != 1:
        return ""
    uri = found[0].rpartition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")
    scheme, _, rest = uri.partition(":")
    # RFC 3860: an im URI names the same user.
    return f"sip:{rest}" if scheme.lower() == "im" else uri


def wrapped(sender: str, room: str, kind: str, body: bytes, unix: float) -> bytes:
    """Return ``body`` of type ``kind`` as a message/cpim from ``sender`` to ``room``."""
    now = datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")
    head = (
        f"From: <{sender}>\r\nTo: <{room}>\r\nDateTime: {now}\r\n\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
