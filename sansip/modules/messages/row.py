"""The rows: a kept message, and the mark that a device has it.

Theory of operation: ``id`` begins with the time, so rows are in the order in which the messages came. A mark
stays as long as its message does: it is what keeps a device from getting it twice. It is written with the
answer of the device (``delivery`` says what a server does that is killed before that).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.errors import LocalProtocolError
from sansip.rows import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sansip.wire import NameAddr, Request

__all__ = [
    "DOUBTFUL",
    "GIVEN",
    "KEPT",
    "ORIGINS",
    "Given",
    "Kept",
    "Origin",
    "fields_of_lines",
    "identity_of",
    "kept_fields",
    "without_tag",
    "written",
]

# RFC 3428 4, 10: what says how the body is to be read and shown; the rest belongs to the transaction.
_PASSED: Final = (
    "Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "MIME-Version", "Subject",
    "Priority", "In-Reply-To", "Organization", "User-Agent", "Expires", "Reply-To",
)  # fmt: skip

# Writes JSON.
written: Final = json.JSONEncoder().encode
_PASSED_KEYS: Final = tuple((name, name.lower()) for name in _PASSED)
# A name-addr with a tag alone.
_ORDINARY: Final = re.compile(r'((?:"[^"\\]*"[ \t]*)?<[^<>"]*>)(?:;tag=[\w.!%*+`\'~-]+)?')
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
        return [(name, value) for name, value in json.loads(self.fields)]

    @property
    def content_type(self) -> str:
        """In lower case, "" without one."""
        return next((value.lower() for name, value in self.header_fields if name == "Content-Type"), "")

    @property
    def identity(self) -> tuple[str, str, int] | None:
        """The Call-ID, From tag and CSeq number that it leaves with; None for those of a new request."""
        if not self.request:
            return None
        call_id, tag, cseq = json.loads(self.request)
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


def kept_fields(message: Request) -> str:
    """Return the header fields that go on with the message, as JSON."""
    keys = message.keys
    return written(
        [[name, value] for name in _PASSED if name.lower() in keys for value in message.get_all(name)]
    )


def fields_of_lines(lines: Mapping[str, str]) -> str:
    """As ``kept_fields``; ``lines``: each line by its field, which stands once."""
    return written(
        [[name, lines[key].partition(":")[2].strip(" \t")] for name, key in _PASSED_KEYS if key in lines]
    )


def identity_of(message: Request) -> str:
    """Return what a phone knows the message by, as JSON; "" for one without a From tag (RFC 2543)."""
    tag = message.from_tag
    return written([message.call_id, tag, message.cseq.number]) if tag else ""


def without_tag(address: NameAddr) -> str:
    """Return a From or To value without its tag, the display name included."""
    match = _ORDINARY.fullmatch(str(address))
    if match is not None:
        return match[1]
    params = {name: one for name, one in address.params.items() if name != "tag"}
    try:
        return str(address.replace(params=params))
    except LocalProtocolError:
        return f"<{address.uri}>"
