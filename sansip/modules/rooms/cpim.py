"""The parts of a message/cpim (RFC 3862) that a room reads and writes: who it is from.

Theory of operation: a message/cpim that came goes on octet for octet. Plain text may become one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sansip.module.cpim import as_sip, head_of, uri_in

__all__ = ["sender_of", "wrapped"]


def sender_of(body: bytes) -> str:
    """Return the URI in From as a SIP URI, "" without one, and where there are two."""
    # RFC 3862 3.1: names are case-sensitive.
    found = [line for line in head_of(body).split(b"\n") if line.startswith(b"From:")]
    return as_sip(uri_in(found[0].decode("utf-8", "replace"))) if len(found) == 1 else ""


def wrapped(sender: str, room: str, kind: str, body: bytes, unix: float) -> bytes:
    """Return ``body`` of type ``kind`` as a message/cpim from ``sender`` to ``room``."""
    now = datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")
    head = (
        f"From: <{sender}>\r\nTo: <{room}>\r\nDateTime: {now}\r\n\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
