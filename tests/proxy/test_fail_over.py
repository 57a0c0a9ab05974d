"""Several flows of one phone (RFC 5626 7): one at a time, the next where one failed, at once."""

from __future__ import annotations

from typing import Any

from sansip import ListenerConfig
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer
from tests.rig import ALICE, HOST, TCP, UDP, Out, Rig, ack, only, reply, request, sent, what, within

WS = 7
LISTENERS = (
    ListenerConfig(UDP, "udp", HOST, 5060),
    ListenerConfig(TCP, "tcp", HOST, 5060),
    ListenerConfig(WS, "ws", HOST, 80),
)
UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
SOURCES = [("203.0.113.5", 40_000 + number) for number in range(4)]


class Phone:
    """One device with several flows, each over a connection or a NAT's mapping of its own."""

    def __init__(self, rig: Rig, transport: str = "tcp", instance: str = UUID, user: str = "bob") -> None:
        self.rig = rig
        self.transport = transport
        self.instance = instance
        self.user = user
        self.contact = f"sip:{user}@10.0.0.5:5060"
        if transport == "ws":
            self.contact = f"sip:{user}@b3.invalid;transport=ws"
        elif transport == "tcp":
            self.contact += ";transport=tcp"

    def flow(self, number: int, reg_id: bool = True, headers: Any = ()) -> int:
        """Register flow ``number``; return its connection, 0 for datagrams."""
        source = SOURCES[number]
        listener = {"tcp": TCP, "ws": WS, "udp": UDP}[self.transport]
        conn = 0 if self.transport == "udp" else self.rig.accept(source, listener, self.transport)
        mark = f";reg-id={number}" if reg_id else ""
        aor = f"<sip:{self.user}@biloxi.test>"
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            via=f"SIP/2.0/{self.transport.upper()} 10.0.0.5;branch=z9hG4bKr{number}{self.user}",
            sender=aor,
            to=aor,
            call_id=f"{self.user}{number}",
            headers=[
                ("Supported", "path, outbound"),
                ("Contact", f'<{self.contact}>;+sip.instance="<{self.instance}>"{mark}'),
                *headers,
            ],
        )
        outs = self.send(number, conn, data)
        assert what(outs) == ["200"]
        self.rig.now += 1
        return conn

    def send(self, number: int, conn: int, data: bytes) -> list[Out]:
        if conn:
            return self.rig.tcp(conn, data, boundary=self.transport == "ws")
        return self.rig.udp(data, SOURCES[number])


def rig(**options: Any) -> Rig:
    return Rig(listeners=LISTENERS, **options)


def call(bench: Rig, **options: Any) -> list[Out]:
    return bench.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")], **options))


def test_one_flow_at_a_time() -> None:
    """RFC 5626 7: the target set has one contact of an instance, the one refreshed last."""
    bench = rig()
    phone = Phone(bench)
    phone.flow(1)
    last = phone.flow(2)
    assert sent(call(bench))[1:] == [("INVITE", last)]


def test_two_phones_ring_both() -> None:
    """The rule is for flows of one device; others fork as ever."""
    bench = rig()
    one = Phone(bench).flow(1)
    other = Phone(bench, instance="urn:uuid:1").flow(2)
    assert sorted(sent(call(bench))[1:]) == [("INVITE", one), ("INVITE", other)]


def test_a_connection_that_dies_before_it_rings() -> None:
    """The next flow is tried in the same instant, and the caller hears nothing of the first."""
    bench = rig()
    phone = Phone(bench)
    first = phone.flow(1)
    last = phone.flow(2)
    invite = only(call(bench), "INVITE")
    again = only(bench.closed(last), "INVITE")
    assert (again.to, bench.now) == (first, invite.time)
    outs = phone.send(1, first, reply(again, 200))
    assert sent(outs) == [("200", ALICE)]
    assert again.message.via.branch != invite.message.via.branch


