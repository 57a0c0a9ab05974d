"""RFC 3263 5: a response whose way back is gone goes where the Via's sent-by leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.routing import TrustedPeer
from sansip.transport.filter import OpenConnection
from tests.rig import Out, only, reply, request, sent, what
from tests.transport.dns.zone import World, Zone

LISTENERS = (
    ListenerConfig(0, "udp", "192.0.2.10", 5060),
    ListenerConfig(1, "tcp", "192.0.2.10", 5060),
)
CLUSTER = """
_sip._tcp.edge.test. 60 SRV 1 0 5070 a.edge.test.
_sip._tcp.edge.test. 60 SRV 2 0 5080 b.edge.test.
a.edge.test. 60 A 192.0.2.31
b.edge.test. 60 A 192.0.2.32
edge.test. 60 A 192.0.2.33
"""
CALLEE = ("192.0.2.2", 5060)


EDGE = TrustedPeer("192.0.2.30")


def world(trusted: Sequence[TrustedPeer] = (EDGE,)) -> World:
    def route(incoming: Any) -> None:
        incoming.relay(["sip:bob@192.0.2.2"])

    return World(Zone(CLUSTER), route, listeners=LISTENERS, trusted=list(trusted))


def over_tcp(bench: World, sent_by: str) -> Out:
    """A call over a connection that is closed before the answer comes; the last way tried."""
    conn = bench.accept(("192.0.2.30", 41_000))
    data = request(via=f"SIP/2.0/TCP {sent_by};branch=z9hG4bKa1")
    forwarded = only(bench.tcp(conn, data), "INVITE")
    bench.closed(conn)
    # RFC 3261 18.2.2: first a connection to the source address.
    first = only(bench.udp(reply(forwarded, 200), CALLEE), "Connect")
    assert first.to[0] == "192.0.2.30"
    return first


def test_a_domain_with_srv_records() -> None:
    """RFC 3263 5: a name without a port; each server in turn until one takes it."""
    bench = world()
    first = only(bench.closed(over_tcp(bench, "edge.test"), "connection refused"), "Connect")
    assert first.to == ("192.0.2.31", 5070)
    second = only(bench.closed(first, "connection refused"), "Connect")
    assert second.to == ("192.0.2.32", 5080)
    assert what(bench.opened(second)) == ["200"]


def test_a_host_with_a_port() -> None:
    """RFC 3263 5: a name with a port has addresses only."""
    bench = world()
    outs = bench.closed(over_tcp(bench, "edge.test:5099"), "connection refused")
    assert only(outs, "Connect").to == ("192.0.2.33", 5099)
    assert "_sip._tcp.edge.test SRV" not in bench.queries


def test_an_address() -> None:
    """RFC 3263 5: a numeric sent-by is tried as it is, once."""
    bench = world()
    backup = only(bench.closed(over_tcp(bench, "192.0.2.39"), "connection refused"), "Connect")
    assert backup.to == ("192.0.2.39", 5060)
    assert what(bench.closed(backup, "connection refused")) == []
    assert bench.queries == []


@pytest.mark.parametrize("sent_by", ["edge.test", "edge.test:5099", "192.0.2.39:6379"])
def test_a_stranger_has_nobody_else_answered(sent_by: str) -> None:
    """RFC 3261 26.1.5: neither a connection to that host, nor a question to that one's name servers."""
    bench = world(trusted=())
    assert what(bench.closed(over_tcp(bench, sent_by), "connection refused")) == []
    assert bench.queries == []
    data = request(via=f"SIP/2.0/UDP {sent_by};branch=z9hG4bKa2;rport", call_id="2")
    forwarded = only(bench.udp(data, ("192.0.2.30", 40_000)), "INVITE")
    answer = only(bench.udp(reply(forwarded, 200), CALLEE), "200")
    assert bench.failed(answer) == []
    assert bench.queries == []


