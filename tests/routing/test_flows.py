"""Flow tokens in Route: a dialog follows the phone to its present flow, and nobody else (RFC 5626 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.auth import AuthConfig
from sansip.auth.algorithms import ha1
from sansip.location import NodeFlow
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from sansip.transport import Flow
from tests.proxy.test_flow_tokens import CONTACTS, LISTENERS, NAT, TCP, TLS, WS, Phone
from tests.proxy.test_nat import BOB as HOME
from tests.proxy.test_nat import Call, register
from tests.rig import ALICE, HOST, UDP, Out, Rig, only, reply, request, sent, what
from tests.rig import within as within_invite
from tests.routing.test_shared import WebPhone
from tests.routing.test_within import prove
from tests.shelf import Cluster

KEY = b"one key for all lives of it, 32."
ALICE_CONTACT = [("Contact", "<sip:alice@192.0.2.1>")]
INSTANCE = ';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'
STRANGER = ("203.0.113.66", 6666)
# How a phone's Contact looks before and after its connection was replaced, and whether the
# second REGISTER has the Call-ID of the first.
WAYS = {
    "outbound": (f"{INSTANCE};reg-id=1", f"{INSTANCE};reg-id=1", False),
    "another flow of the instance": (f"{INSTANCE};reg-id=1", f"{INSTANCE};reg-id=2", False),
    "instance": (INSTANCE, INSTANCE, False),
    "contact": ("", "", False),
    "Call-ID": ("", ";x=1", True),
}


def rig(**options: Any) -> Rig:
    return Rig(listeners=LISTENERS, secret=KEY, **options)


class Mobile(Phone):
    """A phone that registers anew over another connection."""

    number = 0
    params = ""
    call = "first"

    def register(self) -> None:
        type(self).number += 1
        aor = f"<sip:{self.name}@biloxi.test>"
        contact = f"<{self.contact}>{self.params}"
        via = f"SIP/2.0/{self.transport.upper()} {self.name}.invalid;branch=z9hG4bKr{self.number}"
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            via=via,
            sender=aor,
            to=aor,
            call_id=self.call,
            cseq=self.number,
            headers=[("Contact", contact), ("Supported", "path, outbound, gruu"), ("Expires", "600")],
        )
        assert what(self.send(data)) == ["200"]


def phone(bench: Rig, transport: str, params: str = "", call: str = "first", port: int = 40_000) -> Mobile:
    """A phone that has registered."""
    made = Mobile(bench, transport, source=("203.0.113.5", port))
    made.params, made.call = params, call
    made.register()
    return made


def replaced(bench: Rig, transport: str, way: str = "outbound") -> Mobile:
    """The same phone, over another connection."""
    _, after, same = WAYS[way]
    bench.now += 1.0
    moved = Mobile(bench, transport, source=("203.0.113.9", 41_000))
    moved.params, moved.call = after, "first" if same else "second"
    if after == ";x=1":
        # Only the Call-ID is that of before.
        moved.contact, moved.params = moved.contact.replace("bob@", "k7@"), ""
    moved.register()
    return moved


def called(bench: Rig, bob: Phone) -> list[str]:
    """Alice calls bob, who answers; returns her route set."""
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    assert invite.to == bob.conn
    bob.send(reply(invite, 200, headers=[("Contact", f"<{bob.contact}>")]))
    return bench.route().split(", ")


def within(bench: Rig, route: list[str], uri: str, number: int = 2, **options: Any) -> list[Out]:
    """Alice's INFO within the dialog."""
    options.setdefault("to_tag", "bob")
    source = options.pop("source", ALICE)
    data = request("INFO", uri, branch=f"z9hG4bKi{number}", cseq=number, source=source,
                   headers=[("Route", ", ".join(route))], **options)  # fmt: skip
    return bench.udp(data, source)


