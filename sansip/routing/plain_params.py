"""The one parameter that a URI may have on the quick ways of octets: one that changes nothing there.

Theory of operation: many phones write ``;transport=udp``, or a parameter of their own such as ``line``, into
their Contact, and callers ask for ``;user=phone``. What these parameters say is what the quick ways do anyway
(RFC 3261 19.1.1). All others are for the long way.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["asks_alike", "leads_alike", "names_transport"]

# RFC 3261 19.1.1, RFC 5626 5.3.1, RFC 5627 3: they choose the way, or change what is sent.
_DECIDING: Final = re.compile("(?i);(?:transport|maddr|ttl|method|user|lr|ob|gr)(?![^=])")
_BY_UDP: Final = ";transport=udp"
# They do not choose the user who is called.
_ASKED: Final = re.compile("(?i);(?:transport=(?:udp|tcp|tls|sctp|ws|wss)|user=(?:phone|ip))")

_TRANSPORT: Final = re.compile("(?ai);transport=(?:udp|tcp|tls|sctp|ws)")


def leads_alike(params: str) -> bool:
    """Whether a sip URI at an IPv4 address leads to the same place by UDP with ``params`` and without.

    ``params``: one parameter behind its semicolon; no character of it is escaped.
    """
    return params.lower() == _BY_UDP or _DECIDING.match(params) is None


def asks_alike(params: str) -> bool:
    """Whether a Request-URI of ours asks for the same user with ``params`` and without."""
    return _ASKED.fullmatch(params) is not None


def names_transport(params: str) -> bool:
    """Whether the one parameter of a URI names the transport, and no letter of it is escaped."""
    return _TRANSPORT.fullmatch(params) is not None
