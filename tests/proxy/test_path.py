"""An edge proxy in front of a registrar: two stacks, the example's route, phones (RFC 5626 5, RFC 3327)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer
from sansip_server.routes import load_route
from tests.rig import ALICE, HOST, TCP, UDP, Out, Rig, only, reply, request, sent, what

EXAMPLE = Path(__file__).parents[2] / "examples" / "routes" / "edge.py"
WS, TLS = 7, 8
EDGE, HOME = (HOST, 5060), ("127.0.0.1", 5080)
PHONE = ("203.0.113.5", 40_000)
UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
FLOW = f';+sip.instance="<{UUID}>";reg-id=1'
AOR = "<sip:bob@biloxi.test>"
CONTACTS = {
    "udp": "sip:bob@10.0.0.5:5060",
    "tcp": "sip:bob@10.0.0.5:5060;transport=tcp",
    "ws": "sip:bob@b3.invalid;transport=ws",
}
NUMBERS = {"udp": UDP, "tcp": TCP, "ws": WS}


class Pair:
    """The edge, and the registrar that it passes everything on to."""

    def __init__(self, **options: Any) -> None:
        edge = (
            ListenerConfig(UDP, "udp", HOST, 5060),
            ListenerConfig(TCP, "tcp", HOST, 5060),
            ListenerConfig(WS, "ws", HOST, 80),
        )
        # Large requests go over UDP here as well: one connection less to play.
        proxy = ProxyConfig(tcp_above=0)
        # The registrar has the tokens of our Path, and no others are believed.
        trusted = [TrustedPeer(HOME[0])]
        self.edge = Rig(load_route(EXAMPLE), listeners=edge, proxy=proxy, trusted=trusted, **options)
        home = (ListenerConfig(UDP, "udp", HOME[0], HOME[1]),)
        self.home = Rig(listeners=home, proxy=proxy, trusted=[TrustedPeer(HOST)])

    def settle(self, outs: list[Out], from_edge: bool = True) -> list[Out]:
        """Carry messages between the two; return those that go elsewhere."""
        elsewhere = []
        pending = [(from_edge, out) for out in outs]
        while pending:
            from_it, out = pending.pop(0)
            if from_it and out.to == HOME:
                pending += [(False, one) for one in self.home.udp(out.data, EDGE)]
            elif not from_it and out.to == EDGE:
                pending += [(True, one) for one in self.edge.udp(out.data, HOME)]
            else:
                elsewhere.append(out)
        return elsewhere

    def at_edge(self, data: bytes, source: Any) -> list[Out]:
        return self.settle(self.edge.udp(data, source))

    def at_home(self, data: bytes, source: Any = ALICE) -> list[Out]:
        return self.settle(self.home.udp(data, source), False)


class Phone:
    """Bob's, connected to the edge."""

    def __init__(self, pair: Pair, transport: str) -> None:
        self.pair, self.transport = pair, transport
        self.conn = 0
        if transport != "udp":
            self.conn = pair.edge.accept(PHONE, NUMBERS[transport], transport)
        self.contact = CONTACTS[transport]
        self.at: Any = self.conn or PHONE

    def send(self, data: bytes) -> list[Out]:
        edge = self.pair.edge
        if self.conn:
            return self.pair.settle(edge.tcp(self.conn, data, boundary=self.transport == "ws"))
        return self.pair.settle(edge.udp(data, PHONE))

    def request(self, method: str, uri: str, branch: str, **options: Any) -> list[Out]:
        via = f"SIP/2.0/{self.transport.upper()} bob.invalid;branch=z9hG4bK{branch};rport"
        return self.send(request(method, uri, via=via, **options))

    def register(self, params: str = FLOW, branch: str = "r", **options: Any) -> Out:
        headers = [("Contact", f"<{self.contact}>{params}"), ("Supported", "path, outbound, gruu")]
        outs = self.request("REGISTER", "sip:biloxi.test", branch, sender=AOR, to=AOR, headers=headers,
                            call_id="bob", **options)  # fmt: skip
        (answer,) = outs
        assert answer.to == self.at
        return answer


