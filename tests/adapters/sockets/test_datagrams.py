"""The datagram socket beyond the contract (tests/adapters/contract): addresses with a zone."""

from __future__ import annotations

import socket

import pytest

from sansip.actions import Address
from sansip_sockets.datagrams import scoped


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (("fe80::1%lo", 5060), ("fe80::1", 5060, 0, socket.if_nametoindex("lo"))),
        (("fe80::1%7", 5060), ("fe80::1", 5060, 0, 7)),
        (("fe80::1%gone0", 5060), ("fe80::1%gone0", 5060)),
    ],
)
def test_zones(address: Address, expected: Address) -> None:
    """RFC 4007 11.2: a name or a number; an interface that is gone is left to fail."""
    assert scoped(address) == expected
