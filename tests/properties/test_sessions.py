"""Two user agents and the proxy on a wire that loses, repeats, delays and reorders: in the end they agree.

Issue 10, "What it must show". Whatever the two users do (ring, reliably or not, answer, refuse,
cancel, re-INVITE, UPDATE, hang up, both at once), when they have done it both ends believe
the same of every dialog and of its session, and when they have hung up nothing is left.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sansip import ListenerConfig, StackConfig
from sansip.proxy import ProxyConfig
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


def begun(seed: int, faults: Faults) -> tuple[Wire, Softphone, Softphone]:
    """Return a proxy with two registered phones."""
    wire = Wire(seed, Faults(loss=0, double=0, late=0))
    server = Server(
        wire,
        StackConfig([ListenerConfig(0, "udp", "192.0.2.10", 5060)], [DOMAIN], proxy=ProxyConfig()),
        b"the seed of the proxy",
    )
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
    """Have ``phone`` do something with its call; what is not allowed now does nothing."""
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
    """The promise of a signalling protocol: nobody is left talking to nobody."""
    faults = Faults(loss=0.12, double=0.15, late=0.1) if rough else Faults(loss=0, double=0.05, late=0)
    wire, alice, bob = begun(seed, faults)
    alice.call(bob.aor, offer=offer)
    for script, last in ((before, "accept" if answered else "ring"), (after, "info")):
        for wait, caller, what in script:
            wire.run(wait)
            act(what, alice if caller else bob)
        act(last, bob)
        wire.run(3)
    # Whatever still rings is refused, whatever is under way comes to its end.
    act("refuse", bob)
    wire.run(400)
    agree(alice, bob)
    wire.faults = Faults(loss=0, double=0, late=0)
    for phone in (alice, bob):
        for session in list(phone.all):
            session.bye()
    wire.run(200)
    agree(alice, bob)
    nothing_left(wire, alice, bob)
