"""Phones that only their connection leads to: WebSocket (RFC 7118 5), TLS and TCP behind NATs (RFC 5626)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from tests.rig import ALICE, HOST, UDP, Out, Rig, only, reply, request, sent, what

WS, WSS, TLS, TCP = 1, 2, 3, 4
LISTENERS = (
    ListenerConfig(UDP, "udp", HOST, 5060),
    ListenerConfig(WS, "ws", HOST, 80),
    ListenerConfig(WSS, "wss", HOST, 443),
    ListenerConfig(TLS, "tls", HOST, 5061),
    ListenerConfig(TCP, "tcp", HOST, 5060),
)
NAT = ("203.0.113.5", 40_000)
CONTACTS = {
    "ws": "sip:bob@b3.invalid;transport=ws",
    "wss": "sip:bob@b3.invalid;transport=ws",
    "tls": "sip:bob@10.0.0.5:5061;transport=tls",
    "tcp": "sip:bob@10.0.0.5:5060;transport=tcp",
}
NUMBERS = {"ws": WS, "wss": WSS, "tls": TLS, "tcp": TCP}
ALICE_CONTACT = [("Contact", "<sip:alice@192.0.2.1>")]


class Phone:
    """A phone at the other end of a connection."""

    def __init__(self, rig: Rig, transport: str, name: str = "bob", source: Any = NAT) -> None:
        self.rig = rig
        self.transport = transport
        self.name = name
        self.contact = CONTACTS[transport].replace("bob@", f"{name}@")
        self.conn = rig.accept(source, NUMBERS[transport], transport)

    def send(self, data: bytes) -> list[Out]:
        return self.rig.tcp(self.conn, data, boundary=self.transport.startswith("ws"))

    def request(self, method: str, uri: str, branch: str, **options: Any) -> list[Out]:
        via = f"SIP/2.0/{self.transport.upper()} {self.name}.invalid;branch=z9hG4bK{self.name}{branch}"
        headers = [("Contact", f"<{self.contact}>"), *options.pop("headers", [])]
        return self.send(request(method, uri, via=via, headers=headers, **options))

    def register(self) -> None:
        aor = f"<sip:{self.name}@biloxi.test>"
        outs = self.request("REGISTER", "sip:biloxi.test", "r", sender=aor, to=aor, call_id=self.name)
        assert sent(outs) == [("200", self.conn)]


def rig(**options: Any) -> Rig:
    return Rig(listeners=LISTENERS, **options)


def called(transport: str) -> tuple[Rig, Phone, Out]:
    """Alice, on UDP, has called a phone on ``transport``, and it has answered."""
    bench = rig()
    bob = Phone(bench, transport)
    bob.register()
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    assert invite.to == bob.conn
    answer = reply(invite, 200, headers=[("Contact", f"<{bob.contact}>")])
    assert sent(bob.send(answer)) == [("200", ALICE)]
    return bench, bob, invite


@pytest.mark.parametrize("transport", CONTACTS)
def test_the_caller_reaches_it_within_the_dialog(transport: str) -> None:
    """Two values: ours for each side, the phone's with the token of its connection (RFC 5626 5.2)."""
    bench, bob, invite = called(transport)
    top, bottom = invite.message.values("record-route")
    assert top.startswith("<sip:f-")
    named = "ws" if transport == "wss" else transport
    assert f"@{HOST}:{LISTENERS[NUMBERS[transport]].port};transport={named};lr" in top
    assert bottom.startswith(f"<sip:{HOST}:5060;lr")
    assert invite.message.via.transport == transport.upper()
    route = bench.route()
    for method in ("ACK", "INFO"):
        out = only(
            bench.udp(
                request(method, bob.contact, branch=f"z9hG4bK{method}", to_tag="bob", cseq=2,
                        headers=[("Route", route)])
            ),
            method,
        )  # fmt: skip
        assert (out.to, out.message.has("route"), out.message.uri_text) == (bob.conn, False, bob.contact)
    # RFC 3261 16.12.1.1 with strict routing: our value comes as the Request-URI.
    strict = request("INFO", route.rpartition("<")[2].strip(">"), branch="z9hG4bKs", to_tag="bob", cseq=3,
                     headers=[("Route", f"<{bob.contact}>")])  # fmt: skip
    assert only(bench.udp(strict), "INFO").to == bob.conn