def test_a_connection_that_dies_while_it_rings() -> None:
    """The phone has the INVITE, and answers from wherever it is then (RFC 3261 18.2.2).

    Over its other flow it would refuse it as one that it has got already (8.2.2.2).
    """
    bench = rig()
    phone = Phone(bench)
    first = phone.flow(1)
    last = phone.flow(2)
    invite = only(call(bench), "INVITE")
    phone.send(2, last, reply(invite, 180))
    assert bench.closed(last) == []
    assert sent(phone.send(1, first, reply(invite, 200))) == [("200", ALICE)]


def test_all_connections_die_while_it_rings() -> None:
    """One after the other: with the last one the phone is given up, without Timer C."""
    bench = rig()
    phone = Phone(bench)
    first = phone.flow(1)
    last = phone.flow(2)
    phone.send(2, last, reply(only(call(bench), "INVITE"), 180))
    assert bench.closed(last) == []
    assert sent(bench.closed(first)) == [("480", ALICE)]


def test_cancelled_over_the_other_flow() -> None:
    """RFC 3261 9.1: the phone that rings is told, over the flow that it has still."""
    bench = rig()
    phone = Phone(bench)
    first = phone.flow(1)
    last = phone.flow(2)
    phone.send(2, last, reply(only(call(bench), "INVITE"), 180))
    bench.closed(last)
    outs = bench.udp(within(request(), "CANCEL"))
    assert ("CANCEL", first) in sent(outs)


def test_datagrams_that_are_refused() -> None:
    """RFC 5626 7: an ICMP error is the end of a flow, too."""
    bench = rig()
    phone = Phone(bench, "udp")
    phone.flow(1)
    phone.flow(2)
    invite = only(call(bench), "INVITE")
    assert invite.to == SOURCES[2]
    assert sent(bench.failed(invite)) == [("INVITE", SOURCES[1])]


def test_all_flows_dead() -> None:
    """480, at once: nothing else leads to the phone, and 430 is no endpoint's to see (RFC 5626 11.5)."""
    bench = rig()
    phone = Phone(bench)
    conns = [phone.flow(number) for number in (1, 2, 3)]
    invite = only(call(bench), "INVITE")
    assert invite.to == conns[2]
    assert [out.to for out in bench.closed(conns[2])] == [conns[1]]
    assert [out.to for out in bench.closed(conns[1])] == [conns[0]]
    outs = bench.closed(conns[0])
    assert sent(outs) == [("480", ALICE)]
    bench.udp(ack(request(), outs[0]))
    bench.run_out(8000)
    assert bench.empty


