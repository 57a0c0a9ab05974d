"""Two user agents and the proxy on a wire that loses, repeats, delays and reorders: in the end they agree.

Issue 10, "What it must show". Whatever the two users do (ring, reliably or not, answer, refuse,
cancel, re-INVITE, UPDATE, hang up, both at once), when they have done it both ends believe
the same of every dialog and of its session, and when they have hung up nothing is left.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sansip import ListenerConfig, StackConfig
from sansip.proxy import ProxyConfig
from sansip.routing.default import route as default_route
from sansip.ua import CallRefused
from tests.properties.softphone import SDP, Session, Softphone
from tests.properties.wire import Faults, Server, Wire

DOMAIN = "biloxi.test"
ACTS = (
    "ring",
    "ring reliably",
    "early media",
    "accept",
    "refuse",
    "cancel",
    "invite",
    "update",
    "info",
    "bye",
)


async def bridging(request: Any) -> None:
    """The route of a B2BUA: one call, two dialogs."""
    if request.method != "INVITE":
        await default_route(request)
        return
    bridge = request.bridge("sip:bob@192.0.2.2")
    if bridge is not None:
        try:
            await bridge
        except CallRefused:
            pass


def begun(seed: int, faults: Faults, route: Any = default_route) -> tuple[Wire, Softphone, Softphone]:
    """Return a server with two registered phones."""
    wire = Wire(seed, Faults(loss=0, double=0, late=0))
    listeners = [ListenerConfig(0, "udp", "192.0.2.10", 5060)]
    config = StackConfig(listeners, [DOMAIN], proxy=ProxyConfig(), route=route)
    server = Server(wire, config, b"the seed of the proxy")
    alice = Softphone(wire, "alice", "192.0.2.1", server, DOMAIN)
    bob = Softphone(wire, "bob", "192.0.2.2", server, DOMAIN)
    for phone in (alice, bob):
        phone.register()
    wire.run(5)
    assert alice.registered
    assert bob.registered
    wire.faults = faults
    return wire, alice, bob


def act(what: str, phone: Softphone) -> None:
    """Have ``phone`` act on its call; an action that is not allowed now does nothing."""
    now = phone.wire.now
    if what == "cancel" and phone.invites:
        phone.invites[-1].cancel()
        return
    if not phone.all:
        return
    session = phone.all[-1]
    usage = session.usage
    match what:
        case "ring":
            session.act(usage.ring, 180, b"", [], False, now)
        case "ring reliably":
            session.act(usage.ring, 180, b"", [], True, now)
        case "early media":
            session.act(usage.ring, 183, phone.offer(), SDP, True, now)
        case "accept":
            session.act(usage.accept, phone.offer(), SDP, now)
        case "refuse":
            session.act(usage.reject, 486, None, [], now)
        case "invite":
            session.act(usage.invite, phone.offer(), SDP, now)
        case "update":
            session.act(usage.update, phone.offer(), SDP, now)
        case "info":
            session.act(usage.request, "INFO", [], b"", now)
        case "bye":
            session.bye()


def pairs(alice: Softphone, bob: Softphone) -> list[tuple[Session, Session | None]]:
    """Return each session of Alice with Bob's end of it."""
    ends = {(one.usage.dialog.id.call_id, one.usage.dialog.id.local_tag): one for one in bob.all}
    return [
        (one, ends.get((one.usage.dialog.id.call_id, one.usage.dialog.id.remote_tag))) for one in alice.all
    ]


def agree(alice: Softphone, bob: Softphone) -> None:
    """Both ends of each dialog believe the same."""
    for ours, theirs in pairs(alice, bob):
        assert theirs is not None
        states = (ours.usage.state, theirs.usage.state)
        if ours.ended or theirs.ended:
            assert ours.ended, states
            assert theirs.ended, states
            continue
        assert states == ("established", "established")
        assert ours.usage.exchange.is_stable
        assert theirs.usage.exchange.is_stable
        assert ours.agreed is not None
        assert theirs.agreed is not None
        assert ours.agreed == theirs.agreed[::-1]
        mine, yours = ours.usage.dialog, theirs.usage.dialog
        assert str(mine.remote_target) == str(yours.local_target)
        assert str(yours.remote_target) == str(mine.local_target)
        # RFC 3261 12.2.2: gaps are legal, for a challenge or a loss.
        assert (mine.remote_cseq or 0) <= (yours.local_cseq or 0)
    for phone in (alice, bob):
        for session in phone.all:
            if not session.ended:
                assert session.usage.state == "established", session.usage.state


def nothing_left(wire: Wire, *phones: Softphone) -> None:
    """No transaction, no timer, no dialog."""
    for phone in phones:
        assert phone.sessions == {}
        assert len(phone.layer) == 0
        assert all(one.gone for one in phone.all)
    wire.run(4000)
    for server in wire.servers:
        assert server.failures == []
        assert not any(server.stack.snapshot().values()), server.stack.snapshot()


SCRIPTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.0, 4.0]), st.booleans(), st.sampled_from(ACTS)),
    max_size=14,
)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    offer=st.booleans(),
    rough=st.booleans(),
    before=SCRIPTS,
    answered=st.booleans(),
    after=SCRIPTS,
)
def test_both_ends_agree(seed, offer, rough, before, answered, after) -> None:
    """The promise of a signalling protocol: no user is left talking to a dead line."""
    faults = Faults(loss=0.12, double=0.15, late=0.1) if rough else Faults(loss=0, double=0.05, late=0)
    wire, alice, bob = begun(seed, faults)
    played(wire, alice, bob, offer, before, answered, after)
    agree(alice, bob)
    hung_up(wire, alice, bob)
    agree(alice, bob)
    nothing_left(wire, alice, bob)


def played(wire, alice, bob, offer, before, answered, after) -> None:
    """Alice calls Bob, and both do what is drawn; then nobody does anything for a long time."""
    alice.call(bob.aor, offer=offer)
    for script, last in ((before, "accept" if answered else "ring"), (after, "info")):
        for wait, caller, what in script:
            wire.run(wait)
            act(what, alice if caller else bob)
        act(last, bob)
        wire.run(3)
    # Ringing calls are refused, and requests under way come to their end.
    act("refuse", bob)
    wire.run(400)


def hung_up(wire, alice, bob) -> None:
    """Both hang up over a calm wire."""
    wire.faults = Faults(loss=0, double=0, late=0)
    for phone in (alice, bob):
        for session in list(phone.all):
            session.bye()
    wire.run(200)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    offer=st.booleans(),
    rough=st.booleans(),
    before=SCRIPTS,
    answered=st.booleans(),
    after=SCRIPTS,
)
def test_both_ends_of_a_bridge_agree(seed, offer, rough, before, answered, after) -> None:
    """The same with a B2BUA between: a call that is up on one leg is up on the other, and only then."""
    faults = Faults(loss=0.12, double=0.15, late=0.1) if rough else Faults(loss=0, double=0.05, late=0)
    wire, alice, bob = begun(seed, faults, bridging)
    played(wire, alice, bob, offer, before, answered, after)
    up = [[one for one in phone.all if not one.ended] for phone in (alice, bob)]
    assert len(up[0]) == len(up[1]) <= 1
    for one in (*up[0], *up[1]):
        assert one.usage.state == "established"
        assert one.usage.exchange.is_stable
    for ours, theirs in zip(*up, strict=True):
        assert ours.agreed is not None
        assert theirs.agreed is not None
        assert ours.agreed == theirs.agreed[::-1]
    hung_up(wire, alice, bob)
    assert all(one.ended for phone in (alice, bob) for one in phone.all)
    nothing_left(wire, alice, bob)
