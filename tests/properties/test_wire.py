"""Calls over a wire that loses, repeats, delays and reorders: both sides agree, and nothing is left.

Issue 2, "What it must show", 5. Phones are small state machines of their own
(``phone.py``); everything is drawn from the seed of the test.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.proxy import ProxyConfig
from sansip.routing.default import route as default_route
from tests.properties.phone import Habit, Outgoing, Phone
from tests.properties.wire import Faults, Server, Wire

CALM = Faults(loss=0.0, double=0.0, late=0.0)
ROUGH = Faults(loss=0.15, double=0.15, late=0.1)


def server(wire: Wire, number: int = 10, domain: str = "biloxi.test", **options: Any) -> Server:
    host = f"192.0.2.{number}"
    listeners = [ListenerConfig(0, "udp", host, 5060), ListenerConfig(1, "tcp", host, 5060)]
    options.setdefault("proxy", ProxyConfig())
    return Server(wire, StackConfig(listeners, [domain], **options), f"the seed of server {number}".encode())


def registered(wire: Wire, phones: list[Phone]) -> None:
    """All phones have registered; over a rough wire it may take some tries."""
    for phone in phones:
        phone.register(900)
    wire.run(60)
    assert all(phone.registered for phone in phones)


def agree(phones: list[Phone]) -> None:
    """Every dialog that one side believes in, the other believes in, too."""
    up = [
        (dialog.call_id, dialog.tags)
        for phone in phones
        for dialog in phone.dialogs
        if dialog.state != "ended"
    ]
    assert sorted(map(str, up)) == sorted(str(one) for one in up if up.count(one) == 2)
    for phone in phones:
        # 13.3.1.4, 16.7 step 5, RFC 6026 7: eleven tries of the 2xx, and of its ACK, get through.
        assert phone.unacknowledged == []
        # RFC 6026 3: a repeated INVITE is no new one.
        assert len({call_id for call_id, _, _ in phone.rung}) == len(phone.rung)
        for call in phone.calls:
            assert call.state == "over", (phone.name, call.state)
            rung = [one for other in phones for one in other.rung if one[0] == call.call_id]
            # No phone rings on when the call is over: 16.7 step 10, 16.10.
            assert all(final and at < call.over_at + 40 for _, final, at in rung)
            # The caller hears of the end: 17.2.1, 16.7 step 6.
            assert not rung or call.over_at < max(at for _, _, at in rung) + 40
            # A dialog that the caller saw, some callee has accepted.
            for dialog in call.dialogs.values():
                others = [one for other in phones if other is not phone for one in other.dialogs]
                assert any((one.call_id, one.tags) == (dialog.call_id, dialog.tags) for one in others)


def nothing_left(wire: Wire) -> None:
    """Every registration expires, every timer fires: the stacks are as new."""
    wire.run(2000)
    for one in wire.servers:
        for conn in list(one.streams):
            one.close(conn)
    wire.run(4000)
    for one in wire.servers:
        assert one.failures == []
        assert not any(one.stack.snapshot().values()), one.stack.snapshot()


def hung_up(phones: list[Phone]) -> None:
    """No call is up any more, on either side."""
    assert {dialog.state for phone in phones for dialog in phone.dialogs} <= {"ended"}


@pytest.mark.parametrize("caller", ["udp", "tcp"])
@pytest.mark.parametrize("callee", ["udp", "tcp"])
def test_a_calm_call(caller: str, callee: str) -> None:
    """The wire itself: without faults a call is set up and ended with the fewest messages."""
    wire = Wire("calm", CALM)
    one = server(wire)
    alice = Phone(wire, "alice", "192.0.2.1", one, domain="biloxi.test", tcp=caller == "tcp")
    bob = Phone(wire, "bob", "192.0.2.2", one, domain="biloxi.test", tcp=callee == "tcp")
    registered(wire, [alice, bob])
    carried = wire.carried
    call = alice.call(bob.aor, cancel=None, hang_up=5)
    wire.run(4)
    assert [(dialog.state, dialog.tags) for dialog in bob.dialogs] == [
        ("up", dialog.tags) for dialog in alice.dialogs
    ]
    wire.run(60)
    assert call.status == 200
    if (caller, callee) == ("udp", "udp"):
        # INVITE 100 INVITE 180 180 200 200 ACK ACK BYE BYE 200 200
        assert wire.carried - carried == 13
    hung_up([alice, bob])
    nothing_left(wire)


def random_habit(chance: random.Random) -> Habit:
    """Answer, refuse or ring on; some hang up."""
    status = chance.choice([200, 200, 200, 200, 486, 603, 503, 404, 0])
    return Habit(
        chance.uniform(0, 1), chance.uniform(0, 12), status, chance.choice([None, chance.uniform(0, 40)])
    )


def call_each_other(
    wire: Wire, chance: random.Random, phones: list[Phone], aors: list[str], calls: int
) -> list[Outgoing]:
    """Some calls at random times, each hung up and perhaps cancelled at some time."""
    made: list[Outgoing] = []

    def start(phone: Phone, aor: str, cancel: float) -> None:
        made.append(phone.call(aor, cancel=cancel, hang_up=chance.uniform(0, 60)))

    for _ in range(calls):
        phone = chance.choice(phones)
        aor = chance.choice([one for one in aors if one != phone.aor])
        # The caller's patience ends some time; often long after the answer.
        cancel = chance.choice([chance.uniform(0, 15), 100.0])
        wire.after(chance.uniform(0, 30), partial(start, phone, aor, cancel))
    return made


@pytest.mark.parametrize("seed", range(60))
def test_two_phones(seed: int) -> None:
    """Two phones call each other, over UDP or TCP, on a rough wire; either may hang up first."""
    chance = random.Random(f"two {seed}")
    wire = Wire(seed, ROUGH)
    one = server(wire)
    phones = [
        Phone(wire, name, f"192.0.2.{last}", one, domain="biloxi.test", tcp=chance.random() < 0.3)
        for last, name in enumerate(("alice", "bob"), 1)
    ]
    registered(wire, phones)
    for phone in phones:
        phone.habit = random_habit(chance)
    calls = call_each_other(wire, chance, phones, [phone.aor for phone in phones], 3)
    wire.run(400)
    assert len(calls) == 3
    agree(phones)
    hung_up(phones)
    nothing_left(wire)


@pytest.mark.parametrize("seed", range(40))
def test_forks(seed: int) -> None:
    """Bob has three phones, and each has its own mind: one dialog at the most survives its first second."""
    chance = random.Random(f"fork {seed}")
    wire = Wire(seed, ROUGH)
    one = server(wire)
    alice = Phone(wire, "alice", "192.0.2.1", one, domain="biloxi.test", tcp=chance.random() < 0.3)
    bobs = [
        Phone(
            wire,
            f"bob{last}",
            f"192.0.2.{last}",
            one,
            domain="biloxi.test",
            aor="bob",
            tcp=chance.random() < 0.3,
        )
        for last in (2, 3, 4)
    ]
    phones = [alice, *bobs]
    registered(wire, phones)
    for phone in bobs:
        phone.habit = random_habit(chance)
        if chance.random() < 0.5:
            # All at once: CANCEL and 200 cross.
            phone.habit.decide = 2.0
    calls = call_each_other(wire, chance, [alice], ["sip:bob@biloxi.test"], 2)
    wire.run(400)
    agree(phones)
    hung_up(phones)
    for call in calls:
        # 16.7 step 5: one failure, or one or more 2xx; never a failure after a success.
        assert (call.status == 200) == bool(call.dialogs)
    nothing_left(wire)


@pytest.mark.parametrize("seed", range(25))
def test_two_servers(seed: int) -> None:
    """A call crosses two servers, each losing its own datagrams on the way."""
    chance = random.Random(f"servers {seed}")
    wire = Wire(seed, ROUGH)
    servers: dict[str, Server] = {}

    def route_of(domain: str, other: str, other_host: str) -> Any:
        async def route(incoming: Any) -> None:
            uri = incoming.uri
            if incoming.in_dialog or uri.host != other or incoming.method in ("ACK", "CANCEL", "REGISTER"):
                await default_route(incoming)
            elif incoming.validate():
                # Our users call the other domain through its server.
                incoming.record_route()
                incoming.message.set("Route", f"<sip:{other_host};lr>")
                incoming.relay()

        return route

    servers["a"] = server(wire, 10, "a.test", route=route_of("a.test", "b.test", "192.0.2.20"))
    servers["b"] = server(wire, 20, "b.test", route=route_of("b.test", "a.test", "192.0.2.10"))
    phones = [
        Phone(wire, "alice", "192.0.2.1", servers["a"], domain="a.test", tcp=chance.random() < 0.3),
        Phone(wire, "bob", "192.0.2.2", servers["b"], domain="b.test", tcp=chance.random() < 0.3),
    ]
    registered(wire, phones)
    for phone in phones:
        phone.habit = random_habit(chance)
    call_each_other(wire, chance, phones, [phone.aor for phone in phones], 3)
    wire.run(500)
    agree(phones)
    hung_up(phones)
    nothing_left(wire)


def test_the_wire_is_rough() -> None:
    """The faults are real ones: or the tests above would prove nothing."""
    wire = Wire("rough", ROUGH)
    received: list[int] = []

    class Listener:
        def datagram(self, data: bytes, source: Any) -> None:
            received.append(int(data))

    wire.parties["192.0.2.1", 1] = Listener()
    for number in range(1000):
        wire.after(number / 100, partial(wire.send, ("x", 1), ("192.0.2.1", 1), b"%d" % number))
    wire.run(100)
    assert 750 < len(set(received)) < 950
    assert len(received) > len(set(received)) + 50
    assert received != sorted(received)