# --- a call outlives its connection


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("transport", CONTACTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_replaced_connection(way: str, transport: str, closes: bool) -> None:
    """A phone that came back from another network is in its call still, whether its old connection is
    known to be dead or not: what it registered last is where it is."""
    bench = rig()
    bob = phone(bench, transport, WAYS[way][0])
    route = called(bench, bob)
    if closes:
        bench.closed(bob.conn)
    moved = replaced(bench, transport, way)
    # RFC 5626 5.3.2: over some valid flow to the instance.
    if closes or way != "another flow of the instance":
        assert sent(within(bench, route, bob.contact)) == [("INFO", moved.conn)]
    else:
        # Two flows, both alive: either leads to it.
        assert only(within(bench, route, bob.contact), "INFO").to in (bob.conn, moved.conn)
    # Its own requests come over the new one, with the route set of before.
    outs = moved.request("BYE", "sip:alice@192.0.2.1", "bye", to_tag="alice", from_tag="bob",
                         headers=[("Route", bench.callees_route())])  # fmt: skip
    assert sent(outs) == [("BYE", ALICE)]


@pytest.mark.parametrize("transport", CONTACTS)
def test_the_callers_connection_is_replaced(transport: str) -> None:
    """The side that called is a phone as well."""
    bench = rig()
    bench.register("sip:carol@192.0.2.3", ("192.0.2.3", 5060), "sip:carol@biloxi.test")
    bob = phone(bench, transport, f"{INSTANCE};reg-id=1")
    outs = bob.request("INVITE", "sip:carol@biloxi.test", "i", sender="<sip:bob@biloxi.test>",
                       to="<sip:carol@biloxi.test>", from_tag="bob")  # fmt: skip
    invite = only(outs, "INVITE")
    bench.udp(reply(invite, 200, headers=[("Contact", "<sip:carol@192.0.2.3>")]), ("192.0.2.3", 5060))
    bench.closed(bob.conn)
    moved = replaced(bench, transport)
    route = ", ".join(invite.message.values("record-route"))
    bye = request("BYE", bob.contact, source=("192.0.2.3", 5060), branch="z9hG4bKbye", from_tag="bob",
                  to_tag="bob", headers=[("Route", route)])  # fmt: skip
    assert sent(bench.udp(bye, ("192.0.2.3", 5060))) == [("BYE", moved.conn)]


@pytest.mark.parametrize("transport", CONTACTS)
@pytest.mark.parametrize("way", WAYS)
def test_after_a_restart(way: str, transport: str) -> None:
    """Bindings come back from the store without their flows; the phone connects and registers again."""
    before = rig()
    bob = phone(before, transport, WAYS[way][0])
    route = called(before, bob)
    after = rig(seed=b"another process's seed")
    kept = [binding for _, record in before.stack.location.snapshot() for binding in record]
    for binding in kept:
        binding.flow = None
    after.stack.restore(kept, after.now)
    assert what(within(after, route, bob.contact)) == ["430"]
    moved = replaced(after, transport, way)
    assert sent(within(after, route, bob.contact, 3)) == [("INFO", moved.conn)]


def test_datagrams_leave_by_the_listener_of_before() -> None:
    """A NAT lets in what comes from where the phone sent to; the store does not know by which socket that
    was, and the token does."""
    second = ListenerConfig(9, "udp", HOST, 5070)
    before = Rig(listeners=(*LISTENERS, second), secret=KEY)
    data = request("REGISTER", "sip:biloxi.test", via="SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bKu",
                   sender="<sip:bob@biloxi.test>", headers=[("Contact", "<sip:bob@10.0.0.5>")])  # fmt: skip
    assert what(before.udp(data, HOME, 9)) == ["200"]
    invite = only(before.udp(request(headers=ALICE_CONTACT)), "INVITE")
    before.udp(reply(invite, 200, headers=[("Contact", "<sip:bob@10.0.0.5>")]), HOME, 9)
    route = before.route()
    after = Rig(listeners=(*LISTENERS, second), secret=KEY, seed=b"another process's seed")
    kept = [binding for _, record in before.stack.location.snapshot() for binding in record]
    for binding in kept:
        binding.flow = None
    after.stack.restore(kept, after.now)
    [info] = within(after, [route], "sip:bob@10.0.0.5")
    assert (info.to, info.action.listener) == (HOME, 9)


def test_a_phone_that_takes_another_transport() -> None:
    """From UDP behind a NAT to a connection: the binding says what its flow is now."""
    bench = rig()
    bob = Mobile(bench, "tcp")
    aor = "<sip:bob@biloxi.test>"
    contact = f"<sip:bob@10.0.0.5:5060>{INSTANCE};reg-id=1"
    data = request("REGISTER", "sip:biloxi.test", via="SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bKu",
                   sender=aor, to=aor, headers=[("Contact", contact), ("Expires", "600")])  # fmt: skip
    assert what(bench.udp(data, HOME)) == ["200"]
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    assert invite.to == HOME
    bench.udp(reply(invite, 200, headers=[("Contact", "<sip:bob@10.0.0.5>")]), HOME)
    route = bench.route().split(", ")
    assert sent(within(bench, route, "sip:bob@10.0.0.5")) == [("INFO", HOME)]
    bob.params = f"{INSTANCE};reg-id=1"
    bob.register()
    assert sent(within(bench, route, "sip:bob@10.0.0.5", 3)) == [("INFO", bob.conn)]


def test_no_flow_is_left() -> None:
    """RFC 5626 5.3.2: 430 where the phone has not come back, at once and every time."""
    bench = rig()
    bob = phone(bench, "tls", f"{INSTANCE};reg-id=1")
    route = called(bench, bob)
    bench.closed(bob.conn)
    assert sent(within(bench, route, bob.contact)) == [("430", ALICE)]
    # Another phone of the same user is not in this call.
    other = Mobile(bench, "tls", source=("203.0.113.77", 47_000))
    other.contact, other.call = "sip:bob@192.168.7.7;transport=tls", "another-phone"
    other.register()
    assert sent(within(bench, route, bob.contact, 3)) == [("430", ALICE)]


def test_two_lines_of_one_phone() -> None:
    """Both sides of a call are one connection: it is the direction that the second value names."""
    bench = rig()
    bob = phone(bench, "ws")
    outs = bob.request("INVITE", "sip:bob@biloxi.test", "i", sender="<sip:bob@biloxi.test>")
    invite = only(outs, "INVITE")
    bob.send(reply(invite, 200, headers=[("Contact", f"<{bob.contact}>")]))
    route = bench.route()
    outs = bob.request("INFO", bob.contact, "x", to_tag="bob", cseq=2, headers=[("Route", route)])
    assert sent(outs) == [("INFO", bob.conn)]


# --- nobody else's


def test_a_binding_moves_only_its_own_dialogs() -> None:
    """Issue 4: who registers from the address that somebody else has, and then from elsewhere, draws
    no request of his: NATs use ports again, and the source of a datagram can be made up."""
    bench = Rig()
    register(bench, HOME)
    call = Call(bench, ALICE, HOME, via="192.0.2.1:5060", contact="192.0.2.1:5060")
    register(bench, HOME, "mallory", cseq=5)
    register(bench, STRANGER, "mallory", cseq=6)
    assert call.from_alice("INFO", ALICE, 2).to == HOME
    moved = (HOME[0], 42_001)
    register(bench, moved, cseq=2)
    assert call.from_alice("INFO", ALICE, 3).to == moved


def test_a_token_is_of_the_callers_dialogs_alone() -> None:
    """RFC 3261 12: Call-ID and the caller's tag. Who knows the Call-ID begins nothing with it."""
    bench = rig()
    bob = phone(bench, "tls")
    route = called(bench, bob)
    assert sent(within(bench, route, bob.contact, source=STRANGER, from_tag="mallory")) == [("403", STRANGER)]
    assert sent(within(bench, route, bob.contact, 3, source=STRANGER, call_id="other")) == [("403", STRANGER)]


@pytest.mark.parametrize("transport", ["tcp", "ws", "udp"])
def test_sips_is_no_way_around_the_flow(transport: str) -> None:
    """RFC 3261 26.2.2 keeps a sips URI off a flow without TLS: it goes nowhere then, and the sender does
    not choose where."""
    bench = rig(proxy=ProxyConfig(plain_sips=True))
    if transport == "udp":
        register(bench, HOME)
        invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
        bench.udp(reply(invite, 200, headers=[("Contact", "<sip:bob@10.0.0.9:5060>")]), HOME)
        route = bench.route().split(", ")
    else:
        route = called(bench, phone(bench, transport))
    assert sent(within(bench, route, "sips:victim@198.51.100.99")) == [("430", ALICE)]
    assert bench.asks == []


@pytest.mark.parametrize("transport", CONTACTS)
def test_who_comes_over_the_flow_of_its_dialog(transport: str) -> None:
    """A phone proves who it is by the connection that it registered over, the present one as well."""
    seen: list[str] = []
    bench = rig()
    bob = phone(bench, transport, f"{INSTANCE};reg-id=1")
    route = called(bench, bob)
    default = bench.stack.route

    def watch(incoming: Any) -> Any:
        seen.append("" if incoming.flows is None else incoming.flows.own)
        return default(incoming)

    bench.stack.route = watch
    moved = replaced(bench, transport)
    other = Mobile(bench, transport, source=("203.0.113.66", 6_666))
    seen.clear()
    for sender in (moved, other):
        sender.request("INFO", "sip:alice@192.0.2.1", f"i{sender.conn}", to_tag="alice", from_tag="bob",
                       headers=[("Route", ", ".join(reversed(route)))])  # fmt: skip
    within(bench, route, bob.contact)
    assert seen == ["sip:bob@biloxi.test", "", ""]


def test_an_address_that_was_a_phones() -> None:
    """NATs use ports again: who sends from where bob's phone was is not bob, once bob is elsewhere."""
    seen: list[str] = []
    bench = rig()
    register(bench, HOME)
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    route = ", ".join(invite.message.values("record-route"))
    bench.udp(reply(invite, 200, headers=[("Contact", "<sip:bob@10.0.0.9>")]), HOME)
    default = bench.stack.route

    def watch(incoming: Any) -> Any:
        if incoming.method == "INFO":
            seen.append(incoming.flows.own)
        return default(incoming)

    bench.stack.route = watch
    moved = (HOME[0], 42_001)
    for number, source in enumerate((HOME, moved, moved, HOME)):
        if number == 2:
            register(bench, moved, cseq=2)
        data = request("INFO", "sip:alice@192.0.2.1", source=source, branch=f"z9hG4bKo{number}",
                       cseq=number + 1, from_tag="bob", to_tag="alice",
                       headers=[("Route", route)])  # fmt: skip
        assert sent(bench.udp(data, source)) == [("INFO", ALICE)]
    assert seen == ["sip:bob@biloxi.test", "", "sip:bob@biloxi.test", ""]


def test_a_phone_from_another_network_is_not_asked_again() -> None:
    """Its REGISTER over the new connection had the password; others over theirs are asked, and an ACK,
    which cannot be asked, goes nowhere (RFC 3261 22.1)."""
    key = {"MD5": ha1("bob", "biloxi.test", "wonderland")}
    bench = rig(auth=AuthConfig(), users=lambda lookup: key if lookup.username == "bob" else None)

    def registered(source: Any, cseq: int) -> int:
        conn = bench.accept(source, TLS, "tls")
        headers = [("Contact", f"<{CONTACTS['tls']}>{INSTANCE};reg-id=1"), ("Supported", "path, outbound")]
        for number in (cseq, cseq + 1):
            aor = "<sip:bob@biloxi.test>"
            via = f"SIP/2.0/TLS b.invalid;branch=z9hG4bKr{number}"
            data = request("REGISTER", "sip:biloxi.test", via=via, sender=aor,
                           to=aor, call_id="r", cseq=number, headers=headers)  # fmt: skip
            [answer] = bench.tcp(conn, data)
            if answer.what == "401":
                headers.append(prove(bench, answer, "REGISTER", "sip:biloxi.test", "bob"))
        assert answer.what == "200"
        return conn

    conn = registered(NAT, 1)
    stranger = "<sip:alice@chicago.test>"
    invite = only(bench.udp(request(sender=stranger, headers=ALICE_CONTACT)), "INVITE")
    answer = reply(invite, 200, headers=[("Contact", f"<{CONTACTS['tls']}>")])
    bench.tcp(conn, answer)
    route = ", ".join(invite.message.values("record-route"))
    bench.closed(conn)
    moved = registered(("203.0.113.9", 41_000), 3)
    other = bench.accept(("203.0.113.66", 6_666), TLS, "tls")
    for number, (came, sender, expected) in enumerate(
        (
            (other, "<sip:bob@biloxi.test>", [("407", other)]),
            (moved, "<sip:boss@biloxi.test>", [("407", moved)]),
            (moved, "<sip:bob@biloxi.test>", [("BYE", ALICE)]),
        )
    ):
        for method in ("BYE", "ACK"):
            via = f"SIP/2.0/TLS b.invalid;branch=z9hG4bKw{number}{method}"
            data = request(method, "sip:alice@192.0.2.1", via=via, sender=sender, to=stranger,
                           from_tag="bob", to_tag="alice", headers=[("Route", route)])  # fmt: skip
            if method == "BYE":
                assert sent(bench.tcp(came, data)) == expected
            else:
                assert what(bench.tcp(came, data)) == (["ACK"] if number == 2 else [])


# --- tokens that are not of a dialog


def path(bench: Rig, flow: Flow, *, life: float = 600.0) -> str:
    return f"<sip:{bench.stack.flow_token(flow, bench.now + life)}@{HOST};lr;ob>"


def with_token(route: str, number: int, **options: Any) -> bytes:
    options.setdefault("source", STRANGER)
    return request(options.pop("method", "INVITE"), "sip:victim@198.51.100.99", branch=f"z9hG4bKs{number}",
                   call_id=f"s{number}", sender="<sip:boss@chicago.test>",
                   headers=[("Route", route), ("P-Asserted-Identity", "<sip:boss@biloxi.test>")],
                   **options)  # fmt: skip


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize(("transport", "listener"), [("tcp", TCP), ("tls", TLS), ("ws", WS), ("udp", UDP)])
def test_a_strangers_unbound_token(transport: str, listener: int, gone: bool) -> None:
    """Issue 22: read in a Path, in a store or on the way, it opens nothing: not the flow, and where
    there is none any more not the Request-URI, for no method."""
    bench = rig()
    if transport == "udp":
        flow = Flow("udp", listener, HOME)
    else:
        conn = bench.accept(HOME, listener, transport)
        flow = Flow(transport, listener, HOME, conn)
        if gone:
            bench.closed(conn)
    writer = rig(node="another") if gone else bench
    route = path(writer, flow)
    for number, method in enumerate(("INVITE", "MESSAGE", "BYE", "OPTIONS", "ACK", "CANCEL")):
        for tag in (None, "bob"):
            data = with_token(route, 2 * number + (tag is None), method=method, to_tag=tag)
            outs = bench.udp(data, STRANGER)
            assert [(out.what, out.to) for out in outs] == ([("403", STRANGER)] if method != "ACK" else [])
    assert bench.asks == []


def test_a_refused_token_is_answered_once() -> None:
    """RFC 3261 8.2.7: the source of a datagram can be made up, so nothing is repeated, or kept."""
    bench = rig()
    data = with_token(path(bench, Flow("udp", UDP, HOME)), 1)
    [answer] = bench.udp(data, STRANGER)
    assert (answer.what, answer.to) == ("403", STRANGER)
    assert len(answer.data) < len(data)
    assert what(bench.wait(64)) == []
    assert bench.empty


def test_an_unbound_token_of_a_peer_we_trust() -> None:
    """The registrar behind an edge has it from our Path: over the flow, or 430 where it is gone."""
    bench = rig(trusted=[TrustedPeer(STRANGER[0])])
    conn = bench.accept(HOME, TLS, "tls")
    route = path(bench, Flow("tls", TLS, HOME, conn))
    assert only(bench.udp(with_token(route, 1), STRANGER), "INVITE").to == conn
    bench.closed(conn)
    assert what(bench.udp(with_token(route, 2), STRANGER)) == ["100", "430"]


def test_an_unbound_token_ends() -> None:
    """It has the life of the registration that it was made for."""
    bench = rig(trusted=[TrustedPeer(STRANGER[0])])
    conn = bench.accept(HOME, TLS, "tls")
    route = path(bench, Flow("tls", TLS, HOME, conn), life=600.0)
    bench.now += 590.0
    assert only(bench.udp(with_token(route, 1), STRANGER), "INVITE").to == conn
    bench.now += 120.0
    assert what(bench.udp(with_token(route, 2), STRANGER)) == ["100", "430"]


# --- where else a flow that is not there may be looked for


def test_a_stranger_who_can_be_reached_otherwise() -> None:
    """A connection that its peer closed when it was idle: its Contact, or the proxy that recorded
    itself before us, is as good as it was; another place is not."""
    for recorded, uri in (
        ("", "sip:x@198.51.100.7;transport=tcp"),
        ("<sip:198.51.100.8;transport=tcp;lr>", "sip:x@10.9.9.9"),
    ):
        bench = rig()
        conn = bench.accept(("198.51.100.7", 43_210), TCP, "tcp")
        bench.register("sip:bob@192.0.2.2")
        headers = [("Contact", f"<{uri}>"), *([("Record-Route", recorded)] if recorded else [])]
        via = "SIP/2.0/TCP 198.51.100.7;branch=z9hG4bKx"
        data = request(via=via, sender="<sip:x@chicago.test>", headers=headers)
        invite = only(bench.tcp(conn, data), "INVITE")
        values = invite.message.values("record-route")
        assert any(value.startswith("<sip:f-") for value in values)
        bench.closed(conn)

        def bye(target: str, number: int, route: list[str], bench: Rig = bench) -> list[tuple[str, Any]]:
            data = request("BYE", target, source=("192.0.2.2", 5060), branch=f"z9hG4bKb{number}",
                           sender="<sip:bob@biloxi.test>", to="<sip:x@chicago.test>",
                           from_tag="bob", to_tag="alice", cseq=number,
                           headers=[("Route", ", ".join(route))])  # fmt: skip
            return [(out.what, out.to) for out in bench.udp(data, ("192.0.2.2", 5060))]

        there = ("198.51.100.8" if recorded else "198.51.100.7", 5060)
        assert bye(uri, 1, values) == [("Connect", there)]
        # Without the value that follows ours it is no request of this dialog (``proxy.dialog_mark``).
        status = "481" if recorded else "430"
        assert bye("sip:victim@198.51.100.99", 2, values[:2]) == [(status, ("192.0.2.2", 5060))]


# --- a phone that rings


@pytest.mark.parametrize("params", ["", f"{INSTANCE};reg-id=1"])
@pytest.mark.parametrize("transport", CONTACTS)
def test_a_ringing_phones_connection_dies(transport: str, params: str) -> None:
    """Nobody waits three minutes (Timer C) for a phone that lost its connection while it rang."""
    bench = rig()
    bob = phone(bench, transport, params)
    invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
    assert sent(bob.send(reply(invite, 180, headers=[("Contact", f"<{bob.contact}>")]))) == [("180", ALICE)]
    assert sent(bench.closed(bob.conn)) == [("480", ALICE)]


@pytest.mark.parametrize("transport", CONTACTS)
def test_a_phone_that_rings_changes_networks(transport: str) -> None:
    """It registers over another connection before anybody knows that its old one is dead, and answers
    over that: RFC 3261 18.1.2 has the hop believed, and this is the hop. Nobody else is."""
    for answers in (True, False):
        bench = rig()
        bob = phone(bench, transport, f"{INSTANCE};reg-id=1")
        invite = only(bench.udp(request(headers=ALICE_CONTACT)), "INVITE")
        assert what(bob.send(reply(invite, 180))) == ["180"]
        moved = replaced(bench, transport)
        other = Mobile(bench, transport, source=STRANGER)
        assert other.send(reply(invite, 200, tag="mallory")) == []
        assert sent(moved.send(reply(invite, 183))) == [("183", ALICE)]
        if answers:
            assert sent(moved.send(reply(invite, 200))) == [("200", ALICE)]
        else:
            # RFC 3261 9.1: it is cancelled where it is.
            cancel = within_invite(request(headers=ALICE_CONTACT), "CANCEL")
            assert ("CANCEL", moved.conn) in sent(bench.udp(cancel))
        assert what(bench.closed(bob.conn)) == []


def test_a_server_that_rings_may_come_back() -> None:
    """RFC 3261 18.2.2: who accepts connections answers over a new one; only phones are given up."""
    bench = rig(route=lambda incoming: incoming.relay("sip:bob@192.0.2.7;transport=tcp"))
    connect = only(bench.udp(request()), "Connect")
    invite = only(bench.opened(connect), "INVITE")
    bench.tcp(connect.action.conn, reply(invite, 180))
    assert what(bench.closed(connect.action.conn)) == []


def test_a_request_in_the_dialog_when_the_connection_dies() -> None:
    """430 and not 500: it is the flow that failed, and not the server."""
    bench = rig()
    bob = phone(bench, "tls")
    route = called(bench, bob)
    assert sent(within(bench, route, bob.contact)) == [("INFO", bob.conn)]
    assert sent(bench.closed(bob.conn)) == [("430", ALICE)]


# --- several nodes


def calls(cluster: Cluster, web: WebPhone) -> list[str]:
    """Alice calls bob's browser through node a, at which it is."""
    invite = only(cluster.udp("a", request(headers=ALICE_CONTACT), ALICE), "INVITE")
    web.send(reply(invite, 200, headers=[("Contact", "<sip:bob@k3v.invalid;transport=ws>")]))
    return cluster.rigs["a"].route().split(", ")


def test_a_phone_that_came_back_at_another_node() -> None:
    """Its connection to a died, and it registers at b; the route set of its call names a."""
    cluster = Cluster("a", "b")
    web = WebPhone(cluster, "a")
    web.register()
    route = calls(cluster, web)
    cluster.rigs["a"].closed(web.conn)
    cluster.settle("a")
    back = WebPhone(cluster, "b")
    back.register(2)
    data = request("INFO", "sip:bob@k3v.invalid;transport=ws", branch="z9hG4bKi", to_tag="bob", cseq=2,
                   headers=[("Route", ", ".join(route))])  # fmt: skip
    onward = only(cluster.udp("a", data, ALICE), "INFO")
    assert onward.to == ("192.0.2.20", 5060)
    assert sent(cluster.udp("b", onward.data, ("192.0.2.10", 5060))) == [("INFO", back.conn)]


def test_a_node_that_took_over_the_address_of_another() -> None:
    """A token of a node that is gone, read by one with its key: the phone is where it registered last."""
    cluster = Cluster("a", "b")
    web = WebPhone(cluster, "a")
    web.register()
    route = [value.replace("192.0.2.10", "192.0.2.20") for value in calls(cluster, web)]
    back = WebPhone(cluster, "b")
    back.register(2)
    data = request("INFO", "sip:bob@k3v.invalid;transport=ws", branch="z9hG4bKi", to_tag="bob", cseq=2,
                   headers=[("Route", ", ".join(route))])  # fmt: skip
    assert only(cluster.udp("b", data, ALICE), "INFO").to == back.conn


def test_the_token_of_the_store_in_a_strangers_hands() -> None:
    """Issue 22: who reads Redis can send nothing with what is written there, to no node."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    [binding] = cluster.shelf.records["sip:bob@biloxi.test"].bindings
    assert isinstance(binding.flow, NodeFlow)
    token = binding.flow.token
    for number, (name, host) in enumerate((("a", "192.0.2.10"), ("b", "192.0.2.20"))):
        data = with_token(f"<sip:{token}@{host};lr>", number)
        assert sent(cluster.udp(name, data, STRANGER)) == [("403", STRANGER)]
