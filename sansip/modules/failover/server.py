"""A server that requests are sent to, as it is now."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from sansip.modules.failover.health import Health
from sansip.transport.transports import DEFAULT_PORTS, UDP
from sansip.wire import SipUri
from sansip.wire.host import is_address, plain_host

__all__ = ["Server"]

# By UDP, to an IPv4 address (RFC 3263 4.1).
_PLAIN: Final = re.compile(r"sip:x@[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]++)?")


@dataclass(slots=True, eq=False)
class Server:
    """One server.

    Attributes:
        uri: where it listens.
        health: lasts over reloads.
        requests, failed: how many it got, and failed at, since this process began.
        asked_at: when the OPTIONS that waits for its answer left, None where none does.
        addresses: IP addresses that it is known by: requests from there come from it.
        port: where it listens for UDP (RFC 3261 18.1.1: it sends from there, too).
        plain: its URI before and behind a user, and its place; None where a request may have to be read to
            be sent there (``PlainCall``): for a name, a transport, another parameter.
    """

    uri: SipUri
    health: Health = field(default_factory=Health)
    requests: int = 0
    failed: int = 0
    asked_at: float | None = None
    addresses: frozenset[str] = frozenset()
    plain: tuple[str, str, tuple[str, int]] | None = None
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = self.uri.port or DEFAULT_PORTS[UDP]
        if is_address(self.uri.host):
            self.addresses = frozenset((plain_host(self.uri.host),))
        text = str(self.uri.replace(user="x"))
        if _PLAIN.fullmatch(text) is not None and is_address(self.uri.host):
            head, _, tail = text.partition("x")
            self.plain = head, tail, (self.uri.host, self.port)
