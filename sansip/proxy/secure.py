"""The requirements of sips on a proxy (RFC 5630 5.3, RFC 3261 26.2.2).

Theory of operation: a sips URI promises TLS on every hop, so a request for one may only go on to another sips
URI, and a request for a sip URI must not be made to look as if it had been secure all the way: where its
target registered a sips Contact, the URI is rewritten to sip, and TLS is used nevertheless. The proxy answers
a request that cannot go on with 480 and a Warning that says which of the two it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.proxy.validation import Refusal
from sansip.transport.transports import PARAMETERS, SECURE, TLS
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.proxy.target import Target
    from sansip.wire import OtherUri, TelUri

__all__ = [
    "NOT_ALLOWED",
    "REQUIRED",
    "SECURE",
    "as_sips",
    "check_arrival",
    "followable",
    "retargeted",
]

# RFC 5630 5.3: for a sips request that only a sip URI would lead on, and for a sip request
# whose target wants TLS where there is none. RFC 3261 20.43: the agent may be a pseudonym.
NOT_ALLOWED = ("Warning", '380 sansip "SIPS Not Allowed"')
REQUIRED = ("Warning", '381 sansip "SIPS Required"')


def check_arrival(transport: str) -> Refusal | None:
    """RFC 3261 26.2.2: each hop of a request for a sips URI is TLS, the one to us included.

    We refuse a request that came in the clear, because no hop after us could see that it did. RFC 5630 3.1.3
    has no status for that; 403 is not tried again elsewhere.
    """
    return None if transport in SECURE else Refusal(403, "SIPS Needs TLS On Every Hop")


def as_sips(line: str) -> str:
    """Return ``line``, a header field with a URI of ours, with a sips URI.

    Its transport is TLS anyway (RFC 5630 3.1.4).
    """
    return line.replace("<sip:", "<sips:", 1).replace(PARAMETERS[TLS], "", 1)


def followable(targets: Sequence[Target]) -> list[Target]:
    """Return those of ``targets`` that a request for a sips URI may go on to.

    RFC 5630 5.3: sips ones only, and that holds for the last hop, too.
    """
    return [one for one in targets if one.uri is None or one.uri.scheme == "sips"]


def retargeted(
    received: SipUri | TelUri | OtherUri, uri: SipUri | TelUri | OtherUri
) -> SipUri | TelUri | OtherUri:
    """Return the Request-URI that ``received`` becomes where its target is ``uri``.

    RFC 5630 5.3: a sips Contact of a user who was called by a sip URI loses
    its s, and nothing else.
    """
    if isinstance(uri, SipUri) and uri.scheme == "sips" and received.scheme != "sips":
        return uri.replace(scheme="sip")
    return uri
