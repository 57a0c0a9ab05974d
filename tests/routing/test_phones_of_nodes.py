"""Phones whose flow is at another node: called, reached within dialogs, and lost."""

from __future__ import annotations

import pytest

from tests.rig import ALICE, BOB, Out, only, reply, request, sent, what
from tests.routing.test_shared import NAT, WebPhone, registration
from tests.shelf import Cluster

# --- flows of other nodes


def call(cluster: Cluster, through: str, towards: str) -> tuple[list[Out], list[Out]]:
    """Alice calls through one node; return what it did, and what the other did with it."""
    outs = cluster.udp(through, request(headers=[("Contact", "<sip:alice@192.0.2.1>")]), ALICE)
    invite = only(outs, "INVITE")
    return outs, cluster.udp(
        towards, invite.data, (f"192.0.2.{10 * (1 + list(cluster.rigs).index(through))}", 5060)
    )


def test_a_browser_is_called_through_any_node() -> None:
    """RFC 5626 5.3: b sends to a with the token of the phone's flow, and a over its connection."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    assert what(phone.register()) == ["200"]
    there, here = call(cluster, "b", "a")
    assert only(there, "INVITE").to == ("192.0.2.10", 5060)
    invite = only(here, "INVITE")
    assert invite.to == phone.conn
    assert invite.message.uri_text == "sip:bob@k3v.invalid;transport=ws"
    assert not invite.message.has("route")
    # Both stay on the dialog's path, so that requests from both sides find the way.
    assert [value.count("192.0.2.10") for value in invite.message.get_all("record-route")] == [1, 1, 0]


def test_within_the_dialog_both_ways() -> None:
    """RFC 3261 12.2, 16.12: BYE from alice goes b, a, browser; re-INVITE from bob goes a, b, alice."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    _, here = call(cluster, "b", "a")
    invite = only(here, "INVITE")
    back = phone.send(reply(invite, 200, headers=[("Contact", phone.contact)]))
    answer = only(cluster.udp("b", only(back, "200").data, ("192.0.2.10", 5060)), "200")
    assert answer.to == ALICE
    routes = answer.message.get_all("record-route")
    bye = request(
        "BYE",
        "sip:bob@k3v.invalid;transport=ws",
        branch="z9hG4bKbye",
        to_tag="bob",
        cseq=2,
        headers=[("Route", route) for route in reversed(routes)],
    )
    out = only(cluster.udp("b", bye, ALICE), "BYE")
    assert out.to == ("192.0.2.10", 5060)
    assert only(cluster.udp("a", out.data, ("192.0.2.20", 5060)), "BYE").to == phone.conn
    reinvite = request(
        "INVITE",
        "sip:alice@192.0.2.1",
        via="SIP/2.0/WS k3v.invalid;branch=z9hG4bKre",
        sender="<sip:bob@biloxi.test>",
        from_tag="bob",
        to="<sip:alice@biloxi.test>",
        to_tag="alice",
        headers=[
            ("Contact", phone.contact),
            *(("Route", route) for route in invite.message.get_all("record-route")),
        ],
    )
    out = only(phone.send(reinvite), "INVITE")
    assert out.to == ("192.0.2.20", 5060)
    assert only(cluster.udp("b", out.data, ("192.0.2.10", 5060)), "INVITE").to == ALICE


def test_a_flow_that_was_named() -> None:
    """RFC 5626 7: a phone with reg-id is reached over its flow, through its node, and nowhere else."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    named = '<sip:bob@192.0.2.2:5060;transport=tcp;ob>;+sip.instance="<urn:uuid:1>";reg-id=1'
    data = registration(1, named, via="SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKo")
    rig.tcp(conn, data.replace(b"Expires:", b"Supported: outbound, path\r\nExpires:"))
    assert "200" in what(cluster.settle("a"))
    assert only(call(cluster, "b", "a")[1], "INVITE").to == conn
    cluster.die("a")
    assert what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == ["100", "480"]


def test_a_connection_that_is_gone_fails_at_once() -> None:
    """RFC 5626 5.3.1: a answers 430, and the caller hears 480 without waiting (11.5: never 430)."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    phone.rig.closed(phone.conn)
    _, here = call(cluster, "b", "a")
    failed = only(here, "430")
    outs = cluster.udp("b", failed.data, ("192.0.2.10", 5060))
    assert [out.what for out in outs if out.to == ALICE] == ["480"]


