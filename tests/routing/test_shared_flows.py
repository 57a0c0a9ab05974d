"""Flows of one phone to several nodes of one location (RFC 5626 3.4, 7): any node fails over between them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.rig import ALICE, Out, only, reply, request, sent, what
from tests.routing.test_shared import AOR, NAT
from tests.shelf import Cluster

UUID = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
ADDRESSES = {"a": ("192.0.2.10", 5060), "b": ("192.0.2.20", 5060), "c": ("192.0.2.30", 5060)}
CONTACT = "sip:bob@b3.invalid;transport=ws"


class Flow:
    """A browser's WebSocket to one node, registered under ``reg_id``."""

    def __init__(self, cluster: Cluster, name: str, reg_id: int) -> None:
        self.cluster, self.name, self.reg_id = cluster, name, reg_id
        self.rig = cluster.rigs[name]
        self.conn = self.rig.accept((NAT[0], NAT[1] + reg_id), 2, "ws")

    def register(self, cseq: int = 1) -> Out:
        headers = [
            ("Contact", f'<{CONTACT}>;+sip.instance="<{UUID}>";reg-id={self.reg_id}'),
            ("Supported", "path, outbound, gruu"),
        ]
        via = f"SIP/2.0/WS b3.invalid;branch=z9hG4bKw{self.reg_id}{cseq}"
        data = request("REGISTER", "sip:biloxi.test", via=via, sender=f"<{AOR}>", to=f"<{AOR}>",
                       call_id=f"flow{self.reg_id}", cseq=cseq, headers=headers)  # fmt: skip
        outs = [*self.rig.tcp(self.conn, data, boundary=True), *self.cluster.settle(self.name)]
        for rig in self.cluster.rigs.values():
            rig.now += 1
        return only(outs, "200")


def carry(cluster: Cluster, here: str, outs: list[Out]) -> list[Out]:
    """Carry messages from node to node; return those that go elsewhere."""
    nodes = {address: name for name, address in ADDRESSES.items() if name in cluster.rigs}
    elsewhere = []
    pending = [(here, out) for out in outs]
    while pending:
        name, out = pending.pop(0)
        if out.to in nodes:
            there = nodes[out.to]
            pending += [(there, one) for one in cluster.udp(there, out.data, ADDRESSES[name])]
        else:
            elsewhere.append(out)
    return elsewhere


def call(cluster: Cluster, name: str, uri: str = AOR, **options: Any) -> list[Out]:
    invite = request(uri=uri, headers=[("Contact", "<sip:alice@192.0.2.1>")], **options)
    return carry(cluster, name, cluster.udp(name, invite, ALICE))


@pytest.mark.parametrize("through", ["a", "b", "c"])
def test_one_flow_at_a_time(through: str) -> None:
    """Whichever node is asked, one flow of the two gets the call: the one refreshed last."""
    cluster = Cluster("a", "b", "c")
    Flow(cluster, "a", 1).register()
    last = Flow(cluster, "b", 2)
    assert only([last.register()], "200").message.get("require") == "outbound"
    rings = [out for out in call(cluster, through) if out.what == "INVITE"]
    assert sent(rings) == [("INVITE", last.conn)]


@pytest.mark.parametrize("through", ["a", "b", "c"])
def test_a_connection_of_another_node_is_lost(through: str) -> None:
    """It goes from the location; the other flow gets the call."""
    cluster = Cluster("a", "b", "c")
    first = Flow(cluster, "a", 1)
    first.register()
    last = Flow(cluster, "b", 2)
    last.register()
    last.rig.closed(last.conn)
    cluster.settle("b")
    assert [one.reg_id for one in cluster.shelf.records[AOR].bindings] == [1]
    rings = [out for out in call(cluster, through) if out.what == "INVITE"]
    assert sent(rings) == [("INVITE", first.conn)]


def test_a_node_that_has_not_told_yet() -> None:
    """The record still has the lost flow: its node says 430, and the next flow rings (RFC 5626 7)."""
    cluster = Cluster("a", "b", "c")
    first = Flow(cluster, "a", 1)
    first.register()
    last = Flow(cluster, "b", 2)
    last.register()
    last.rig.closed(last.conn)
    # Its questions to the store are not answered yet.
    last.rig.asks.clear()
    rings = [out for out in call(cluster, "c") if out.what == "INVITE"]
    assert sent(rings) == [("INVITE", first.conn)]
    # c has heard that the flow is gone, and forgets it for all.
    cluster.settle("c")
    assert [one.reg_id for one in cluster.shelf.records[AOR].bindings] == [1]


def test_a_node_that_died() -> None:
    """Its connections went with it: the flow to the other node rings, without waiting."""
    cluster = Cluster("a", "b", "c")
    first = Flow(cluster, "a", 1)
    first.register()
    Flow(cluster, "b", 2).register()
    cluster.die("b")
    rings = [out for out in call(cluster, "c") if out.what == "INVITE"]
    assert sent(rings) == [("INVITE", first.conn)]


def test_gruus_of_any_node() -> None:
    """RFC 5627: given out by one node, good at every other, and gone everywhere with the last flow."""
    cluster = Cluster("a", "b", "c")
    phone = Flow(cluster, "a", 1)
    found = re.search('temp-gruu="([^"]+)"', phone.register().message.get("contact") or "")
    assert found is not None
    outs = call(cluster, "c", found[1])
    invite = only([out for out in outs if out.to == phone.conn], "INVITE")
    assert invite.message.uri_text == CONTACT
    answer = [*phone.rig.tcp(phone.conn, reply(invite, 486), boundary=True), *cluster.settle("a")]
    assert "486" in what(carry(cluster, "a", answer))
    phone.rig.closed(phone.conn)
    cluster.settle("a")
    assert what(call(cluster, "c", found[1], call_id="2", branch="z9hG4bK2"))[-1] == "404"