@pytest.mark.parametrize("transport", CONTACTS)
def test_it_reaches_the_caller(transport: str) -> None:
    """RFC 5626 5.3: a token of the flow that the request came over is no direction."""
    _, bob, invite = called(transport)
    route = ", ".join(invite.message.values("record-route"))
    outs = bob.request("BYE", "sip:alice@192.0.2.1", "bye", to_tag="alice", from_tag="bob",
                       headers=[("Route", route)])  # fmt: skip
    bye = only(outs, "BYE")
    assert (bye.to, bye.message.has("route")) == (ALICE, False)


@pytest.mark.parametrize(("one", "other"), [("ws", "ws"), ("wss", "wss"), ("ws", "tls"), ("tls", "tls")])
def test_both_sides_are_such_phones(one: str, other: str) -> None:
    """Two values and two tokens, even where both came to the same listener."""
    bench = rig()
    carol = Phone(bench, one, "carol", ("203.0.113.6", 40_001))
    bob = Phone(bench, other)
    bob.register()
    invite = only(carol.request("INVITE", "sip:bob@biloxi.test", "i"), "INVITE")
    assert invite.to == bob.conn
    bob.send(reply(invite, 200, headers=[("Contact", f"<{bob.contact}>")]))
    values = invite.message.values("record-route")
    assert [value.startswith("<sip:f-") for value in values] == [True, True]
    route = [("Route", bench.route())]
    out = only(carol.request("INFO", bob.contact, "x", to_tag="bob", cseq=2, headers=route), "INFO")
    assert out.to == bob.conn
    route = [("Route", ", ".join(values))]
    out = only(bob.request("INFO", carol.contact, "y", to_tag="alice", from_tag="bob", headers=route), "INFO")
    assert out.to == carol.conn


def test_a_phone_that_can_be_reached_needs_no_token() -> None:
    """Where the Contact is the connection's own address, RFC 3261 18.1.1 finds the connection."""
    bench = rig()
    bob = Phone(bench, "tcp")
    bob.contact = f"sip:bob@{NAT[0]}:{NAT[1]};transport=tcp"
    bob.register()
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    assert "f-" not in "".join(invite.message.values("record-route"))


def test_a_connection_that_is_gone_in_a_dialog() -> None:
    """RFC 5626 5.3.2: 430, at once."""
    bench, bob, _ = called("ws")
    bench.closed(bob.conn)
    route = bench.route()
    info = request("INFO", bob.contact, branch="z9hG4bKi", to_tag="bob", cseq=2, headers=[("Route", route)])
    assert sent(bench.udp(info)) == [("430", ALICE)]
    assert what(bench.wait(64)) == []


def test_a_connection_that_is_gone_before_a_call() -> None:
    """480 at once: no name server is asked for ``b3.invalid``, and the caller does not wait."""
    bench = Rig(listeners=LISTENERS, registrar=RegistrarConfig(lost_flow="keep"))
    bob = Phone(bench, "ws")
    bob.register()
    bench.closed(bob.conn)
    assert sent(bench.udp(request())) == [("100", ALICE), ("480", ALICE)]
    assert bench.asks == []
    bench = rig()
    bob = Phone(bench, "ws")
    bob.register()
    bench.closed(bob.conn)
    assert sent(bench.udp(request())) == [("404", ALICE)]


def test_a_connection_that_dies_during_a_call() -> None:
    """The call goes on to the second flow without waiting for a timeout (RFC 5626 4.3)."""
    bench = rig()
    first = Phone(bench, "wss")
    first.contact = "sip:bob@first.invalid;transport=ws"
    first.register()
    second = Phone(bench, "ws", source=("203.0.113.9", 40_009))
    second.register()
    outs = bench.udp(request(headers=ALICE_CONTACT))
    assert sorted(out.to for out in outs if out.what == "INVITE") == [first.conn, second.conn]
    assert what(bench.closed(first.conn)) == []
    invite = next(out for out in outs if out.to == second.conn)
    assert sent(second.send(reply(invite, 200))) == [("200", ALICE)]


def test_tokens_of_others_lead_nowhere() -> None:
    """No stranger can write a token: one of another call, or a made-up one, is a user like any other."""
    bench, bob, invite = called("ws")
    forged = invite.message.values("record-route")[0].replace("<sip:f-", "<sip:f-0", 1)
    for route in (forged, f"<sip:f-{'0' * 32}@{HOST}:80;transport=ws;lr>"):
        outs = bench.udp(
            request("INFO", bob.contact, branch=f"z9hG4bK{len(route)}", to_tag="bob", cseq=2,
                    headers=[("Route", route)])
        )  # fmt: skip
        assert [out for out in outs if out.to == bob.conn] == []