def test_a_430_from_the_edge() -> None:
    """RFC 5626 7: the edge proxy says that the flow is gone; the next one of the same instance."""
    bench = rig(trusted=[TrustedPeer("192.0.2.9")])
    for number in (1, 2):
        headers = [
            ("Via", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKp"),
            ("Path", f"<sip:t{number}@192.0.2.9;lr;ob>"),
        ]
        via_edge(bench, number, headers)
    invite = only(call(bench), "INVITE")
    assert (invite.to, invite.message.get("route")) == (("192.0.2.9", 5060), "<sip:t2@192.0.2.9;lr;ob>")
    outs = bench.udp(reply(invite, 430), ("192.0.2.9", 5060))
    again = only(outs, "INVITE")
    assert (what(outs), again.message.get("route")) == (["ACK", "INVITE"], "<sip:t1@192.0.2.9;lr;ob>")
    assert sent(bench.udp(reply(again, 430), ("192.0.2.9", 5060))) == [
        ("ACK", ("192.0.2.9", 5060)),
        ("480", ALICE),
    ]


def via_edge(bench: Rig, number: int, headers: Any) -> None:
    aor = "<sip:bob@biloxi.test>"
    data = request(
        "REGISTER", "sip:biloxi.test", via=f"SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKe{number}",
        sender=aor, to=aor, call_id=f"edge{number}",
        headers=[*headers, ("Supported", "path, outbound"),
                 ("Contact", f'<sip:bob@10.0.0.5>;+sip.instance="<{UUID}>";reg-id={number}')],
    )  # fmt: skip
    assert what(bench.udp(data, ("192.0.2.9", 5060))) == ["200"]
    bench.now += 1


def test_an_answer_is_the_phones_answer() -> None:
    """RFC 5626 7: after another response than 408 and 430 no other flow of it is tried."""
    bench = rig()
    phone = Phone(bench)
    phone.flow(1)
    last = phone.flow(2)
    invite = only(call(bench), "INVITE")
    assert sent(phone.send(2, last, reply(invite, 486))) == [("ACK", last), ("486", ALICE)]


def test_silence_is_a_dead_flow() -> None:
    """RFC 5626 7: 408 as well as 430; a NAT that forgot its mapping says nothing, and 32 s are too long."""
    bench = rig()
    phone = Phone(bench, "udp")
    phone.flow(1)
    phone.flow(2)
    call(bench)
    since = bench.now
    first = next(out for out in bench.wait(33) if out.to == SOURCES[1])
    assert (first.what, first.time - since) == ("INVITE", bench.stack.config.proxy.failover_time)
    assert sent(phone.send(1, 0, reply(first, 200))) == [("200", ALICE)]


def test_the_only_flow_has_all_the_time() -> None:
    """Where there is no other the phone may be slow: RFC 3261 17.1.1.2."""
    bench = rig()
    Phone(bench, "udp").flow(1)
    call(bench)
    outs = bench.wait(33)
    assert {out.to for out in outs if out.what == "INVITE"} == {SOURCES[1]}
    assert outs[-1].what == "408"


def test_a_cancelled_call_goes_nowhere_else() -> None:
    """RFC 3261 16.10."""
    bench = rig()
    phone = Phone(bench)
    phone.flow(1)
    last = phone.flow(2)
    call(bench)
    bench.udp(request("CANCEL"))
    assert sent(bench.closed(last)) == [("487", ALICE)]


def test_a_phone_that_was_restarted() -> None:
    """RFC 5627 6.1: contacts of one instance without flows: the one refreshed last, then those before."""
    bench = rig()
    phone = Phone(bench)
    phone.contact = "sip:bob@10.0.0.5:4000;transport=tcp"
    old = phone.flow(1, reg_id=False)
    phone.contact = "sip:bob@10.0.0.5:4001;transport=tcp"
    new = phone.flow(2, reg_id=False)
    invite = only(call(bench), "INVITE")
    assert invite.to == new
    assert sent(bench.closed(new)) == [("INVITE", old)]


def test_a_browser_with_two_flows() -> None:
    """One WebSocket dies before the call: it is not even tried, and the caller does not wait."""
    bench = rig()
    phone = Phone(bench, "ws")
    first = phone.flow(1)
    bench.closed(phone.flow(2))
    assert sent(call(bench))[1:] == [("INVITE", first)]


def test_a_flow_that_falls_silent() -> None:
    """RFC 5626 5.4: the phone was told how often to send keepalives, and more than that went by."""
    bench = rig(registrar=RegistrarConfig(flow_timer=120))
    phone = Phone(bench)
    conn = phone.flow(1)
    for _ in range(3):
        bench.wait(100)
        # RFC 5626 4.4.1
        assert what(bench.tcp(conn, b"\r\n\r\n")) == ["b'\\r\\n'"]
    heard = bench.now
    call(bench)
    # Our sends say nothing about their arrival.
    (closed,) = [out for out in bench.wait(400) if out.what == "Disconnect"]
    assert 150 <= closed.time - heard <= 190
    bench.closed(conn)
    assert what(call(bench, call_id="2", branch="z9hG4bK2")) == ["404"]


def test_who_was_told_nothing_may_be_silent() -> None:
    """Without Flow-Timer in the answer it is limits.connection_idle; a WebSocket is asked by pings."""
    bench = rig(registrar=RegistrarConfig(flow_timer=120))
    Phone(bench).flow(1, reg_id=False)
    Phone(bench, "ws", "urn:uuid:2").flow(2)
    assert bench.wait(1000) == []
