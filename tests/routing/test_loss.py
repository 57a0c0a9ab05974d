"""Bindings of a lost connection: some go, some stay, and watchers hear of it (RFC 5626 7)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from sansip.events import BindingsChanged
from sansip.location import LocationUpdate, SharedRecord
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer
from tests.proxy.test_fail_over import LISTENERS, SOURCES, Phone, call, via_edge
from tests.rig import ALICE, Rig, only, reply, request, sent, what
from tests.routing.test_shared import AOR, WebPhone
from tests.shelf import Cluster

EDGE = TrustedPeer("192.0.2.9")

POLICIES = ("unreachable", "remove", "keep")


def rig(policy: Any = "unreachable", **options: Any) -> Rig:
    return Rig(listeners=LISTENERS, registrar=RegistrarConfig(lost_flow=policy), **options)


def left(bench: Rig) -> list[str]:
    return [one.contact for one in bench.stack.location.lookup(AOR, bench.now)]


@pytest.mark.parametrize("policy", POLICIES)
def test_an_outbound_flow(policy: str) -> None:
    """RFC 5626 7: invalid at once, unless the operator wants to see it until it expires."""
    bench = rig(policy)
    phone = Phone(bench)
    bench.closed(phone.flow(1))
    assert left(bench) == ([phone.contact] if policy == "keep" else [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_browser(policy: str) -> None:
    """RFC 7118 5: nothing else leads there, reg-id or not."""
    bench = rig(policy)
    phone = Phone(bench, "ws")
    bench.closed(phone.flow(1, reg_id=False))
    assert left(bench) == ([phone.contact] if policy == "keep" else [])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_phone_that_can_be_connected_to(policy: str) -> None:
    """A TCP phone listens at its Contact, so a lost connection says nothing (RFC 3261 18)."""
    bench = rig(policy)
    phone = Phone(bench)
    phone.contact = f"sip:bob@{SOURCES[1][0]};transport=tcp"
    bench.closed(phone.flow(1, reg_id=False))
    assert left(bench) == ([] if policy == "remove" else [phone.contact])
    if policy != "remove":
        assert what(call(bench)) == ["100", "Connect"]


def test_a_phone_behind_a_nat() -> None:
    """Its Contact leads nowhere, and the way back through the NAT went with the connection."""
    bench = rig()
    bench.closed(Phone(bench).flow(1, reg_id=False))
    assert left(bench) == []


def test_others_stay() -> None:
    """Only the bindings of this connection go; a refresh over a new one has left it."""
    bench = rig()
    phone = Phone(bench)
    old = phone.flow(1)
    phone.flow(2)
    conn = bench.accept(("203.0.113.5", 45_000), 1)
    bench.tcp(conn, registration(phone, cseq=2))
    bench.closed(old)
    assert len(left(bench)) == 2


def test_it_is_told() -> None:
    """The log, presence and counters hear of it."""
    bench = rig()
    phone = Phone(bench)
    conn = phone.flow(1)
    phone.flow(2)
    bench.closed(conn)
    assert bench.events[-1] == BindingsChanged(AOR, 1, "lost")


@pytest.mark.parametrize("answer", [None, OSError("disk full")])
def test_the_store_is_told_and_not_waited_for(answer: Any) -> None:
    """Memory forgets at once; where the store fails, the binding fails as fast after a restart."""
    bench = rig(durable=True)
    phone = Phone(bench)
    conn = bench.accept(SOURCES[1], 1)
    bench.tcp(conn, registration(phone))
    bench.answer(None)
    bench.closed(conn)
    assert left(bench) == []
    (ask,) = bench.asks
    assert isinstance(ask.question, LocationUpdate)
    assert (len(ask.question.before), ask.question.after) == (1, ())
    assert bench.answer(answer) == []
    assert left(bench) == []


def registration(phone: Phone, cseq: int = 1) -> bytes:
    aor = f"<{AOR}>"
    return request(
        "REGISTER", "sip:biloxi.test", via="SIP/2.0/TCP 10.0.0.5;branch=z9hG4bKr", call_id="bob1", cseq=cseq,
        sender=aor, to=aor,
        headers=[("Contact", f'<{phone.contact}>;+sip.instance="<{phone.instance}>";reg-id=1')],
    )  # fmt: skip


def test_a_restored_flow_fails_at_once() -> None:
    """A binding that the store brought back has no connection: 480, without an attempt (RFC 5626 7)."""
    before = rig()
    Phone(before).flow(1)
    bindings = [one for _, record in before.stack.location.snapshot() for one in record]
    for one in bindings:
        one.flow = None
    after = rig()
    assert after.stack.restore(bindings, after.now) == 1
    assert what(call(after)) == ["100", "480"]


def test_a_430_removes_what_it_is_about() -> None:
    """The edge proxy says that the flow is no more: the next call does not try it."""
    bench = rig(trusted=[EDGE])
    for number in (1, 2):
        via_edge(bench, number, [("Via", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKp"),
                                 ("Path", f"<sip:t{number}@192.0.2.9;lr;ob>")])  # fmt: skip
    invite = only(call(bench), "INVITE")
    bench.udp(reply(invite, 430), ("192.0.2.9", 5060))
    assert [one.reg_id for one in bench.stack.location.lookup(AOR, bench.now)] == [1]


def test_a_430_that_came_too_late() -> None:
    """The phone has registered the flow again meanwhile: that one is another."""
    bench = rig(trusted=[EDGE])
    headers = [("Via", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKp"), ("Path", "<sip:t1@192.0.2.9;lr;ob>")]
    via_edge(bench, 1, headers)
    invite = only(call(bench), "INVITE")
    binding = bench.stack.location.lookup(AOR, bench.now)[0]
    again = LocationUpdate(AOR, (binding,), (type(binding)(**{**_fields(binding), "cseq": 2}),))
    bench.stack.location.apply(again, bench.now)
    bench.udp(reply(invite, 430), ("192.0.2.9", 5060))
    assert len(left(bench)) == 1


def _fields(binding: Any) -> dict[str, Any]:
    return {field.name: getattr(binding, field.name) for field in fields(binding)}


def test_a_refused_datagram_removes_the_flow() -> None:
    """RFC 5626 7: an ICMP error on a UDP flow."""
    bench = rig()
    phone = Phone(bench, "udp")
    phone.flow(1)
    invite = only(call(bench), "INVITE")
    assert sent(bench.failed(invite)) == [("480", ALICE)]
    assert left(bench) == []


def test_a_shared_location() -> None:
    """Every node forgets it: the record changes, by compare and swap."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    phone.rig.closed(phone.conn)
    assert cluster.rigs["a"].stack.location.lookup(AOR, phone.rig.now) == []
    cluster.settle("a")
    assert AOR not in cluster.shelf.records
    assert cluster.rigs["a"].events[-1] == BindingsChanged(AOR, 0, "lost")


def test_a_shared_location_where_another_was_quicker() -> None:
    """The binding that another node wrote stays, and the lost one goes all the same."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    other = WebPhone(cluster, "b", "<sip:bob@other.invalid;transport=ws>")
    other.register()
    phone.rig.closed(phone.conn)
    cluster.settle("a")
    record: SharedRecord = cluster.shelf.records[AOR]
    assert [one.contact for one in record.bindings] == ["sip:bob@other.invalid;transport=ws"]


def test_a_shared_phone_that_has_come_back() -> None:
    """The browser is at another node already: its new binding is not the lost one."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register(1)
    again = WebPhone(cluster, "b")
    again.register(2)
    phone.rig.closed(phone.conn)
    cluster.settle("a")
    assert len(cluster.shelf.records[AOR].bindings) == 1