def test_whose_certificate_names_its_sent_by() -> None:
    """RFC 5922 7.4: a member of a cluster that proved its domain is answered by another one."""
    listeners = (*LISTENERS, ListenerConfig(2, "tls", "192.0.2.10", 5061))
    zone = Zone(CLUSTER.replace("_sip._tcp", "_sips._tcp"))
    bench = World(zone, world().stack.route, listeners=listeners)
    for identities in ((), ("edge.test",)):
        conn = bench.stack.new_connection()
        info = OpenConnection(2, "tls", ("192.0.2.10", 5061), ("192.0.2.30", 41_000), True)
        info.identities = identities
        bench.take(bench.stack.connection_opened(conn, info, bench.now))
        data = request(via=f"SIP/2.0/TLS edge.test;branch=z9hG4bK{len(identities)}")
        forwarded = only(bench.tcp(conn, data), "INVITE")
        bench.closed(conn)
        first = only(bench.udp(reply(forwarded, 200), CALLEE), "Connect")
        outs = bench.closed(first, "connection refused")
        assert sent(outs) == ([("Connect", ("192.0.2.31", 5070))] if identities else [])


def test_no_other_way() -> None:
    """Where sent-by is what failed already, or leads nowhere, the transaction is told, and ends."""
    for sent_by in ("192.0.2.30", "nowhere.test", "nowhere.test:5060"):
        bench = world()
        assert what(bench.closed(over_tcp(bench, sent_by), "connection refused")) == []
        bench.run_out()
        assert bench.empty


def test_while_the_name_is_looked_up_what_is_sent_is_the_latest() -> None:
    """A 180 that cannot be sent and a 200 that follows: the 200 goes out, once."""
    bench = world()
    conn = bench.accept(("192.0.2.30", 41_000))
    data = request(via="SIP/2.0/TCP edge.test:5099;branch=z9hG4bKa1")
    forwarded = only(bench.tcp(conn, data), "INVITE")
    bench.closed(conn)
    bench.automatic = False
    first = only(bench.udp(reply(forwarded, 180), CALLEE), "Connect")
    assert what(bench.closed(first, "connection refused")) == []
    again = only(bench.udp(reply(forwarded, 200), CALLEE), "Connect")
    bench.closed(again, "connection refused")
    for sock, query in list(bench.sent_queries):
        found = bench.zone.reply(query)
        assert found is not None
        bench.udp(found.to_wire(), bench.sockets.get(sock, ("", 0)), sock)
    connect = [out for out in bench.log if out.what == "Connect"][-1]
    assert connect.to == ("192.0.2.33", 5099)
    assert what(bench.opened(connect)) == ["200"]


def test_icmp_on_udp() -> None:
    """RFC 3263 5: a fatal error for the source address leads to sent-by, where that is another."""
    bench = world()
    data = request(via="SIP/2.0/UDP 192.0.2.40:5077;branch=z9hG4bKa1;rport")
    forwarded = only(bench.udp(data, ("192.0.2.30", 40_000)), "INVITE")
    answer = only(bench.udp(reply(forwarded, 486), CALLEE), "486")
    assert answer.to == ("192.0.2.30", 40_000)
    again = bench.failed(answer)
    assert sent(again) == [("486", ("192.0.2.40", 5077))]
    # And no further: that was the last.
    assert what(bench.failed(again[0])) == []


def test_a_websocket_cannot_be_connected_to() -> None:
    """RFC 7118 5.2: there is no other way to a browser."""
    bench = World(
        Zone(CLUSTER),
        world().stack.route,
        listeners=(*LISTENERS, ListenerConfig(2, "ws", "192.0.2.10", 80)),
        trusted=[EDGE],
    )
    conn = bench.accept(("192.0.2.30", 41_000), 2, "ws")
    data = request(via="SIP/2.0/WS edge.test;branch=z9hG4bKa1")
    forwarded = only(bench.tcp(conn, data, boundary=True), "INVITE")
    bench.closed(conn)
    assert "Connect" not in what(bench.udp(reply(forwarded, 200), CALLEE))
    bench.run_out()
    assert bench.empty


def test_a_2xx_takes_the_new_way_when_it_is_repeated() -> None:
    """RFC 6026 7.1: it is not kept here, so the callee's next copy goes to sent-by."""
    bench = world()
    data = request(via="SIP/2.0/UDP 192.0.2.40:5077;branch=z9hG4bKa1;rport")
    forwarded = only(bench.udp(data, ("192.0.2.30", 40_000)), "INVITE")
    ok = reply(forwarded, 200, body=b"v=0\r\n" * 20)
    answer = only(bench.udp(ok, CALLEE), "200")
    assert what(bench.failed(answer)) == []
    assert only(bench.udp(ok, CALLEE), "200").to == ("192.0.2.40", 5077)