@pytest.mark.parametrize("transport", CONTACTS)
def test_register_and_call(transport: str) -> None:
    """The whole of RFC 5626 9.2 to 9.5: register, be called, speak from both sides, hang up."""
    pair = Pair()
    phone = Phone(pair, transport)
    answer = phone.register()
    assert (answer.what, answer.message.get("require")) == ("200", "outbound")
    # RFC 5626 5.1: a flow token and ob, and where the registrar finds us.
    path = answer.message.get("path")
    assert path.startswith("<sip:f-")
    assert path.endswith(f"@{HOST}:5060;lr;ob>")
    outs = pair.at_home(request(headers=[("Contact", "<sip:alice@192.0.2.1>")]))
    invite = only(outs, "INVITE")
    assert (invite.to, invite.message.uri_text, invite.message.has("route")) == (
        phone.at, phone.contact, False,
    )  # fmt: skip
    recorded = invite.message.values("record-route")
    (answer,) = phone.send(reply(invite, 200, headers=[("Contact", f"<{phone.contact}>")]))
    assert sent([answer]) == [("200", ALICE)]
    route = ", ".join(reversed(answer.message.values("record-route")))
    for method in ("ACK", "INFO"):
        inwards = request(method, phone.contact, branch=f"z9hG4bK{method}", to_tag="bob", cseq=2,
                          headers=[("Route", route)])  # fmt: skip
        assert sent(pair.at_home(inwards)) == [(method, phone.at)]
    outs = phone.request("BYE", "sip:alice@192.0.2.1", "bye", to_tag="alice", from_tag="bob",
                         headers=[("Route", ", ".join(recorded))])  # fmt: skip
    assert sent(outs) == [("BYE", ALICE)]


def test_the_phone_calls() -> None:
    """RFC 5626 5.3.2: a request within the dialog finds the phone, whose Contact leads nowhere."""
    pair = Pair()
    phone = Phone(pair, "ws")
    phone.register()
    pair.home.register("sip:alice@192.0.2.1", ALICE, "sip:alice@biloxi.test")
    outs = phone.request("INVITE", "sip:alice@biloxi.test", "i", sender=AOR, to="<sip:alice@biloxi.test>",
                         headers=[("Contact", f"<{phone.contact};ob>")])  # fmt: skip
    invite = only(outs, "INVITE")
    assert invite.to == ALICE
    assert sent(pair.at_home(reply(invite, 200))) == [("200", phone.at)]
    bye = request("BYE", f"{phone.contact};ob", branch="z9hG4bKbye", to_tag="alice", from_tag="bob",
                  headers=[("Route", ", ".join(invite.message.values("record-route")))])  # fmt: skip
    assert sent(pair.at_home(bye)) == [("BYE", phone.at)]


def test_the_edge_says_that_the_flow_is_gone() -> None:
    """RFC 5626 5.3.1 and 7: 430 from the edge, 480 for the caller, and no second attempt."""
    pair = Pair()
    phone = Phone(pair, "tcp")
    phone.register()
    pair.edge.closed(phone.conn)
    assert what(pair.at_home(request())) == ["100", "480"]
    assert what(pair.at_home(request(branch="z9hG4bK2", call_id="2"))) == ["404"]


def test_two_edges_are_two_ways() -> None:
    """RFC 5626 3.4: the flow through one fails, the other rings at once."""
    pair = Pair()
    first, second = Phone(pair, "tcp"), Phone(pair, "ws")
    first.register()
    pair.home.now += 1
    second.register(FLOW.replace("=1", "=2"), "r2", cseq=2)
    pair.edge.closed(second.conn)
    assert sent(pair.at_home(request()))[1:] == [("INVITE", first.at)]


def test_a_phone_that_knows_nothing_of_flows() -> None:
    """RFC 3327 5.2: it is reached by our Path all the same, but without ob."""
    pair = Pair()
    phone = Phone(pair, "udp")
    path = phone.register("").message.get("path")
    assert path.startswith("<sip:f-")
    assert path.endswith(";lr>")
    assert only(pair.at_home(request()), "INVITE").to == PHONE


