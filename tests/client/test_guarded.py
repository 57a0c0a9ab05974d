"""Gateways that only modules send to: which places and names are guarded, however a sender spells them."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.client.guarded import MOST_PLACES, Guard, Guarded
from sansip.events import DestinationRefused
from sansip.transport import Flow, Listener, Listeners
from sansip.transport.next_hop import next_hop
from sansip.wire import SipUri, parse_uri

LISTENERS = [Listener(0, "udp", "192.0.2.10", 5060)]


def guarded(*guards: Guard) -> Guarded:
    made = Guarded(Listeners(LISTENERS), lambda event: None)
    made.replace("lcr", guards)
    return made


def guard(host: str, port: int | None = 5060) -> Guard:
    return Guard(host, port, f"gateway {host}", "lcr.direct")


def uri(text: str) -> SipUri:
    found = parse_uri(text)
    assert isinstance(found, SipUri)
    return found


@pytest.mark.parametrize(
    ("host", "port", "barred"),
    [
        # RFC 3261 19.1.2: one server has both default ports, for UDP and TCP and for TLS.
        ("192.0.2.21", 5060, True),
        ("192.0.2.21", 5061, True),
        ("192.0.2.21", 5070, False),
        ("192.0.2.22", 5060, False),
        ("2001:db8::21", 5070, True),
        ("2001:db8::21", 5060, False),
    ],
)
def test_places(host: str, port: int, barred: bool) -> None:
    """An address with a port is guarded for each transport: a phone may live beside a gateway."""
    places = guarded(guard("192.0.2.21"), guard("2001:0db8:0::0021", 5070))
    assert (places.bars(host, port) is not None) is barred


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "192.0.2.10"])
@pytest.mark.parametrize("own", ["127.0.0.1", "192.0.2.10"])
def test_a_gateway_on_this_machine(asked: str, own: str) -> None:
    """Each address of the machine leads to it: loopback, the unspecified one, that of a listener."""
    places = guarded(guard(own, 5080))
    assert places.bars(asked, 5080) is not None
    assert places.bars(asked, 5090) is None


def test_a_gateway_on_this_machine_behind_a_nat() -> None:
    """The NAT may send it what comes to the address that peers know; but who sends from there is anybody."""
    listener = Listener(0, "udp", "10.0.0.1", 5060, advertise_host="203.0.113.1")
    places = Guarded(Listeners([listener]), lambda event: None)
    places.replace("lcr", [guard("127.0.0.1", 5080)])
    assert places.bars("203.0.113.1", 5080) is not None
    assert places.bars("203.0.113.1", 5090) is None
    assert not places.sent(Flow("udp", 0, ("203.0.113.1", 5080)))
    assert places.sent(Flow("udp", 0, ("10.0.0.1", 5080)))


def test_names() -> None:
    """A name is guarded before it is resolved; without a port at all ports (RFC 3263 4.2)."""
    places = guarded(guard("Carrier.test.".lower(), None), guard("pbx.test", 5080))
    for text in ("sip:1@carrier.test", "sip:1@CARRIER.test.:7000", "sip:1@pbx.test:5080"):
        assert places.names(next_hop(uri(text))) is not None, text
    for text in ("sip:1@pbx.test:5090", "sip:1@elsewhere.test", "sip:1@192.0.2.9"):
        assert places.names(next_hop(uri(text))) is None, text


def test_places_of_names() -> None:
    """What our own requests found behind a guarded name is guarded; a bounded number, for zones change."""
    places = guarded(guard("carrier.test", None))
    places.learn("elsewhere.test", "192.0.2.9", 5060)
    assert places.bars("192.0.2.9", 5060) is None
    for number in range(MOST_PLACES + 1):
        places.learn("carrier.test", "192.0.2.29", 5060)
        places.learn("carrier.test.", "192.0.2.30", 10_000 + number)
        places.learn("carrier.test.", "192.0.2.30", 10_000 + number)
    assert places.bars("192.0.2.30", 10_000 + MOST_PLACES) is not None
    # At once, or a zone that changes for months would fill the memory.
    assert places.bars("192.0.2.30", 10_000) is None
    # One that is found again and again stays.
    assert places.bars("192.0.2.29", 5060) is not None
    # Another module's servers change: the places stay.
    places.replace("dispatcher", [guard("192.0.2.44")])
    assert places.bars("192.0.2.30", 10_000 + MOST_PLACES) is not None
    assert places.bars("192.0.2.30", 10_000) is None
    places.replace("lcr", [])
    assert places.bars("192.0.2.30", 10_001) is None
    assert places.active
    places.replace("dispatcher", [])
    assert not places.active


def test_both_ports_of_a_name() -> None:
    """RFC 3261 19.1.2: a gateway by name with port 5060 is not reached over TLS by its address either."""
    places = guarded(guard("pbx.test", 5060))
    places.learn("pbx.test", "192.0.2.31", 5060)
    assert places.bars("192.0.2.31", 5061) is not None
    places.replace("dispatcher", [guard("192.0.2.44")])
    assert places.bars("192.0.2.31", 5061) is not None
    assert places.bars("192.0.2.31", 5070) is None


def test_a_gateway_as_sender() -> None:
    """By its port over UDP, for a phone may be beside it; by its address over a connection."""
    places = guarded(guard("192.0.2.21"))
    for flow, sent in (
        (Flow("udp", 0, ("192.0.2.21", 5060)), True),
        (Flow("udp", 0, ("192.0.2.21", 40_000)), False),
        (Flow("tcp", 1, ("192.0.2.21", 40_000), 7), True),
        (Flow("tcp", 1, ("192.0.2.22", 40_000), 8), False),
        # Browsers behind an HTTP server on that machine.
        (Flow("ws", 1, ("192.0.2.21", 40_000), 9), False),
    ):
        assert places.sent(flow) is sent


def test_the_event() -> None:
    """The log names who, where, what and the setting."""
    events: list[Any] = []
    places = Guarded(Listeners(LISTENERS), events.append)
    places.refused(guard("192.0.2.21"), "192.0.2.1", "INVITE", "192.0.2.21", 5060)
    assert events == [
        DestinationRefused("192.0.2.1", "INVITE", "192.0.2.21:5060", "gateway 192.0.2.21", "lcr.direct")
    ]


@pytest.mark.parametrize(
    ("host", "port", "barred"),
    [
        ("192.0.2.77", 5060, True),
        ("192.0.2.77", 5061, True),
        ("::ffff:192.0.2.77", 5060, True),
        ("192.0.2.77", 5070, False),
        ("192.0.64.1", 5060, False),
        ("2001:db8:7::1", 5060, True),
        ("2001:db9::1", 5060, False),
    ],
)
def test_networks(host: str, port: int, barred: bool) -> None:
    """A carrier's network of any size costs one comparison; its other ports are not its gateways'."""
    networks = [
        Guard(one, 5060, one, "upstream.direct", network=True) for one in ("192.0.0.0/18", "2001:db8::/32")
    ]
    places = guarded(*networks)
    assert (places.bars(host, port) is not None) is barred
    hop = next_hop(uri(f"sip:[{host}]:{port}" if ":" in host else f"sip:{host}:{port}"))
    assert places.beside(hop) is ("64.1" not in host and "db9" not in host)
    assert places.sent(Flow("udp", 0, (host, port))) is barred
    places.replace("lcr", [])
    assert not places.active
    assert places.bars(host, port) is None
