"""One publication, as it is held in memory."""

from __future__ import annotations

from typing import Any

__all__ = ["Publication"]


class Publication:
    """One publication.

    Attributes:
        event, resource: of which package, for which address-of-record.
        etag: the entity-tag that it has now.
        type, body: media type and octets.
        document: what the package made of the body (``Publishing.check``).
        expires_at: when it ends unless it is refreshed, by the stack's clock.
        serial: the newer ones of a resource have the larger ones.
        busy: a request is at work on it, so no other may be (RFC 3903 6: atomically).
        read: it was read from a row: another node, or a process before, took it.
        contact: the line Contact of its last PUBLISH, if that was looked at (``renewing``).
    """

    __slots__ = (
        "body",
        "busy",
        "contact",
        "document",
        "etag",
        "event",
        "expires_at",
        "read",
        "resource",
        "serial",
        "type",
    )

    def __init__(
        self,
        event: str,
        resource: str,
        etag: str,
        type: str,
        body: bytes,
        document: Any,
        expires_at: float,
        serial: float,
        busy: bool = False,
        read: bool = False,
    ) -> None:
        self.event = event
        self.resource = resource
        self.etag = etag
        self.type = type
        self.body = body
        self.document = document
        self.expires_at = expires_at
        self.serial = serial
        self.busy = busy
        self.read = read
        self.contact = ""
