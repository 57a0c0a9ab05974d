"""The rows: a kept message, and the mark that a device has it.

Theory of operation: ``id`` begins with the time, so rows are in the order in which the messages came. A mark
stays as long as its message does: it is what keeps a device from getting it twice. It is written before the
message leaves, too: a server that is killed before the answer sends the same transaction once more, which a
phone that had answered takes for a repetition (RFC 3261 17.2.2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.errors import LocalProtocolError
from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.wire import NameAddr, Request

__all__ = ["GIVEN", "KEPT", "Given", "Kept", "kept_fields", "without_tag"]

# RFC 3428 4, 10: what says how the body is to be read and shown; the rest belongs to the transaction.
_PASSED: Final = (
    "Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "MIME-Version", "Subject",
    "Priority", "In-Reply-To", "Organization", "User-Agent",
)  # fmt: skip


@dataclass(slots=True)
class Kept:
    """A message. ``sender`` and ``to`` are name-addrs; ``fields`` is a JSON list of [name, value].

    ``due``: it is not delivered before that, in seconds since 1970. ``reports``: the address-of-record that
    gets notices of what becomes of it (RFC 5438), or "".
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

    @property
    def header_fields(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in json.loads(self.fields)]


@dataclass(slots=True)
class Given:
    """A mark: ``device`` has the message, or has refused it for good (``status``).

    ``status`` 0: it was sent at ``at``, seconds since 1970, and no answer has been seen.
    """

    user: str
    id: str
    device: str
    status: int
    at: float = 0.0


KEPT = Table(
    "messages",
    Kept,
    key=("user", "id"),
    version=2,
    migrations={1: lambda row: {**row, "due": 0.0, "reports": ""}},
)
GIVEN = Table(
    "messages_given",
    Given,
    key=("user", "id", "device"),
    version=2,
    migrations={1: lambda row: {**row, "at": 0.0}},
)


def kept_fields(message: Request) -> str:
    """Return the header fields that go on with the message, as JSON."""
    return json.dumps([[name, value] for name in _PASSED for value in message.get_all(name)])


def without_tag(address: NameAddr) -> str:
    """Return a From or To value without its tag, the display name included."""
    params = {name: one for name, one in address.params.items() if name != "tag"}
    try:
        return str(address.replace(params=params))
    except LocalProtocolError:
        return f"<{address.uri}>"
