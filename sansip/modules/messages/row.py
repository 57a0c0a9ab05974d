"""The rows: a kept message, and the mark that a device has it.

Theory of operation: ``id`` begins with the time, so rows are in the order in which the messages came. A mark
stays as long as its message does: it is what keeps a device from getting it twice. It is written with the
answer of the device (``delivery`` says what a server does that is killed before that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sansip.modules.messages.texts import value_of
from sansip.rows import Table

__all__ = ["DOUBTFUL", "GIVEN", "KEPT", "ORIGINS", "Given", "Kept", "Origin"]

# Status of a mark: the server died before it saw the answer, and the message is not sent again.
DOUBTFUL: Final = 1


@dataclass(slots=True)
class Kept:
    """A message. ``sender`` and ``to`` are name-addrs; ``fields`` is a JSON list of [name, value].

    ``due``: it is not delivered before that, in seconds since 1970. ``reports``: the address-of-record that
    gets notices of what becomes of it (RFC 5438), or "". ``request``: a JSON list of its Call-ID, From tag
    and CSeq number, "" for one that was made here.
    """

    user: str
    id: str
    sender: str
    to: str
    date: str
    at: float
    until: float
    fields: str
    body: bytes
    due: float = 0.0
    reports: str = ""
    request: str = ""

    @property
    def header_fields(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in value_of(self.fields)]

    @property
    def content_type(self) -> str:
        """In lower case, "" without one."""
        return next((value.lower() for name, value in self.header_fields if name == "Content-Type"), "")

    @property
    def identity(self) -> tuple[str, str, int] | None:
        """The Call-ID, From tag and CSeq number that it leaves with; None for those of a new request."""
        if not self.request:
            return None
        call_id, tag, cseq = value_of(self.request)
        return str(call_id), str(tag), int(cseq)


@dataclass(slots=True)
class Given:
    """A mark: ``device`` has the message, or has refused it for good (``status``).

    ``status`` 0: it was sent at ``at``, seconds since 1970, and no answer has been seen; an ``at`` below 0 is
    minus the time of an answer that the device may have it later. ``DOUBTFUL``: it is not sent again.
    """

    user: str
    id: str
    device: str
    status: int
    at: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the device has it, or may have it: no limit of the user counts it any more."""
        return self.status == DOUBTFUL or 200 <= self.status < 300


KEPT = Table(
    "messages",
    Kept,
    key=("user", "id"),
    version=3,
    migrations={
        1: lambda row: {**row, "due": 0.0, "reports": ""},
        2: lambda row: {**row, "request": ""},
    },
)
GIVEN = Table(
    "messages_given",
    Given,
    key=("user", "id", "device"),
    version=2,
    migrations={1: lambda row: {**row, "at": 0.0}},
)


@dataclass(slots=True)
class Origin:
    """What a sender wrote, hashed, and the ``id`` of the message that was kept of it."""

    user: str
    origin: str
    id: str


# Written where nodes share the rows: a sender that repeats a message to another node is found by key.
ORIGINS = Table("messages_origins", Origin, key=("user", "origin"))
