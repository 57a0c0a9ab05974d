"""Requests that come with a flow token of ours: RFC 5626 5.3, in a stack with the default route."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.routing.trust import TrustedPeer
from sansip.transport import Flow
from tests.rig import ALICE, BOB, HOST, TCP, UDP, Rig, only, reply, request, sent, what

WS = 7
LISTENERS = (
    ListenerConfig(UDP, "udp", HOST, 5060),
    ListenerConfig(TCP, "tcp", HOST, 5060),
    ListenerConfig(WS, "ws", HOST, 80),
)
REGISTRAR = ("192.0.2.200", 5060)
PHONE = ("203.0.113.5", 40_000)
SECRET = b"the secret of every node"
CONTACT = "sip:bob@10.0.0.5:5060"


def rig(**options: Any) -> Rig:
    options.setdefault("trusted", [TrustedPeer(REGISTRAR[0])])
    return Rig(listeners=LISTENERS, secret=SECRET, **options)


def uri(bench: Rig, conn: int = 0, listener: int = UDP, transport: str = "udp", params: str = ";ob") -> str:
    """The URI that the server put into the Path of the phone's REGISTER."""
    token = bench.stack.flow_token(Flow(transport, listener, PHONE, conn), bench.now + 3600.0)
    return f"<sip:{token}@{HOST}:5060;lr{params}>"


def incoming(route: str, method: str = "INVITE", **options: Any) -> bytes:
    """A request of another server that read the binding: to the Contact, by the Path."""
    headers = [("Route", route), ("Contact", "<sip:alice@192.0.2.1>")]
    return request(method, CONTACT, source=REGISTRAR, headers=headers, **options)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_it_goes_over_the_flow(transport: str) -> None:
    """RFC 5626 5.3.1: the Route value goes, the Request-URI stays, the flow decides."""
    bench = rig()
    conn = 0 if transport == "udp" else bench.accept(PHONE, TCP)
    listener = UDP if transport == "udp" else TCP
    invite = only(bench.udp(incoming(uri(bench, conn, listener, transport)), REGISTRAR), "INVITE")
    assert invite.to == (conn or PHONE)
    assert (invite.message.uri_text, invite.message.has("route")) == (CONTACT, False)
    # 5.3.1: with ob the dialog's requests come by this flow, too.
    recorded = invite.message.values("record-route")
    assert recorded[0].startswith("<sip:f-")
    assert sent(bench.tcp(conn, reply(invite, 200)) if conn else bench.udp(reply(invite, 200), PHONE)) == [
        ("200", REGISTRAR)
    ]
    ack = incoming(bench.route(), "ACK", to_tag="bob", branch="z9hG4bKack")
    assert sent(bench.udp(ack, REGISTRAR)) == [("ACK", conn or PHONE)]
    # 5.3.2: the phone's own requests carry the same values, and go the other way.
    bye = request("BYE", "sip:alice@192.0.2.1", source=PHONE, branch="z9hG4bKbye", to_tag="alice",
                  from_tag="bob", headers=[("Route", ", ".join(recorded))])  # fmt: skip
    outs = bench.tcp(conn, bye) if conn else bench.udp(bye, PHONE)
    assert (only(outs, "BYE").to, only(outs, "BYE").message.has("route")) == (ALICE, False)


def test_other_nodes_send_over_our_connections() -> None:
    """A browser at this node, called by way of another one: no address of it is of any use."""
    bench = rig()
    conn = bench.accept(PHONE, WS, "ws")
    route = uri(bench, conn, WS, "ws", ";transport=ws")
    data = request("MESSAGE", "sip:k3@b3.invalid;transport=ws", source=REGISTRAR, headers=[("Route", route)])
    message = only(bench.udp(data, REGISTRAR), "MESSAGE")
    assert message.to == conn
    assert sent(bench.tcp(conn, reply(message, 200), boundary=True)) == [("200", REGISTRAR)]


def test_a_flow_that_is_gone() -> None:
    """RFC 5626 5.3.1: 430 at once, even where the Contact looks as if it led somewhere."""
    bench = rig()
    conn = bench.accept(PHONE, TCP)
    route = uri(bench, conn, TCP, "tcp")
    bench.closed(conn)
    assert what(bench.udp(incoming(route), REGISTRAR)) == ["100", "430"]
    assert what(bench.wait(64)) == ["430"] * 10


def test_a_flow_that_dies_while_it_rings() -> None:
    """RFC 5626 5.3.1, RFC 3261 17.1.4: the caller does not wait for Timer B."""
    bench = rig()
    conn = bench.accept(PHONE, TCP)
    bench.udp(incoming(uri(bench, conn, TCP, "tcp")), REGISTRAR)
    assert sent(bench.closed(conn)) == [("430", REGISTRAR)]


def test_a_datagram_flow_that_is_gone() -> None:
    """An ICMP error says so (RFC 5626 7)."""
    bench = rig()
    invite = only(bench.udp(incoming(uri(bench)), REGISTRAR), "INVITE")
    assert sent(bench.failed(invite)) == [("430", REGISTRAR)]


