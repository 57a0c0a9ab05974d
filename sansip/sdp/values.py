"""The values of ``o=`` and ``c=`` (RFC 8866 5.2, 5.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.sdp.section import malformed

__all__ = ["ZERO", "Connection", "Origin", "parse_connection", "parse_origin"]

# Digits of a number; RFC 8866 has no bound, and no session has more.
_DIGITS: Final = 20
# RFC 3264 8.4, RFC 2543: a party that held the call gave one of these addresses.
ZERO: Final = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Origin:
    """The originator of a session: ``version`` rises with each new description (RFC 3264 8)."""

    username: str
    session: str
    version: int
    family: str
    address: str

    def __str__(self) -> str:
        return f"{self.username} {self.session} {self.version} IN {self.family} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where media goes to. ``family`` is ``IP4`` or ``IP6``; ``address`` may have a TTL behind a slash."""

    family: str
    address: str

    def __str__(self) -> str:
        return f"IN {self.family} {self.address}"

    @property
    def host(self) -> str:
        """The address without TTL and count."""
        return self.address.partition("/")[0]

    @property
    def held(self) -> bool:
        """Whether it is the address that meant hold in RFC 2543 (RFC 3264 8.4)."""
        return self.host in ZERO


def _odd(text: str) -> bool:
    """Whether it has what no byte-string has (RFC 8866 9), so that it could not be written again."""
    return "\r" in text or "\0" in text


def parse_origin(text: str) -> Origin:
    """Return the value of an ``o=``. Raises RemoteProtocolError where it is malformed."""
    fields = text.split(" ")
    if len(fields) != 6 or fields[3] != "IN" or not all(fields) or _odd(text):
        raise malformed(f"o={text}", "RFC 8866 5.2")
    version = fields[2]
    if not (version.isascii() and version.isdigit() and len(version) <= _DIGITS):
        raise malformed(f"o={text}", "RFC 8866 5.2")
    return Origin(fields[0], fields[1], int(version), fields[4], fields[5])


def parse_connection(text: str) -> Connection:
    """Return the value of a ``c=``. Raises RemoteProtocolError where it is malformed."""
    fields = text.split(" ")
    if len(fields) != 3 or fields[0] != "IN" or not all(fields) or _odd(text):
        raise malformed(f"c={text}", "RFC 8866 5.7")
    return Connection(fields[1], fields[2])
