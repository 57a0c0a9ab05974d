"""The header of a message/cpim (RFC 3862), as modules read it.

Theory of operation: only the header is read, line by line, and at most its first ``_MOST`` octets.
"""

from __future__ import annotations

from typing import Final

__all__ = ["as_sip", "head_of", "uri_in"]

# Octets of the header that are looked at.
_MOST: Final = 8_192


def head_of(body: bytes) -> bytes:
    """Return the header, its lines ended by LF."""
    return body[:_MOST].replace(b"\r\n", b"\n").partition(b"\n\n")[0]


def uri_in(value: str) -> str:
    """Return the URI of ``Name <uri>``, "" without one."""
    return value.rpartition("<")[2].partition(">")[0] if "<" in value else ""


def as_sip(uri: str) -> str:
    """Return ``uri`` as a SIP URI: an im URI (RFC 3860) names the same user."""
    scheme, _, rest = uri.partition(":")
    return f"sip:{rest}" if scheme.lower() == "im" else uri
