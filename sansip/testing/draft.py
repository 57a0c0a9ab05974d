"""Drafts: messages as a peer writes them, right or wrong.

Theory of operation: a test has to send messages that no correct program would build. So a draft is a start
line, a list of header fields and a body, without any check. The usual fields are filled in by
``sansip.testing.agent``.
"""

from __future__ import annotations

from collections.abc import Iterable

from sansip.wire import header_key

__all__ = ["Draft"]


class Draft:
    """A message to be sent.

    Attributes:
        start: the start line.
        headers: (name, value) pairs in the order of the wire.
        body: octets of the body.
    """

    __slots__ = ("body", "headers", "start")

    def __init__(self, start: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self.start = start
        self.headers = list(headers)
        self.body = body

    @property
    def is_request(self) -> bool:
        """Whether the start line is not a status line."""
        return not self.start.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """The first word of a request line."""
        return self.start.partition(" ")[0]

    @property
    def uri(self) -> str:
        """The Request-URI as written."""
        return self.start.partition(" ")[2].rpartition(" ")[0] or self.start.partition(" ")[2]

    def get(self, name: str) -> str | None:
        """Return the value of the first field called ``name``, or None."""
        values = self.get_all(name)
        return values[0] if values else None

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields called ``name``, in order."""
        key = header_key(name)
        return [value for one, value in self.headers if header_key(one) == key]

    def to_bytes(self) -> bytes:
        """Return the octets, with Content-Length as it stands among the fields."""
        lines = [self.start, *(f"{name}: {value}" if value else f"{name}:" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body