def test_behind_another_proxy() -> None:
    """RFC 5626 5.1: not the first hop, so no ob, and no token: 439 for a phone that relies on it."""
    pair = Pair()
    headers = [("Via", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKp"), ("Contact", f"<sip:bob@10.0.0.5>{FLOW}"),
               ("Supported", "path, outbound")]  # fmt: skip
    data = request("REGISTER", "sip:biloxi.test", source=ALICE, sender=AOR, to=AOR, headers=headers)
    assert what(pair.at_edge(data, ALICE)) == ["439"]
    data = data.replace(b"path, outbound", b"path").replace(b"z9hG4bKa1", b"z9hG4bKa2")
    (answer,) = pair.at_edge(data, ALICE)
    assert (answer.what, answer.message.get("path")) == ("200", f"<sip:{HOST}:5060;lr>")


def test_the_flow_timer() -> None:
    """RFC 5626 5.4: the last proxy on the way may tell it, where the registrar did flows."""
    pair = Pair(registrar=RegistrarConfig(flow_timer=90))
    phone = Phone(pair, "tcp")
    assert phone.register().message.get("flow-timer") == "90"
    assert phone.register("", "r2", cseq=2).message.get("flow-timer") is None
    # 5.4: the edge holds the connection, so it is the one to see when it falls silent.
    assert [out.to for out in pair.edge.wait(160) if out.what == "Disconnect"] == [phone.conn]


def test_a_registrar_that_wants_path_support() -> None:
    """RFC 3327 5.3: the registrar's answer goes back to the phone."""
    pair = Pair()
    phone = Phone(pair, "udp")
    data = request("REGISTER", "sip:biloxi.test", source=PHONE, sender=AOR, to=AOR,
                   headers=[("Contact", "<sip:bob@10.0.0.5>")])  # fmt: skip
    (answer,) = phone.send(data)
    assert (answer.what, answer.message.get("unsupported")) == ("420", "path")


def test_scripts_may_ask_first() -> None:
    """RFC 3327 5.2: an edge may look whether the phone supports it."""
    seen = []

    def route(incoming: Any) -> None:
        seen.append(incoming.supports("PATH"))
        incoming.add_path()
        incoming.relay("sip:192.0.2.200")

    bench = Rig(route)
    bench.udp(request("REGISTER", headers=[("Supported", "path")]))
    outs = bench.udp(request("OPTIONS", branch="z9hG4bK2"))
    assert seen == [True, False]
    assert not only(outs, "OPTIONS").message.has("path")


def test_strangers_get_no_further_than_the_registrar() -> None:
    """The edge authenticates no caller; a request within no dialog of ours leads nowhere."""
    pair = Pair()
    stray = request("BYE", "sip:x@192.0.2.99", to_tag="bob")
    assert what(pair.at_edge(stray, ALICE)) == ["481"]
    assert pair.at_edge(request("ACK", "sip:x@192.0.2.99", to_tag="b", branch="z9hG4bK3"), ALICE) == []
    assert pair.at_edge(request("ACK", "sip:x@192.0.2.99", branch="z9hG4bK4"), ALICE) == []
    assert what(pair.at_edge(request("CANCEL", branch="z9hG4bK5"), ALICE)) == ["481"]
    assert what(pair.at_edge(request(uri="sip:x@example.net", branch="z9hG4bK6"), ALICE)) == ["100", "403"]


def test_sips_all_the_way() -> None:
    """RFC 5630 5.2: a sips Contact needs a sips Path, and the registrar is reached over TLS."""
    listeners = (ListenerConfig(UDP, "udp", HOST, 5060), ListenerConfig(TLS, "tls", HOST, 5061))
    route = load_route(EXAMPLE)
    edge = Rig(route, listeners=listeners)
    conn = edge.accept(PHONE, TLS, "tls")
    aor = "<sips:bob@biloxi.test>"
    headers = [("Contact", f"<sips:bob@10.0.0.5>{FLOW}"), ("Supported", "path, outbound")]
    data = request("REGISTER", "sips:biloxi.test", transport="TLS", sender=aor, to=aor, headers=headers)
    connect = only(edge.tcp(conn, data), "Connect")
    assert connect.action.transport == "tls"
    register = only(edge.opened(connect), "REGISTER")
    path = register.message.get("path")
    assert path.startswith("<sips:f-")
    assert path.endswith(f"@{HOST}:5061;lr;ob>")


def test_the_clock_is_set_forward() -> None:
    """NTP, two hours, under a registered phone: its Path ends when its registration does, and not before."""
    pair = Pair()
    pair.edge.stack.wall_offset = 1e9
    phone = Phone(pair, "udp")
    phone.register(f"{FLOW};expires=3600")
    pair.edge.stack.wall_offset += 7_200
    invite = only(pair.at_home(request()), "INVITE")
    assert invite.to == phone.at
    phone.send(reply(invite, 486))
    pair.edge.wait(4_000)
    assert pair.edge.stack.wall.passed(pair.edge.now) < pair.edge.stack.wall.unix(pair.edge.now)
    # The registrar's clock did not move: it asks the edge, which says that the flow is no more.
    assert what(pair.at_home(request(branch="z9hG4bK2", call_id="2"))) == ["100", "480"]
