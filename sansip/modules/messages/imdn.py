"""Notices of delivery (RFC 5438) that a server which keeps messages makes: "stored" and "failed".

Theory of operation: a message/cpim (RFC 3862) asks for them in its header. A server that keeps a message is
an intermediary (RFC 5438 8): it may say that the message was stored ("processing"), and that nobody fetched
it in time ("negative-delivery"). Whether a phone has it, or shows it, the phone says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final, Literal

from sansip.module.cpim import head_of, uri_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Asked", "asked", "notice"]

_NAMESPACE: Final = "urn:ietf:params:imdn"


@dataclass(slots=True)
class Asked:
    """What the header of a message/cpim asks for.

    Attributes:
        id: the Message-ID of the message.
        sender: the URI in its From.
        recipient: the URI in its To.
        date: its DateTime, "" without.
        kinds: the notices that are asked for, in lower case: "processing", "negative-delivery", ...
        original: the URI in Original-To, "" without.
    """

    id: str
    sender: str
    recipient: str
    date: str
    kinds: frozenset[str]
    original: str


def asked(body: bytes) -> Asked | None:
    """Return what a message/cpim asks for; None where that is nothing that this server could say."""
    try:
        lines = head_of(body).decode().split("\n")
    except UnicodeDecodeError:
        return None
    fields: dict[str, str] = {}
    prefix = ""
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            continue
        if name == "NS" and _NAMESPACE in value:
            # RFC 3862 3.5: the prefix, "" where it is the default.
            prefix = value.partition("<")[0].strip()
            continue
        # RFC 3862 3.1: names are case-sensitive. The first one counts.
        fields.setdefault(name, value.strip())
    return _asked(fields, f"{prefix}." if prefix else "")


def _asked(fields: Mapping[str, str], prefix: str) -> Asked | None:
    names = fields.get(f"{prefix}Disposition-Notification", "")
    message_id = fields.get(f"{prefix}Message-ID", "")
    sender, recipient = uri_in(fields.get("From", "")), uri_in(fields.get("To", ""))
    kinds = frozenset(one.partition(";")[0].strip().lower() for one in names.split(","))
    date, original = fields.get("DateTime", ""), uri_in(fields.get(f"{prefix}Original-To", ""))
    if not all(one.isprintable() for one in (message_id, sender, recipient, date, original)):
        # XML has no way to write it.
        return None
    # RFC 5438 7.2.1: a notice takes the way that IMDN-Record-Route says, which may be anybody's address.
    if not (message_id and sender and recipient and names) or f"{prefix}IMDN-Record-Route" in fields:
        return None
    return Asked(
        message_id,
        sender,
        recipient,
        date,
        kinds,
        original,
    )


def notice(of: Asked, kind: Literal["processing", "delivery"], status: str, id: str, unix: float) -> bytes:
    """Return the message/cpim that says ``status`` of a message (RFC 5438 7.2.1.1, 8.1, 8.2, 11).

    ``id`` is its own Message-ID, ``unix`` the time of now.
    """
    now = datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds")
    # RFC 5438 11.1.1: the time of the message; where it has none, that of now.
    date = escape(of.date or now)
    recipient = escape(of.recipient)
    original = escape(of.original or of.recipient)
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\r\n'
        '<imdn xmlns="urn:ietf:params:xml:ns:imdn">'
        f"<message-id>{escape(of.id)}</message-id><datetime>{date}</datetime>"
        f"<recipient-uri>{recipient}</recipient-uri>"
        f"<original-recipient-uri>{original}</original-recipient-uri>"
        f"<{kind}-notification><status><{status}/></status></{kind}-notification></imdn>"
    ).encode()
    head = (
        f"From: <{of.recipient}>\r\nTo: <{of.sender}>\r\nDateTime: {now}\r\n"
        f"NS: imdn <{_NAMESPACE}>\r\nimdn.Message-ID: {id}\r\n\r\n"
        "Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n"
        f"Content-Length: {len(document)}\r\n\r\n"
    )
    return head.encode() + document