def test_a_dead_node_is_not_waited_for() -> None:
    """Its connections died with it: 480 at once, and its datagrams are anybody's."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.die("a")
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]
    cluster.udp("b", registration(1), BOB)
    assert sent(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == [
        ("100", ALICE),
        ("INVITE", BOB),
    ]


def test_a_node_that_dies_while_it_is_asked() -> None:
    """Refused or silent, ringing or not: the caller hears 480 as soon as it is known, not after 32 s."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    rig = cluster.rigs["b"]
    contact = [("Contact", "<sip:alice@192.0.2.1>")]
    invite = only(cluster.udp("b", request(headers=contact), ALICE), "INVITE")
    assert sent(rig.failed(invite)) == [("480", ALICE)]
    invite = only(cluster.udp("b", request(branch="z9hG4bK2", call_id="2", headers=contact), ALICE), "INVITE")
    rings = request(branch="z9hG4bK3", call_id="3", headers=contact)
    ringing = only(cluster.udp("b", rings, ALICE), "INVITE")
    cluster.udp("b", reply(ringing, 180), ("192.0.2.10", 5060))
    message = request("MESSAGE", branch="z9hG4bK4", call_id="4")
    only(cluster.udp("b", message, ALICE), "MESSAGE")
    cluster.deaf.add("a")
    cluster.shelf.forget("a")
    told = {out.message.call_id for out in cluster.wait("b", 4.0) if out.to == ALICE and out.what == "480"}
    assert told >= {"2", "3", "4"}
    # And nothing is sent there any more.
    assert [out for out in cluster.wait("b", 40.0) if out.to == ("192.0.2.10", 5060)] == []


def test_a_node_in_another_life() -> None:
    """A node that restarted has none of its connections, though it lives and has its name."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.start("a")
    cluster.wait("b", 2.0)
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]
    assert what(cluster.udp("a", request(), ALICE)) == ["100", "480"]


def test_datagrams_behind_a_nat() -> None:
    """They go through the owner, which the NAT lets pass, while it lives; then from any node."""
    cluster = Cluster("a", "b")
    private = registration(1, "<sip:bob@10.0.0.5:5060>", NAT, via="SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKn")
    assert what(cluster.udp("a", private, NAT)) == ["200"]
    there, here = call(cluster, "b", "a")
    assert only(there, "INVITE").to == ("192.0.2.10", 5060)
    assert only(here, "INVITE").to == NAT
    # The owner's datagrams outlive its process.
    cluster.start("a")
    cluster.wait("b", 2.0)
    assert only(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE), "INVITE").to == (
        "192.0.2.10",
        5060,
    )
    cluster.die("a")
    assert only(cluster.udp("b", request(branch="z9hG4bK3", call_id="3"), ALICE), "INVITE").to == NAT


def test_tcp_without_a_nat() -> None:
    """A phone whose Contact is where it came from is connected to when its node died."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    via = "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKt"
    rig.tcp(conn, registration(1, "<sip:bob@192.0.2.2:5060;transport=tcp>", via=via))
    assert what(cluster.settle("a")) == ["200"]
    assert only(call(cluster, "b", "a")[1], "INVITE").to == conn
    cluster.die("a")
    outs = cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)
    assert only(outs, "Connect").to == ("192.0.2.2", 5060)


@pytest.mark.parametrize("through", ["a", "b"])
def test_a_lost_connection_to_a_phone_that_does_not_listen(through: str) -> None:
    """RFC 3261 21.4.18: it may have listened at its Contact, so that was tried; no server failed."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    via = "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKt"
    rig.tcp(conn, registration(1, "<sip:bob@192.0.2.2:5060;transport=tcp>", via=via))
    cluster.settle("a")
    rig.closed(conn)
    cluster.settle("a")
    outs = cluster.udp(through, request(headers=[("Contact", "<sip:alice@192.0.2.1>")]), ALICE)
    if through == "b":
        outs = cluster.udp("a", only(outs, "INVITE").data, ("192.0.2.20", 5060))
    outs = rig.closed(only(outs, "Connect"), "refused")
    if through == "b":
        # RFC 5626 5.3.1, 11.5: 430 is between the two of us.
        outs = cluster.udp("b", only(outs, "430").data, ("192.0.2.10", 5060))
    assert [out.what for out in outs if out.to == ALICE] == ["480"]


def test_a_token_of_strangers() -> None:
    """RFC 5626 5.3.1: only the holder of the key writes tokens; a forged one gets 403."""
    cluster = Cluster("a")
    forged = request(headers=[("Route", "<sip:f-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@192.0.2.10:5060;lr>")])
    assert "403" in what(cluster.udp("a", forged, ALICE))
