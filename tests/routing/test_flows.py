"""Flow tokens in Route: a dialog follows the phone to its present flow (RFC 5626 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.location import NodeFlow
from tests.proxy.test_flow_tokens import CONTACTS, LISTENERS, Phone
from tests.proxy.test_nat import BOB as HOME
from tests.rig import ALICE, HOST, Out, Rig, only, reply, request, sent, what
from tests.rig import within as within_invite
from tests.routing.test_shared import WebPhone
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
    """Alice calls bob, bob answers; returns her route set."""
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


def with_token(route: str, number: int, **options: Any) -> bytes:
    options.setdefault("source", STRANGER)
    return request(options.pop("method", "INVITE"), "sip:victim@198.51.100.99", branch=f"z9hG4bKs{number}",
                   call_id=f"s{number}", sender="<sip:boss@chicago.test>",
                   headers=[("Route", route), ("P-Asserted-Identity", "<sip:boss@biloxi.test>")],
                   **options)  # fmt: skip


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


# --- a phone that rings


@pytest.mark.parametrize("params", ["", f"{INSTANCE};reg-id=1"])
@pytest.mark.parametrize("transport", CONTACTS)
def test_a_ringing_phones_connection_dies(transport: str, params: str) -> None:
    """The caller of a phone whose connection died while it rang does not wait for Timer C (three minutes)."""
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
    """RFC 3261 18.2.2: a server that accepts connections answers over a new one; only phones are given up."""
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
    """Issue 22: a reader of Redis can send nothing with the tokens there, to no node."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    [binding] = cluster.shelf.records["sip:bob@biloxi.test"].bindings
    assert isinstance(binding.flow, NodeFlow)
    token = binding.flow.token
    for number, (name, host) in enumerate((("a", "192.0.2.10"), ("b", "192.0.2.20"))):
        data = with_token(f"<sip:{token}@{host};lr>", number)
        assert sent(cluster.udp(name, data, STRANGER)) == [("403", STRANGER)]
