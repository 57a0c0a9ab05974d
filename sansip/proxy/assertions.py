"""Identity fields of a trust domain (RFC 3325): the proxy removes them from messages of other senders.

Theory of operation: phones show an asserted identity instead of From, and gateways send it on and bill by it.
So each message of a neighbour that is not trusted loses these fields, request or response, within a dialog or
not (RFC 3325 5), and so do the older and younger fields that mean the same, and hints, which are for the
first proxy alone (6). The proxy sends on the fields of a trusted neighbour, with one exception: an identity
whose user asked for privacy (7: ``Privacy: id``) does not leave the trust domain.

``Alert-Info`` has a phone answer by itself, or fetch a sound from anywhere (RFC 3261 20.4): only the operator
and its users may ask for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.wire import Request, Response

__all__ = ["ASSERTED", "OF_STRANGERS", "drop_assertions", "keep_private"]

# RFC 3325 9, RFC 6050 4, RFC 5502, RFC 8496; draft-ietf-sip-privacy-04 (Remote-Party-ID).
ASSERTED: Final = frozenset(
    (
        "p-asserted-identity",
        "p-asserted-service",
        "p-charge-info",
        "p-preferred-identity",
        "p-preferred-service",
        "p-served-user",
        "remote-party-id",
    )
)
OF_STRANGERS: Final = ASSERTED | {"alert-info"}


def drop_assertions(message: Request | Response, *, stranger: bool) -> None:
    """Remove from ``message`` the fields that its sender, which is not trusted, may not send.

    ``stranger``: the sender is none of our users either.
    """
    fields = OF_STRANGERS if stranger else ASSERTED
    if not fields.isdisjoint(message.keys):
        for name in fields:
            message.remove(name)


def keep_private(message: Request | Response) -> None:
    """Remove the asserted identity from ``message``, about to leave the trust domain, where its user asks."""
    if "privacy" in message.keys and "p-asserted-identity" in message.keys:
        wanted = ";".join(message.get_all("privacy")).lower().replace(",", ";").split(";")
        # RFC 3325 7; RFC 3323 4.2: "none" is for what intermediaries do by themselves.
        if "id" in (one.strip() for one in wanted):
            message.remove("P-Asserted-Identity")
