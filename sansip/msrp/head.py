"""The start line and the header fields of a request or a response (RFC 4975 7, 9).

Theory of operation: a ``Head`` is what is known before the body comes. Its fields keep their order, names and
values; only the paths are read at once, for each node has to. ``octets()`` writes it, with the line that
divides it from a body where it has one; ``end()`` writes the end-line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sansip.msrp.byte_range import ByteRange
from sansip.msrp.uri import MsrpUri

__all__ = ["ABORTED", "COMPLETE", "CONTINUED", "PHRASES", "End", "Head", "end_line"]

# RFC 4975 7.1: the flag of the end-line.
COMPLETE: Final = "$"
CONTINUED: Final = "+"
ABORTED: Final = "#"

# RFC 4975 10, RFC 4976 10.3.
PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Message Too Large",
    415: "Unsupported Media Type",
    423: "Interval Out Of Bounds",
    481: "No Such Session",
    501: "Unknown Method",
    506: "Session On Another Connection",
}


@dataclass(frozen=True, slots=True)
class End:
    """The end-line: the chunk is over. ``flag``: COMPLETE, CONTINUED or ABORTED."""

    flag: str


@dataclass(slots=True)
class Head:
    """A request (``method``) or a response (``status``).

    Attributes:
        transaction: the transaction identifier.
        method: "" for a response.
        status: 0 for a request.
        comment: the text after the status.
        to_path, from_path: the URIs, the next one to visit first.
        fields: all other header fields as (name, value), in their order; Content-Type is the last one where
            there is a body.
        has_body: whether a body follows.
    """

    transaction: str
    method: str = ""
    status: int = 0
    comment: str = ""
    to_path: tuple[MsrpUri, ...] = ()
    from_path: tuple[MsrpUri, ...] = ()
    fields: list[tuple[str, str]] = field(default_factory=list)
    has_body: bool = False

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a header field by its name in lower case."""
        for one, value in self.fields:
            if one.lower() == name:
                return value
        return default

    @property
    def byte_range(self) -> ByteRange:
        """The range, ``1-*/*`` where none is said (RFC 4975 7.3.1). Raises ``MsrpError``."""
        value = self.get("byte-range")
        return ByteRange.parse(value) if value else ByteRange()

    @property
    def failure_report(self) -> str:
        """``yes``, ``no`` or ``partial``; RFC 4975 7.1.1: without the field it is ``yes``."""
        value = self.get("failure-report", "yes").lower()
        return value if value in ("no", "partial") else "yes"

    @property
    def message_id(self) -> str:
        return self.get("message-id")

    def octets(self) -> bytes:
        """Write the head, and the empty line before a body."""
        if self.method:
            lines = [f"MSRP {self.transaction} {self.method}"]
        else:
            comment = f" {self.comment}" if self.comment else ""
            lines = [f"MSRP {self.transaction} {self.status:03d}{comment}"]
        lines.append("To-Path: " + " ".join(uri.text for uri in self.to_path))
        lines.append("From-Path: " + " ".join(uri.text for uri in self.from_path))
        lines += [f"{name}: {value}" for name, value in self.fields]
        lines.append("\r\n" if self.has_body else "")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    def whole(self, body: bytes | None = None, flag: str = COMPLETE) -> bytes:
        """Write the whole message."""
        if body is None:
            return self.octets() + end_line(self.transaction, flag)
        return b"".join((self.octets(), body, b"\r\n", end_line(self.transaction, flag)))

    def answer(self, status: int, fields: list[tuple[str, str]] | None = None, comment: str = "") -> Head:
        """Return the response to this request (RFC 4975 7.2)."""
        # 7.2: a response to SEND goes to the previous hop, to another request the whole way back.
        back = self.from_path[:1] if self.method == "SEND" else self.from_path
        said = comment or PHRASES.get(status, "")
        return Head(self.transaction, "", status, said, back, self.to_path[:1], fields or [])


def end_line(transaction: str, flag: str) -> bytes:
    """Return the end-line (RFC 4975 7.1)."""
    return f"-------{transaction}{flag}\r\n".encode()
