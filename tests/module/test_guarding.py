"""A module's servers by name: looked up over each transport, again and again, and open when it goes."""

from __future__ import annotations

from typing import Any

from sansip.errors import LocalProtocolError
from sansip.module import Module, Use
from sansip.module.guarding import AGAIN
from sansip.transport.next_hop import Resolve
from tests.client.test_guarded import uri
from tests.rig import Rig


class Gateways(Module):
    """Has one gateway with a name, one with an address, and a URI that leads nowhere."""

    name = "gateways"

    def start(self, core: Any, now: float) -> None:
        servers = [
            (uri("sip:carrier.test"), "the carrier"),
            (uri("sip:192.0.2.21:5070"), "the other"),
            (uri("sip:192.0.2.22;transport=pigeon"), "nothing"),
        ]
        core.guard(servers, "gateways.direct", now)


def answered(rig: Rig, places: dict[str, Any]) -> list[str]:
    """Answer each open question by its transport; return those that were asked for."""
    asked = []
    for ask in list(rig.asks):
        rig.asks.remove(ask)
        question = ask.question
        assert isinstance(question, Resolve)
        asked.append(question.transport)
        rig.answer(places.get(question.transport, LocalProtocolError("none")), ask)
    return asked


def test_names_are_looked_up() -> None:
    """RFC 3263 4.2: SRV records of UDP, TCP and TLS lead to places of their own; they change."""
    rig = Rig(modules=[Use(Gateways)])
    rig.wait(0.01)
    guarded = rig.stack.proxy.client.guarded
    places = {"udp": [("udp", "192.0.2.31", 5062)], "tls": [("tls", "192.0.2.32", 443)]}
    assert sorted(answered(rig, places)) == ["tcp", "tls", "udp", "udp"]
    for place in (("192.0.2.31", 5062), ("192.0.2.32", 443), ("192.0.2.21", 5070)):
        assert guarded.bars(*place) is not None
    rig.wait(AGAIN)
    # Where the name server is silent the places known before stand.
    assert len(answered(rig, {"tcp": [("tcp", "192.0.2.33", 5060)]})) == 4
    for place in (("192.0.2.31", 5062), ("192.0.2.33", 5060)):
        assert guarded.bars(*place) is not None


def test_a_carrier_with_many_addresses() -> None:
    """All are guarded, not only as many as one request tries (``limits.next_hops``)."""
    rig = Rig(modules=[Use(Gateways)])
    rig.wait(0.01)
    places = [("udp", f"192.0.2.{number}", 5060) for number in range(100, 120)]
    answered(rig, {"udp": places})
    assert all(rig.stack.proxy.client.guarded.bars(ip, port) for _, ip, port in places)


def test_the_module_goes() -> None:
    """A reload that takes it away opens its servers, and nothing is looked up any more."""
    rig = Rig(modules=[Use(Gateways)])
    rig.wait(0.01)
    guarded = rig.stack.proxy.client.guarded
    rig.stack.modules.get(Gateways).core.rest()
    assert not guarded.active
    answered(rig, {})
    rig.wait(10 * AGAIN)
    assert rig.asks == []
