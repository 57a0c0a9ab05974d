"""A response on its way back is judged by the peer that it came from (RFC 3261 16.7, RFC 3325 5)."""

from __future__ import annotations

from sansip.proxy.returning import is_trusted
from sansip.routing import TrustedPeer
from sansip.transport import Flow
from tests.rig import BOB, CAROL, TCP, Rig


def test_by_its_address() -> None:
    """Over datagrams, and over a connection that has shown no certificate."""
    rig = Rig(trusted=[TrustedPeer(BOB[0])])
    proxy = rig.stack.proxy
    conn = rig.accept((BOB[0], 40_000))
    assert is_trusted(proxy, Flow("udp", 0, BOB))
    assert not is_trusted(proxy, Flow("udp", 0, CAROL))
    assert is_trusted(proxy, Flow("tcp", TCP, (BOB[0], 40_000), conn))
    assert not is_trusted(proxy, Flow("tcp", TCP, CAROL, conn))
