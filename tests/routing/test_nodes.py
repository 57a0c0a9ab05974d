"""The nodes that share a location: they fall silent, come back, leave, or lie about their names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sansip.location import NodeConfig, NodeFlow
from tests.rig import ALICE, BOB, Rig, only, reply, request, what
from tests.routing.test_phones_of_nodes import call
from tests.routing.test_shared import AOR, WebPhone, registration
from tests.shelf import KEY, Cluster

# --- the nodes


def test_an_outage_kills_nobody() -> None:
    """While the store is gone the nodes ask each other, and no request waits for a silent node."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.udp("b", request(branch="z9hG4bK0", call_id="0"), ALICE)
    cluster.shelf.down = True
    cluster.wait("b", 60.0)
    assert only(cluster.udp("b", request(), ALICE), "INVITE").to == ("192.0.2.10", 5060)
    cluster.deaf.add("a")
    cluster.wait("b", 4.0)
    assert "480" in what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE))
    # It is there again with the store.
    cluster.shelf.down = False
    cluster.deaf.clear()
    cluster.wait("b", 2.0)
    invite = request(branch="z9hG4bK3", call_id="3")
    assert only(cluster.udp("b", invite, ALICE), "INVITE").to == ("192.0.2.10", 5060)


def test_a_node_that_only_lost_the_store() -> None:
    """Issue 23: it is asked over SIP before it is given up, and its phones are called on."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.shelf.forget("a")
    cluster.wait("b", 30.0)
    assert only(cluster.udp("b", request(), ALICE), "INVITE").to == ("192.0.2.10", 5060)
    nodes = cluster.rigs["b"].stack.nodes
    assert nodes is not None
    assert [state.name for state in nodes.cut_off] == ["a"]
    cluster.wait("a", 2.0)
    cluster.wait("b", 2.0)
    assert nodes.cut_off == []
    told = [(one.name, one.state) for one in cluster.rigs["b"].events if type(one).__name__ == "NodeChanged"]
    assert told == [("a", "lives"), ("a", "cut off"), ("a", "lives")]


def test_a_node_that_does_not_answer_here() -> None:
    """RFC 3263 4.3: cut off from each other, both with the store: 480 after 5 s, and not after 32."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.deaf.add("a")
    only(cluster.udp("b", request(), ALICE), "INVITE")
    outs = cluster.wait("b", 40.0)
    assert [(out.what, round(out.time - cluster.rigs["a"].now)) for out in outs if out.what == "480"][:1] == [
        ("480", 5)
    ]
    # The next caller does not wait at all.
    assert what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == ["100", "480"]
    cluster.deaf.clear()
    cluster.wait("b", 2.0)
    again = cluster.udp("b", request(branch="z9hG4bK3", call_id="3"), ALICE)
    assert only(again, "INVITE").to == ("192.0.2.10", 5060)


def test_a_node_in_another_life_answers_for_itself_alone() -> None:
    """Another process has the address of the dead node by now.

    It has no proof of that node's life, so it says that the node is gone.
    """
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.shelf.forget("a")
    cluster.start("a")
    cluster.shelf.forget("a")
    cluster.wait("b", 2.0)
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]


@pytest.mark.parametrize("answer", ["200", "404", "forged"])
def test_a_stranger_cannot_answer_for_a_node(answer: str) -> None:
    """RFC 3261 11.2: any server says 200 to an OPTIONS; only the node has the proof."""
    cluster = Cluster("a", "b")
    cluster.deaf.add("a")
    cluster.shelf.forget("a")
    asked = [out for out in cluster.rigs["b"].wait(2.0) if out.what == "OPTIONS"]
    assert asked == []
    cluster.settle("b")
    nodes = cluster.rigs["b"].stack.nodes
    assert nodes is not None
    (ask,) = [out for out in cluster.rigs["b"].log if out.what == "OPTIONS"]
    data = reply(ask, 404 if answer == "404" else 200, tag="x" * 16 if answer == "forged" else "other")
    cluster.rigs["b"].udp(data, ("192.0.2.10", 5060))
    assert nodes.others == []


def test_nobody_else_is_answered_so() -> None:
    """A stranger that asks a node whether it lives is a caller like any other."""
    cluster = Cluster("a")
    asks = request("OPTIONS", "sip:n-0123456789abcdef@192.0.2.10:5060")
    assert what(cluster.udp("a", asks, ALICE)) == ["404"]


# --- nodes that are not as they should be


