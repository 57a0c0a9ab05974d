"""Phones and a server on virtual time, for tests of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip import ListenerConfig, StackConfig
from sansip.limits import Limits
from sansip.testing import Network

OFFER = (
    b"v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0 8\r\na=sendrecv\r\n"
)
ANSWER = (
    b"v=0\r\no=server 7 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 50000 RTP/AVP 0\r\na=sendrecv\r\n"
)
SDP = ("Content-Type", "application/sdp")


class Bench:
    """A server with ``route``, and phones: ``alice`` at 192.0.2.1, ``bob`` at 192.0.2.2, ``carol`` at
    192.0.2.3."""

    def __init__(self, route: Callable[..., Any] | None = None, **options: Any) -> None:
        if route is not None:
            options["route"] = route
        self.network = Network()
        self.journal: list[str] = []
        listeners = [
            ListenerConfig(0, "udp", "192.0.2.10", 5060),
            ListenerConfig(1, "tcp", "192.0.2.10", 5060),
        ]
        limits = Limits(**options.pop("limits", {}))
        self.config = StackConfig(
            listeners, domains=["biloxi.test"], limits=limits, server_name="", **options
        )
        self.server = self.network.server(self.config, self.journal.append)
        self.alice = self.network.endpoint("alice", "192.0.2.1")
        self.bob = self.network.endpoint("bob", "192.0.2.2")
        self.carol = self.network.endpoint("carol", "192.0.2.3")

    @property
    def ua(self) -> Any:
        return self.server.stack.ua

    def call(self, body: bytes = OFFER, **options: Any) -> Any:
        """Alice calls the server; returns her INVITE."""
        headers = [*options.pop("headers", ()), *([SDP] if body else [])]
        return self.alice.request("INVITE", "sip:box@biloxi.test", headers, body=body, **options)

    @property
    def held(self) -> dict[str, int]:
        """The calls and transactions that the server holds."""
        found = self.server.stack.snapshot()
        return {name: found[name] for name in ("calls", "server_transactions", "client_transactions")}

    def at_rest(self) -> bool:
        """Whether nothing is left of any call."""
        return not any(self.held.values())


def times_of(phone: Any, what: str) -> list[float]:
    """When ``phone`` received each message called ``what``."""
    return [round(one.time, 3) for one in phone.history if one.what == what]
