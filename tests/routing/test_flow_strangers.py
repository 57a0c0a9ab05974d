"""Flow tokens in the hands of strangers: a token leads to a phone for its own dialog alone."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.auth.algorithms import ha1
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from sansip.transport import Flow
from tests.proxy.test_flow_tokens import CONTACTS, NAT, TCP, TLS, WS
from tests.proxy.test_nat import BOB as HOME
from tests.proxy.test_nat import Call, register
from tests.rig import ALICE, HOST, UDP, Rig, only, reply, request, sent, what
from tests.routing.test_flows import (
    ALICE_CONTACT,
    INSTANCE,
    STRANGER,
    Mobile,
    called,
    phone,
    replaced,
    rig,
    with_token,
    within,
)
from tests.routing.test_within import prove

# --- tokens are bound to their dialog


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
    """NATs use ports again: a sender at bob's former port is not bob, once bob is elsewhere."""
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