def test_a_forged_token() -> None:
    """RFC 5626 5.3.1: 403, and nothing is sent anywhere else."""
    bench = rig()
    forged = uri(bench).replace("<sip:f-", "<sip:f-A", 1)
    assert sent(bench.udp(incoming(forged), REGISTRAR)) == [("403", REGISTRAR)]
    assert bench.udp(incoming(forged, "ACK", branch="z9hG4bKa2"), REGISTRAR) == []


def test_a_token_of_another_key() -> None:
    """It was not written here."""
    route = uri(Rig(listeners=LISTENERS, secret=b"another secret altogether"))
    assert sent(rig().udp(incoming(route), REGISTRAR)) == [("403", REGISTRAR)]


def test_a_token_of_another_node() -> None:
    """The nodes have one key, but the flow is not here: the token leads to no other phone."""
    route = uri(rig(node="a"))
    assert what(rig(node="b").udp(incoming(route), REGISTRAR)) == ["100", "430"]


def test_datagram_flows_outlive_the_process() -> None:
    """RFC 5626 5.2: nothing is stored for a token, so nothing is lost; a connection is, and says so."""
    before = rig()
    conn = before.accept(PHONE, TCP)
    after = rig(seed=b"another process's seed")
    assert sent(after.udp(incoming(uri(before)), REGISTRAR))[-1] == ("INVITE", PHONE)
    outs = after.udp(incoming(uri(before, conn, TCP, "tcp"), call_id="2", branch="z9hG4bK2"), REGISTRAR)
    assert what(outs) == ["100", "430"]


def test_a_dialogs_token_begins_no_call() -> None:
    """RFC 3261 12.2.1.1: a caller that a phone has answered must not ring it anew as somebody else."""
    bench = rig()
    conn = bench.accept(PHONE, WS, "ws")
    data = request("REGISTER", "sip:biloxi.test", to="<sip:bob@biloxi.test>", sender="<sip:bob@biloxi.test>",
                   source=PHONE, headers=[("Contact", "<sip:k3@b3.invalid;transport=ws>")])  # fmt: skip
    assert what(bench.tcp(conn, data, boundary=True)) == ["200"]
    call = request(headers=[("Contact", "<sip:alice@192.0.2.1>")], branch="z9hG4bKcall", call_id="call")
    ringing = bench.tcp(conn, reply(only(bench.udp(call), "INVITE"), 180), boundary=True)
    route = ", ".join(reversed(only(ringing, "180").message.values("record-route")))
    assert ":f-" in route
    anew = request(headers=[("Route", route)], sender="<sip:boss@biloxi.test>", call_id="call",
                   branch="z9hG4bKanew")  # fmt: skip
    assert sent(bench.udp(anew)) == [("403", ALICE)]
    within = request("INFO", "sip:k3@b3.invalid;transport=ws", headers=[("Route", route)], call_id="call",
                     branch="z9hG4bKinfo", to_tag="bob", cseq=2)  # fmt: skip
    assert sent(bench.udp(within))[-1] == ("INFO", conn)


def test_a_contact_with_ob() -> None:
    """RFC 5626 5.3.2: a phone asks by ``ob`` to be reached over its flow; on UDP none is without it."""
    bench = rig()
    bench.register("sip:bob@192.0.2.2")
    contacts = (
        ("<sip:alice@198.51.100.9;ob>", True),
        # RFC 3261 7.3.1: names have no case.
        ("<sip:alice@198.51.100.9;OB>", True),
        ("<sip:alice@198.51.100.9>", False),
    )
    for number, (contact, wanted) in enumerate(contacts):
        data = request(headers=[("Contact", contact)], call_id=f"c{number}", branch=f"z9hG4bKc{number}")
        invite = only(bench.udp(data, PHONE), "INVITE")
        recorded = invite.message.values("record-route")
        assert any(value.startswith("<sip:f-") for value in recorded) is wanted
    data = request(headers=[("Contact", "<sip:alice@10.0.0.9;ob>")], call_id="3", branch="z9hG4bK3")
    recorded = only(bench.udp(data, PHONE), "INVITE").message.values("record-route")
    info = request("INFO", "sip:alice@10.0.0.9;ob", source=BOB, call_id="3", branch="z9hG4bK4", cseq=2,
                   to_tag="alice", from_tag="bob", headers=[("Route", ", ".join(recorded))])  # fmt: skip
    assert sent(bench.udp(info, BOB))[-1] == ("INFO", PHONE)


def test_a_route_with_ob() -> None:
    """RFC 5626 5.3.2: the topmost Route says it as well as the Contact."""
    bench = rig()
    bench.register("sip:bob@192.0.2.2")
    data = request(headers=[("Contact", "<sip:alice@10.0.0.9>"), ("Route", uri(bench))])
    recorded = only(bench.udp(data, PHONE), "INVITE").message.values("record-route")
    assert recorded[-1].startswith("<sip:f-")
