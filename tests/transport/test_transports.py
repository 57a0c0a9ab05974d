"""The table of transports: what the rest of the tree takes for granted of it."""

from __future__ import annotations

import pytest

from sansip.transport.transports import DEFAULT_PORTS, FRAMED, ONE_WAY, SECURE, TRANSPORTS, UNRELIABLE


def test_ports() -> None:
    """An address without a port goes to these: another one would reach nobody."""
    # RFC 3261 19.1.2, RFC 4168 6, RFC 7118 5
    assert DEFAULT_PORTS == {"udp": 5060, "tcp": 5060, "tls": 5061, "ws": 80, "wss": 443, "sctp": 5060}


def test_properties() -> None:
    """Each set decides something: what is resent, what a sips URI may use, what is framed."""
    # RFC 3261 17: only UDP needs SIP's own retransmissions.
    assert set(UNRELIABLE) == {"udp"}
    # RFC 3261 26.2.2
    assert {"tls", "wss"} == SECURE
    # RFC 4168 4, RFC 7118 5.1
    assert {"udp", "ws", "wss", "sctp"} == FRAMED
    # RFC 7118 5
    assert {"ws", "wss"} == ONE_WAY


@pytest.mark.parametrize("name", TRANSPORTS)
def test_names(name: str) -> None:
    """A row stands under its own name."""
    assert TRANSPORTS[name].name == name