def test_two_nodes_of_one_name() -> None:
    """Issue 23: each is named to the other, and phones of both are called through both and a third one."""
    cluster = Cluster("a", "b", "c")
    # b is now named a, as if its configuration had been copied.
    config = cluster.rigs["b"].stack.config
    twin = Rig(
        listeners=config.listeners,
        seed=b"seed of the twin, long enough",
        secret=KEY,
        node="a",
        shared=config.shared,
    )
    cluster.die("b")
    cluster.rigs["b"] = twin
    cluster.deaf.clear()
    twin.stack.join(twin.now)
    for name in "bacbac":
        cluster.wait(name, 2.0)
    for name, other in (("a", "192.0.2.20:5060"), ("b", "192.0.2.10:5060")):
        told = [one for one in cluster.rigs[name].events if getattr(one, "state", "") == "twin"]
        assert [(one.name, one.address) for one in told] == [("a", other)]
    number = 0
    for home in "ab":
        phone = WebPhone(cluster, home)
        assert what(phone.register(1 + "ab".index(home))) == ["200"]
        for through in "abc":
            number += 1
            invite = request(branch=f"z9hG4bKt{number}", call_id=f"t{number}", from_tag=f"t{number}")
            outs = cluster.udp(through, invite, ALICE)
            if through != home:
                outs = cluster.udp(home, only(outs, "INVITE").data, cluster.address(through))
            assert only(outs, "INVITE").to == phone.conn


def test_a_node_with_another_key() -> None:
    """Issue 23: it is named, no node sends to it or believes it, and all others go on."""
    cluster = Cluster("a", "b")
    config = cluster.rigs["a"].stack.config
    listeners = [replace(one, host="192.0.2.30") for one in config.listeners]
    stranger = Rig(
        listeners=listeners,
        seed=b"seed of the stranger, long enough",
        secret=b"some other key that nobody else has",
        node="c",
        shared=NodeConfig("192.0.2.30:5060"),
    )
    cluster.rigs["c"] = stranger
    stranger.stack.join(stranger.now)
    for name in "cabc":
        cluster.wait(name, 2.0)
    for name in "ab":
        told = [one for one in cluster.rigs[name].events if getattr(one, "state", "") == "stranger"]
        assert [(one.name, one.address) for one in told] == [("c", "192.0.2.30:5060")]
    assert stranger.stack.nodes is not None
    assert (len(stranger.stack.nodes.strangers), stranger.stack.nodes.others) == (2, [])
    # Other nodes do not wait for phones that only its connections reach.
    WebPhone(cluster, "c").register()
    assert what(cluster.udp("b", request(branch="z9hG4bKs"), ALICE)) == ["100", "480"]
    # And the nodes that have the key go on.
    phone = WebPhone(cluster, "a")
    phone.register(2)
    assert only(call(cluster, "b", "a")[1], "INVITE").to == phone.conn


def test_what_becomes_of_nodes_is_told() -> None:
    """Operators read of nodes that come, drain and go."""
    cluster = Cluster("a", "b")
    a, b = cluster.rigs["a"], cluster.rigs["b"]
    b.take(b.stack.drain(b.now))
    cluster.wait("b", 2.0)
    cluster.wait("a", 2.0)
    cluster.die("b")
    told = [(event.name, event.state) for event in a.events if type(event).__name__ == "NodeChanged"]
    assert told == [("b", "lives"), ("b", "drains"), ("b", "gone")]


@pytest.mark.parametrize("linger", [0.0, 30.0])
def test_a_draining_node_serves_whom_it_alone_reaches(linger: float) -> None:
    """Phones on its connections are called and may call while it lingers; all others are sent away."""
    cluster = Cluster("a", "b", linger=linger)
    phone = WebPhone(cluster, "a")
    phone.register()
    a = cluster.rigs["a"]
    trunk = a.accept(("192.0.2.9", 5060), 1, "tcp")
    a.take(a.stack.drain(a.now))
    # A server's connection is no phone's: it knows other nodes.
    via = "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKtrunk"
    assert what(a.tcp(trunk, request(via=via))) == ["503"]
    served = "200" if linger else "503"
    assert what(phone.register(2)) == [served]
    assert what(cluster.udp("a", registration(1), BOB)) == ["503"]
    late = WebPhone(cluster, "a", "<sip:bob@new.invalid;transport=ws>")
    assert what(late.register()) == ["503"]
    _, here = call(cluster, "b", "a")
    assert ("INVITE" in what(here)) == bool(linger)
    if linger:
        assert not a.stack.idle
        cluster.wait("a", linger)
        assert what(phone.register(3)) == ["503"]


def test_bindings_carry_node_and_flow() -> None:
    """The record in the store names the owner, its life, and a token that other nodes may use."""
    cluster = Cluster("a")
    WebPhone(cluster, "a").register()
    (binding,) = cluster.shelf.records[AOR].bindings
    flow = binding.flow
    assert isinstance(flow, NodeFlow)
    assert (flow.node, flow.transport, flow.direct) == ("a", "ws", False)
    assert flow.token.startswith("f-")
