"""DNS zones on the virtual network: what a user of ``sansip.testing`` can say about them."""

from __future__ import annotations

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.routing import IncomingRequest
from sansip.testing import Endpoint, Network, Zone
from sansip.transport.dns import DnsConfig

RECORDS = """
    gw.test             NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.gw.test
    _sip._udp.gw.test   SRV   1 0 5070 one.gw.test
    _sip._udp.gw.test   SRV   2 0 5080 two.gw.test
    one.gw.test         A     192.0.2.71
    two.gw.test         CNAME other.gw.test
    other.gw.test       A     192.0.2.72
"""


def route(request: IncomingRequest) -> None:
    request.relay("sip:trunk@gw.test")


class World:
    """A proxy that sends everything to gw.test, and its two servers."""

    def __init__(self, records: str = RECORDS) -> None:
        self.zone = Zone(records)
        self.network = Network(name_server=self.zone)
        dns = DnsConfig(servers=[("192.0.2.53", 53)])
        listeners = [ListenerConfig(0, "udp", "192.0.2.10", 5060)]
        self.network.server(StackConfig(listeners, ["biloxi.test"], route=route, dns=dns))
        self.alice = self.network.endpoint("alice", "192.0.2.1")
        self.one = self.network.endpoint("one", "192.0.2.71", 5070)
        self.two = self.network.endpoint("two", "192.0.2.72", 5080)

    def message(self, reached: Endpoint) -> None:
        """A MESSAGE that ``reached`` gets and answers."""
        self.alice.request("MESSAGE", "sip:trunk@biloxi.test")
        request = reached.expect("MESSAGE")
        reached.reply(request, 200)
        self.alice.expect("200")


def test_naptr_srv_and_address() -> None:
    """RFC 3263 4.1, 4.2: the way through the zone, asked for once while the records live."""
    world = World()
    world.message(world.one)
    assert world.zone.asked[:2] == [("gw.test", "NAPTR"), ("_sip._udp.gw.test", "SRV")]
    asked = len(world.zone.asked)
    world.message(world.one)
    assert len(world.zone.asked) == asked


def test_records_change_while_time_passes() -> None:
    """When they have expired, the new ones count; an alias leads on."""
    world = World()
    world.message(world.one)
    world.zone.remove("_sip._udp.gw.test", "SRV")
    world.zone.add("_sip._udp.gw.test SRV 1 0 5080 two.gw.test")
    world.network.run(world.zone.ttl + 1)
    world.message(world.two)


@pytest.mark.parametrize("mood", ["silent", "failing"])
def test_a_name_server_in_trouble(mood: str) -> None:
    """No host can be reached: RFC 3261 16.9, as 500, in time that costs nothing."""
    world = World()
    for name in ("gw.test", "_sip._udp.gw.test", "_sip._tcp.gw.test", "_sips._tcp.gw.test"):
        getattr(world.zone, mood).add(name)
    world.alice.request("MESSAGE", "sip:trunk@biloxi.test")
    world.alice.expect("500", within=20)


def test_no_such_name() -> None:
    """NXDOMAIN at once."""
    world = World("other.test A 192.0.2.1")
    world.alice.request("MESSAGE", "sip:trunk@biloxi.test")
    world.alice.expect("500", within=1)


@pytest.mark.parametrize(
    "line", ["gw.test A", "gw.test A nonsense", "gw.test SRV 1 0 x one.gw.test", "gw.test XYZ 1"]
)
def test_what_is_no_record(line: str) -> None:
    """It is said where it is written, not when somebody asks."""
    with pytest.raises(ValueError, match=r"gw\.test"):
        Zone(line)


def test_aliases_that_go_round() -> None:
    """The reply ends, as those of real servers do."""
    world = World("gw.test CNAME a.test\n a.test CNAME gw.test")
    world.alice.request("MESSAGE", "sip:trunk@biloxi.test")
    world.alice.expect("500", within=20)
