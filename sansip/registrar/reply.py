"""The registrar's answer, before it is a message.

Theory of operation: the registrar decides status, reason and the header fields
of its own; its caller makes the response out of the request (RFC 3261
8.2.6) and adds these. So the registrar needs no tag, no transport, no wire.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.location import LocationUpdate

__all__ = ["Plan", "Reply"]


@dataclass(slots=True)
class Reply:
    """A final response to be: ``headers`` are (name, value), one line each, in order.

    ``decided_by`` names the setting that refused, for the operator; "" where none did.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    decided_by: str = ""


@dataclass(slots=True)
class Plan:
    """The update of a REGISTER for the location service, and the answer once that is done.

    ``update`` is None when there is nothing to commit: a refusal (``reply`` is an error), a fetch, a
    repetition, the removal of a contact that was not there.
    """

    update: LocationUpdate | None
    reply: Reply
