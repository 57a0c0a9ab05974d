"""The ways of octets to and from phones on connections are those of the long way."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.shapes import SHAPES, Phone, Shape, played
from sansip import ListenerConfig, Stack, StackConfig
from sansip.location import Binding
from sansip.routing import stream_ways
from sansip.routing.stream_ways import StreamWays, hop_of, way_back
from sansip.transport import Flow
from sansip.transport.next_hop import next_hop
from sansip.transport.via import response_flow
from sansip.wire import SipUri, Via
from sansip.wire.headers.via import parse_via
from sansip.wire.uri import parse_uri


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("port", ["", ":5061", ":40000"])
def test_answers_go_where_the_via_says(transport: str, port: str) -> None:
    """RFC 3261 18.2.2: by the connection, and a new one goes to the port in Via."""
    conn = 0 if transport == "udp" else 7
    flow = Flow(transport, 1, ("192.0.2.1", 40000), conn)
    via: Via = parse_via(f"SIP/2.0/X 192.0.2.1{port};branch=z9hG4bKa;rport=40000")
    back, expected = way_back(flow, via.port), response_flow(via, flow)
    assert repr(back) == repr(expected)


@pytest.mark.parametrize(
    ("uri", "way"),
    [
        ("sip:b@192.0.2.2;transport=tcp", ("tcp", ("192.0.2.2", 5060))),
        ("sip:b@192.0.2.2:5062;transport=tcp", ("tcp", ("192.0.2.2", 5062))),
        ("sip:b@192.0.2.2;transport=TLS", ("tls", ("192.0.2.2", 5061))),
        ("sip:b@192.0.2.2", None),
        ("sip:b@192.0.2.2;transport=udp", None),
        ("sip:b@192.0.2.2;transport=ws", None),
        ("sip:b@192.0.2.2;transport=sctp", None),
        ("sip:b@192.0.2.2;transport=x", None),
        ("sip:b@192.0.2.2;transport=tcp;maddr=192.0.2.9", None),
        ("sip:b@phone.test;transport=tcp", None),
        ("sip:b@[2001:db8::2];transport=tcp", None),
    ],
)
def test_a_uri_that_chooses_a_connection(uri: str, way: Any) -> None:
    """RFC 3263 4.1: to an address of IPv4; names and others are looked up on the long way."""
    kinds = enumerate(("udp", "tcp", "tls"))
    stack = Stack(
        StackConfig([ListenerConfig(n, kind, "192.0.2.99", 5060 + n) for n, kind in kinds]), b"s" * 16
    )
    parsed = parse_uri(uri)
    assert isinstance(parsed, SipUri)
    ways = StreamWays(stack)
    for flow in (hop_of(stack, parsed, 0), ways.hop(uri, 0), ways.hop(uri, 0)):
        if way is None:
            assert flow is None
        else:
            assert flow is not None
            assert (flow.transport, flow.address) == way
            hop = next_hop(parsed)
            assert way == (hop.transport, (hop.host, hop.port))


def test_what_is_remembered_is_bounded() -> None:
    """A stranger who sends a new URI each time, or one as long as may be, costs no more memory."""
    stack = Stack(StackConfig([ListenerConfig(0, "tcp", "192.0.2.99", 5060)]), b"s" * 16)
    ways = StreamWays(stack)
    for number in range(stream_ways._KEPT + 9):
        assert ways.hop(f"sip:{number}@192.0.2.2;transport=tcp", 0) is not None
        assert len(ways._places) <= stream_ways._KEPT
    assert len(ways._places) == 9
    assert ways.hop(f"sip:{'b' * 200}@192.0.2.2;transport=tcp", 0) is not None
    assert len(ways._places) == 9
    for user in ("b", "b" * 200):
        contact = f"sip:{user}@192.0.2.2;transport=tcp"
        bound = Binding("sip:b@test", contact, 99.0, "c", 1, None, 0.0, 0.0)
        way = ways.of(bound, 0)
        assert way is not None
        assert way.text == contact
    assert len(ways._asked) == 1


NAT, HOME = ("198.51.100.9", 40000), ("10.0.0.7", 5060)


def by_tcp(user: str, source: tuple[str, int], local: tuple[str, int]) -> Phone:
    return Phone(user, source, local, uri=";transport=tcp", tcp=True)


@pytest.mark.parametrize(
    "shape",
    [
        *[shape for shape in SHAPES if "TCP" in shape.name],
        Shape("both", by_tcp("alice", NAT, HOME), by_tcp("bob", ("198.51.100.8", 40001), HOME)),
        Shape("both, passwords", by_tcp("alice", NAT, HOME), by_tcp("bob", NAT, HOME), passwords=True),
    ],
    ids=lambda shape: shape.name,
)
def test_all_of_a_call_passes(shape: Shape) -> None:
    """Also where a NAT is in between, and with passwords; but for a first challenge of a registrar."""
    rode = played(shape)
    assert [name for name, rides in rode if not rides] == []
