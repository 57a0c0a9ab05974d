"""RFC 3261 9.2, 18.1.2: only the hop of a transaction is believed about it.

Why it matters: a branch is no secret to everybody on the way. Who has seen one could end
another's call, or answer it.
"""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import MessageRefused
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.rig import ALICE, BOB, CAROL, UDP6, Rig, only, relay_to, reply, request, sent, what, within

BOB_URI = "sip:bob@192.0.2.2"


def call(**options: Any) -> tuple[Rig, bytes, Any]:
    rig = Rig(relay_to(BOB_URI), **options)
    data = request()
    return rig, data, only(rig.udp(data), "INVITE")


def reasons(rig: Rig) -> list[tuple[str, int, str]]:
    return [(one.source, one.status, one.section) for one in rig.events if isinstance(one, MessageRefused)]


@pytest.mark.parametrize("status", [180, 200, 486])
def test_a_response_from_elsewhere(status: int) -> None:
    """18.1.2: nothing happens but a line in the log, and the true one is heard."""
    rig, _, branch = call()
    assert rig.udp(reply(branch, status, tag="mallory"), CAROL) == []
    assert reasons(rig) == [("udp:192.0.2.3:5060", 0, "RFC 3261 18.1.2")]
    outs = rig.udp(reply(branch, status), BOB)
    assert str(status) in what(outs)
    assert {out.message.to_tag for out in outs if out.what == str(status)} == {"bob"}


def test_a_response_from_another_port() -> None:
    """RFC 3581: a NAT takes a new port, and some phones send from another one than they listen on."""
    rig, _, branch = call()
    assert "180" in what(rig.udp(reply(branch, 180), (BOB[0], 40_000)))


def test_a_response_over_another_connection() -> None:
    """18.2.2: the peer replaces a lost connection; the new one comes from the same host."""
    rig = Rig(relay_to(f"{BOB_URI};transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    branch = only(rig.opened(connect), "INVITE")
    assert rig.tcp(rig.accept(("192.0.2.3", 40_000)), reply(branch, 180)) == []
    assert "180" in what(rig.tcp(rig.accept((BOB[0], 40_000)), reply(branch, 180)))


def test_a_cancel_from_elsewhere() -> None:
    """9.2: as if there were no such transaction; and the caller's own is obeyed."""
    rig, data, branch = call()
    rig.udp(reply(branch, 180), BOB)
    cancel = within(data, "CANCEL")
    assert sent(rig.udp(cancel, CAROL)) == [("481", CAROL)]
    assert reasons(rig) == [("udp:192.0.2.3:5060", 481, "RFC 3261 9.2")]
    assert rig.stack.snapshot()["server_transactions"] == 1
    assert sent(rig.udp(cancel)) == [("200", ALICE), ("CANCEL", BOB)]


def test_addresses_are_compared_as_numbers() -> None:
    """RFC 5118 4.8: however they are spelled; a zone is our own name for a link."""
    rig = Rig(relay_to("sip:bob@[2001:DB8:0:0::2]"))
    source = ("2001:db8::1", 5060, 0, 0)
    branch = only(rig.udp(request(source=source[:2]), source, UDP6), "INVITE")
    assert "180" in what(rig.udp(reply(branch, 180), ("2001:db8::2", 5060, 0, 0), UDP6))
    assert rig.udp(reply(branch, 486), ("2001:db8::3", 5060, 0, 0), UDP6) == []


@pytest.mark.parametrize(
    "options", [{"proxy": ProxyConfig(same_hop=False)}, {"trusted": [TrustedPeer("192.0.2.3")]}]
)
def test_who_is_believed_all_the_same(options: dict[str, Any]) -> None:
    """``proxy.same_hop`` off, or a peer that is trusted by its address: a carrier has several."""
    rig, data, branch = call(**options)
    assert "180" in what(rig.udp(reply(branch, 180), CAROL))
    assert "CANCEL" in what(rig.udp(within(data, "CANCEL"), CAROL))
    assert rig.events == []
