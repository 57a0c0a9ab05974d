"""The server as a user agent: requests for itself, not for a user of it (RFC 3261 8.2, 11).

Theory of operation: the server can state its capabilities and take registrations. Any other request with the
server's own name only either lacks a user to go to, or has a method that the server does not serve. These two
cases have different statuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sansip.routing.incoming import Incoming

__all__ = ["answer_as_server", "answer_options", "capabilities"]

# RFC 3261 20.5 and 8.2.1: methods whose requests can pass through this server.
KNOWN_METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "UPDATE",
    "PRACK",
    "INFO",
    "PUBLISH",
)
# The answers of the server itself, as a user agent (RFC 3261 11).
OWN_METHODS = "OPTIONS, REGISTER, ACK, CANCEL"


def answer_options(request: Incoming) -> None:
    """Answer an OPTIONS for the server itself (RFC 3261 11.2)."""
    extensions = request.core.registrar.capable
    unknown = [tag for tag in request.message.require if tag.lower() not in extensions]
    if unknown:
        # RFC 3261 8.2.2.3
        request.reply(420, None, [("Unsupported", ", ".join(unknown))])
        return
    request.reply(200, None, capabilities(extensions))


def capabilities(extensions: Iterable[str]) -> list[tuple[str, str]]:
    """Return the header fields by which the server states what it can do (RFC 3261 11.2)."""
    return [
        ("Allow", OWN_METHODS),
        ("Accept", "application/sdp"),
        ("Accept-Encoding", "identity"),
        ("Accept-Language", "en"),
        ("Supported", ", ".join(sorted(extensions))),
    ]


def answer_as_server(request: Incoming) -> None:
    """Answer a request whose Request-URI is the server itself, without a user."""
    method = request.method
    if method == "OPTIONS":
        answer_options(request)
    elif method not in KNOWN_METHODS:
        # RFC 3261 21.5.2
        request.reply(501, None, [("Allow", OWN_METHODS)])
    elif method in ("INVITE", "MESSAGE", "SUBSCRIBE", "REFER"):
        # RFC 3261 21.4.22: the Request-URI must name a user.
        request.reply(484)
    else:
        # RFC 3261 8.2.1
        request.reply(405, None, [("Allow", OWN_METHODS)])