def test_websocket_clients_are_never_connected_to() -> None:
    """RFC 7118 5.2.1: a ws URI with a real address is no exception."""

    def route(incoming: Any) -> None:
        incoming.relay("sip:bob@192.0.2.7:8080;transport=ws")

    bench = Rig(route, listeners=LISTENERS)
    outs = bench.udp(request())
    assert "Connect" not in what(outs)
    assert outs[-1].what == "480"


def test_a_response_to_a_closed_websocket_is_dropped() -> None:
    """RFC 3261 18.2.2 would open a connection to the sent-by, which is ``.invalid``."""
    bench = rig()
    carol = Phone(bench, "ws", "carol")
    bob = Phone(bench, "tls", source=("203.0.113.9", 40_009))
    bob.register()
    invite = only(carol.request("INVITE", "sip:bob@biloxi.test", "i"), "INVITE")
    bench.closed(carol.conn)
    assert "Connect" not in what(bob.send(reply(invite, 200)))


def test_sips_never_leads_to_a_sip_contact() -> None:
    """RFC 5630 5.3: 480 with Warning 380, even where the phone's connection is TLS."""
    bench = rig(proxy=ProxyConfig(plain_sips=True))
    bob = Phone(bench, "tls")
    bob.register()
    out = bench.udp(request(uri="sips:bob@biloxi.test"))[-1]
    assert (out.what, out.message.get("warning")) == ("480", '380 sansip "SIPS Not Allowed"')


def test_sips_leads_to_a_sips_contact_over_its_connection() -> None:
    """RFC 5630 5.2, 5.3: the Request-URI stays sips, and the way is TLS."""
    bench = rig()
    bob = Phone(bench, "tls")
    bob.contact = "sips:bob@10.0.0.5:5061"
    aor = "<sip:bob@biloxi.test>"
    outs = bob.request("REGISTER", "sips:biloxi.test", "r", sender=aor, to=aor, call_id="bob")
    assert what(outs) == ["200"]
    carol = Phone(bench, "tls", "carol", ("203.0.113.6", 40_001))
    carol.contact = "sips:carol@10.0.0.6:5061"
    invite = only(carol.request("INVITE", "sips:bob@biloxi.test", "i"), "INVITE")
    assert (invite.to, invite.message.uri_text) == (bob.conn, bob.contact)


def test_tls_connections_are_for_the_name_they_were_verified_for() -> None:
    """RFC 5922 7.3: one address behind two names is two connections; one name is one."""
    targets: list[str] = []
    bench = Rig(lambda incoming: incoming.relay(targets[-1]), listeners=LISTENERS)
    names = []
    for number, name in enumerate(("one.example", "two.example", "one.example")):
        targets.append(f"sip:x@{name};transport=tls")
        bench.udp(request("OPTIONS", branch=f"z9hG4bK{number}", call_id=f"c{number}"))
        outs = bench.answer([("192.0.2.7", 5061)])
        names += [out.action.name for out in outs if out.what == "Connect"]
    assert names == ["one.example", "two.example"]


def test_tcp_connections_are_for_an_address() -> None:
    """RFC 3261 18.1.1: nothing is verified there, so names share."""
    targets: list[str] = []
    bench = Rig(lambda incoming: incoming.relay(targets[-1]), listeners=LISTENERS)
    connects = 0
    for number, name in enumerate(("one.example", "two.example", "192.0.2.7")):
        targets.append(f"sip:x@{name};transport=tcp")
        outs = bench.udp(request("OPTIONS", branch=f"z9hG4bK{number}", call_id=f"c{number}"))
        if bench.asks:
            outs = bench.answer([("192.0.2.7", 5060)])
        connects += what(outs).count("Connect")
    assert connects == 1


def test_sips_never_goes_over_a_plain_connection() -> None:
    """RFC 3261 26.2.2: a phone that registered a sips Contact over TCP is reached by TLS, or not at all."""
    bench = rig(proxy=ProxyConfig(plain_sips=True))
    bob = Phone(bench, "tcp")
    bob.contact = "sips:bob@10.0.0.5:5061"
    aor = "<sip:bob@biloxi.test>"
    bob.request("REGISTER", "sips:biloxi.test", "r", sender=aor, to=aor, call_id="bob")
    carol = Phone(bench, "tls", "carol", ("203.0.113.6", 40_001))
    connect = only(carol.request("INVITE", "sips:bob@biloxi.test", "i"), "Connect")
    assert connect.action.transport == "tls"
