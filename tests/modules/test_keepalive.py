"""Keepalives to registered phones, on a virtual clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sansip.config import Reconfiguration
from sansip.errors import LocalProtocolError
from sansip.events import BindingsChanged, KeepaliveAnswered, KeepaliveUnanswered
from sansip.location import Binding, LocationUpdate, NodeConfig, Source
from sansip.module import Use
from sansip.modules.keepalive import Keepalive, KeepaliveConfig
from sansip.routing import TrustedPeer
from sansip.transport import Flow
from tests.rig import BOB, BOB_URI, HOST, TCP, UDP, Out, Rig, reply, request, what

# At home it is 10.0.0.9, its NAT is 198.51.100.2.
NATTED, HOME = ("198.51.100.2", 42000), "sip:bob@10.0.0.9:5060"
AOR = "sip:bob@biloxi.test"


def rig(**options: Any) -> Rig:
    others = ("durable", "limits", "listeners", "trusted")
    more = {name: options.pop(name) for name in others if name in options}
    return Rig(modules=[Use(Keepalive, KeepaliveConfig(**{"interval": 30, **options}))], **more)


def rounds(bench: Rig, seconds: float, answers: int | None = None) -> list[Out]:
    """Let time pass; every OPTIONS is answered after 40 ms with ``answers``."""
    end = bench.now + seconds
    outs: list[Out] = []
    while (deadline := bench.stack.next_deadline()) is not None and deadline <= end:
        new = bench.wait(max(deadline - bench.now, 0.0))
        for out in new:
            if answers is not None and out.what == "OPTIONS":
                bench.wait(0.04)
                assert bench.udp(reply(out, answers), NATTED) == []
        outs += new
    bench.wait(end - bench.now)
    return outs


# --- what is sent, and to which phones


def test_options() -> None:
    """Once an interval, to the source address, from the listener that it registered at."""
    bench = rig()
    bench.register(HOME, NATTED)
    outs = rounds(bench, 90, 200)
    assert [(out.what, out.to, out.action.listener) for out in outs] == [("OPTIONS", NATTED, UDP)] * 3
    first, second, _ = (out.message for out in outs)
    # RFC 3261 11.1 and 8.1.1; out of any dialog.
    assert first.uri_text == HOME
    assert first.get("via").startswith(f"SIP/2.0/UDP {HOST}:5060;branch=z9hG4bK")
    assert str(first.to.uri) == AOR
    assert first.to_tag is None
    assert first.from_tag
    assert first.max_forwards == 70
    # RFC 3261 10.2 does so for REGISTER: one Call-ID, a rising CSeq; 8.1.1.7: a new branch.
    assert first.call_id == second.call_id
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert first.via.branch != second.via.branch
    assert outs[1].time - outs[0].time == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize(("method", "octets"), [("crlf", b"\r\n\r\n"), ("zero", b"\0\0\0\0")])
def test_small_datagrams(method: str, octets: bytes) -> None:
    """RFC 5626 3.5.1's double CRLF, or what nathelper sends; nothing is expected back."""
    bench = rig(method=method)
    bench.register(HOME, NATTED)
    outs = bench.wait(300)
    assert [(out.data, out.to) for out in outs] == [(octets, NATTED)] * 10
    assert not [event for event in bench.events if not isinstance(event, BindingsChanged)]


def test_off() -> None:
    """The default of the library: nothing is sent, nothing is kept."""
    bench = Rig()
    bench.register(HOME, NATTED)
    assert len(bench.stack.modules) == 0
    assert bench.wait(300) == []


def test_who() -> None:
    """``nat``: where a NAT showed; ``udp``: everybody on UDP; ``all``: those on streams, too."""
    found = {}
    for who in ("nat", "udp", "all"):
        bench = rig(who=who)
        bench.register(HOME, NATTED)
        bench.register("sip:carol@192.0.2.3", ("192.0.2.3", 5060), "sip:carol@biloxi.test")
        # A name leads through DNS; such a phone is not behind a NAT.
        bench.register("sip:erin@phone.test", ("192.0.2.5", 5060), "sip:erin@biloxi.test")
        conn = bench.accept(("192.0.2.4", 40001))
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            to="<sip:dave@biloxi.test>",
            via="SIP/2.0/TCP 192.0.2.4:40001;branch=z9hG4bKd",
            headers=[("Contact", "<sip:dave@192.0.2.4:40001;transport=tcp>")],
        )
        assert what(bench.tcp(conn, data)) == ["200"]
        found[who] = sorted(str(out.to) for out in bench.wait(30))
    carol, dave = str(("192.0.2.3", 5060)), str(1)
    assert found == {
        "nat": [str(NATTED)],
        "udp": sorted([str(NATTED), carol]),
        "all": sorted([str(NATTED), carol, dave]),
    }


def test_who_after_a_reload() -> None:
    """Settings that want all phones are heard of those that register from then on, and back again."""
    bench = rig()
    carol = ("192.0.2.3", 5060)
    bench.register("sip:carol@192.0.2.3", carol, "sip:carol@biloxi.test")
    assert bench.wait(30) == []
    for who, expected in (("udp", 2), ("nat", 0)):
        settings = {Keepalive: KeepaliveConfig(interval=30, who=who)}
        bench.stack.configure(Reconfiguration(modules=settings), bench.now)
        dave = f"sip:dave{expected}@biloxi.test"
        bench.register(f"sip:dave{expected}@192.0.2.3", carol, dave)
        assert len(bench.wait(30)) == expected


def test_a_place_in_the_ring() -> None:
    """Only phones that it is for cost memory: the phone that comes home to a public address leaves."""
    bench = rig()
    keepalive = bench.stack.modules.get(Keepalive)
    assert keepalive is not None
    bench.register(BOB_URI)
    assert len(keepalive) == 0
    quiet = bench.stack.next_deadline()
    bench.register(HOME, NATTED)
    assert len(keepalive) == 1
    assert quiet is not None
    # Nothing was due for it before the phone behind a NAT came.
    assert quiet > bench.now + 30 >= (bench.stack.next_deadline() or 0.0)
    rounds(bench, 30, 200)
    gone = f"<{HOME}>;expires=0"
    data = request("REGISTER", "sip:biloxi.test", to=f"<{AOR}>", call_id="x", headers=[("Contact", gone)])
    assert what(bench.udp(data)) == ["200"]
    assert len(keepalive) == 0
    assert keepalive.of(AOR, HOME) is None


def test_not_for_several_nodes() -> None:
    """A phone that is silent here may answer another node, so removal is refused where they share."""
    with pytest.raises(LocalProtocolError, match="another node"):
        Rig(modules=[Use(Keepalive, KeepaliveConfig(remove=True))], shared=NodeConfig("192.0.2.10:5060"))


def test_streams() -> None:
    """A line end keeps a NAT's entry for a connection; a WebSocket has pings; a lost one gets nothing."""
    for transport, sent in (("tcp", [b"\r\n"]), ("ws", [])):
        bench = rig(method="crlf", who="all")
        conn = bench.accept(("198.51.100.2", 40001), TCP, transport)
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            to="<sip:bob@biloxi.test>",
            via=f"SIP/2.0/{transport.upper()} 10.0.0.9;branch=z9hG4bKb",
            headers=[("Contact", f"<sip:bob@10.0.0.9;transport={transport}>")],
        )
        assert what(bench.tcp(conn, data, boundary=transport == "ws")) == ["200"]
        assert [out.data for out in bench.wait(30)] == sent
        bench.closed(conn)
        assert bench.wait(30) == []


def test_behind_an_edge() -> None:
    """RFC 3327, RFC 5626: with a Path the flow is the edge proxy's, and so are its keepalives."""
    bench = rig(who="all", trusted=[TrustedPeer("192.0.2.9")])
    bench.register(
        BOB_URI, headers=[("Path", "<sip:edge.test;lr>"), ("Supported", "path")], source=("192.0.2.9", 5060)
    )
    assert bench.wait(100) == []


def test_outbound() -> None:
    """RFC 5626 4.4: a phone that names its flow sends keepalives, and needs none."""
    for who, count in (("nat", 0), ("udp", 3)):
        bench = rig(who=who)
        bindings = [
            Binding(AOR, HOME, 5_000.0, "c", 1, received=Source("udp", "198.51.100.2", 42000), reg_id=1)
        ]
        bench.stack.restore(bindings, bench.now)
        assert len(rounds(bench, 90)) == count


def test_restored() -> None:
    """After a restart, before the phone registers again: from the listener that reaches it."""
    bench = rig()
    bindings = [Binding(AOR, HOME, 5_000.0, "c", 1, received=Source("udp", *NATTED))]
    assert bench.stack.restore(bindings, bench.now) == 1
    assert [(out.to, out.action.listener) for out in rounds(bench, 30)] == [(NATTED, UDP)]


# --- answers


def test_a_connection_of_a_former_life_is_no_address_for_datagrams() -> None:
    """The port of a TCP connection is somebody else's for UDP, behind the same NAT."""
    bench = rig(who="all")
    bindings = [Binding(AOR, HOME, 5_000.0, "c", 1, received=Source("tcp", *NATTED))]
    assert bench.stack.restore(bindings, bench.now) == 1
    assert rounds(bench, 90) == []


def test_round_trip() -> None:
    """Any answer is one; the first tells how long it took, those after it only change the figure."""
    for status in (200, 405, 481, 100):
        bench = rig()
        bench.register(HOME, NATTED)
        rounds(bench, 90, status)
        told = [event for event in bench.events if isinstance(event, KeepaliveAnswered)]
        assert [(one.aor, one.contact, one.failures) for one in told] == [(AOR, HOME, 0)]
        keepalive = bench.stack.modules.get(Keepalive)
        assert keepalive is not None
        health = keepalive.of(AOR, HOME)
        assert health is not None
        assert health.rtt == pytest.approx(0.04)


def test_silence() -> None:
    """Said once after ``failures`` rounds, and its end is said; the binding stays."""
    bench = rig(failures=2)
    bench.register(HOME, NATTED)
    rounds(bench, 30, 200)
    rounds(bench, 300)
    rounds(bench, 60, 200)
    told = [event for event in bench.events if not isinstance(event, BindingsChanged)]
    assert [type(event) for event in told] == [KeepaliveAnswered, KeepaliveUnanswered, KeepaliveAnswered]
    assert told[1] == KeepaliveUnanswered(AOR, HOME, 2, False)
    # The answer to the tenth OPTIONS of silence never came; that after it did.
    assert told[2].failures == 10
    assert bench.stack.location.lookup(AOR, bench.now)


def test_removal() -> None:
    """A contact that had answered and is silent now is unregistered, with an event. Another contact stays."""
    bench = rig(remove=True)
    bench.register(HOME, NATTED)
    bench.register("sip:bob@192.0.2.7", ("192.0.2.7", 5060))
    rounds(bench, 30, 200)
    assert rounds(bench, 200)[-1].time - bench.start < 150
    assert [one.contact for one in bench.stack.location.lookup(AOR, bench.now)] == ["sip:bob@192.0.2.7"]
    assert KeepaliveUnanswered(AOR, HOME, 3, True) in bench.events
    assert BindingsChanged(AOR, 1, "silent") in bench.events


def test_removal_is_stored() -> None:
    """The store forgets the bindings that it acknowledged, too."""
    bench = rig(remove=True, durable=True)
    bindings = [Binding(AOR, HOME, 5_000.0, "c", 1, received=Source("udp", *NATTED))]
    bench.stack.restore(bindings, bench.now)
    rounds(bench, 30, 200)
    rounds(bench, 200)
    [ask] = bench.asks
    assert isinstance(ask.question, LocationUpdate)
    assert ask.question.removed == tuple(bindings)
    assert ask.question.stored == ()
    assert bench.answer(None) == []


def test_never_answered() -> None:
    """A phone may not know OPTIONS: it is not removed for that."""
    bench = rig(remove=True)
    bench.register(HOME, NATTED)
    rounds(bench, 300)
    assert [event for event in bench.events if isinstance(event, KeepaliveUnanswered)] == [
        KeepaliveUnanswered(AOR, HOME, 3, False)
    ]
    assert bench.stack.location.lookup(AOR, bench.now)


def test_a_registration_is_a_sign_of_life() -> None:
    """Rounds without an answer count from the last REGISTER on; and a new port is used from then on."""
    bench = rig(remove=True)
    bench.register(HOME, NATTED)
    rounds(bench, 30, 200)
    for port in range(42001, 42005):
        rounds(bench, 61)
        bench.register(HOME, ("198.51.100.2", port))
        assert rounds(bench, 30)[-1].to == ("198.51.100.2", port)
    assert not [event for event in bench.events if isinstance(event, KeepaliveUnanswered)]


def test_wrong_answers() -> None:
    """Late, repeated, or made-up answers: no module takes them, and no phone gets them."""
    bench = rig()
    bench.register(HOME, NATTED)
    first = rounds(bench, 30)[0]
    second = rounds(bench, 30)[0]
    assert bench.udp(reply(first, 200), NATTED) == []
    made_up = reply(second, 200).replace(second.message.call_id.partition("@")[0].encode(), b"0" * 16)
    assert bench.udp(made_up, NATTED) == []
    keepalive = bench.stack.modules.get(Keepalive)
    assert keepalive is not None
    health = keepalive.of(AOR, HOME)
    assert health is not None
    assert health.rtt is None
    assert bench.udp(reply(second, 200), NATTED) == []
    assert keepalive.of(AOR, HOME).rtt is not None
    assert bench.udp(reply(second, 200), NATTED) == []


# --- evenly, and bounded


def natted(number: int) -> Binding:
    return Binding(
        f"sip:u{number}@biloxi.test",
        f"sip:u{number}@10.0.0.9",
        1e12,
        "c",
        1,
        received=Source("udp", f"198.51.{number // 250 % 250}.{number % 250}", 5060),
    )


def test_spread_evenly() -> None:
    """Ten thousand restored at once, a share of 8.3 for a tick and 333 for a second: none has much more."""
    bench = rig()
    bench.stack.restore([natted(number) for number in range(10_000)], bench.now)
    outs = bench.wait(60)
    assert len(outs) == pytest.approx(20_000, abs=50)
    seconds = Counter(int(out.time) for out in outs if 101 <= out.time < 159)
    assert max(seconds.values()) < 350
    assert min(seconds.values()) > 315
    assert max(Counter(out.time for out in outs).values()) < 14
    assert len(Counter(out.to for out in outs)) == 10_000


def test_late_timers() -> None:
    """An adapter's timers are late by some milliseconds: no phone is passed over for that."""
    bench = rig()
    bench.stack.restore([natted(number) for number in range(50)], bench.now)
    end, outs = bench.now + 90, []
    while bench.now < end:
        due = bench.stack.next_deadline()
        assert due is not None
        bench.now = max(bench.now, due) + 0.04
        outs += bench.take(bench.stack.time_passed(bench.now))
    times = Counter(out.to for out in outs).values()
    assert (len(times), min(times), max(times)) == (50, 3, 4)


def test_a_message_costs_nothing_here() -> None:
    """The next deadline is asked for after each message; the module's hooks would be called each time."""
    bench = rig()
    bench.register(HOME, NATTED)
    assert not bench.stack.modules.stack_hooks.has_clocks
    # One timer, however many phones there are.
    timers = bench.stack.timers
    held = len(timers)
    bench.stack.restore([natted(number) for number in range(1_000)], bench.now)
    assert len(timers) <= held + 1
    outs = bench.wait(60)
    assert len(outs) == pytest.approx(2_002, abs=5)
    assert len(timers) <= held + 1


def test_after_a_suspension() -> None:
    """A laptop wakes up: it does not make up for missed keepalives at once."""
    bench = rig()
    bench.stack.restore([natted(number) for number in range(2_000)], bench.now)
    bench.wait(31)
    bench.now += 600
    late = bench.take(bench.stack.time_passed(bench.now))
    assert len(late) < 100
    assert 1_900 < len(bench.wait(30)) < 2_100


def test_nothing_stays() -> None:
    """All that is kept goes with the bindings."""
    bench = rig()
    for number in range(50):
        bench.register(f"sip:u{number}@10.0.0.9", NATTED, f"sip:u{number}@biloxi.test")
    rounds(bench, 30, 200)
    keepalive = bench.stack.modules.get(Keepalive)
    assert keepalive is not None
    assert len(keepalive) == 50
    rounds(bench, 3_700)
    assert len(keepalive) == 0
    assert bench.stack.next_deadline() is None
    assert keepalive.of("sip:u1@biloxi.test", "sip:u1@10.0.0.9") is None
    assert bench.wait(100) == []


def test_clocks_of_any_size() -> None:
    """No deadline that is due stays due, whatever rounding does to times far from zero."""
    for start in (0.0, 1.0, 86_400.0 * 365, 1.8e9):
        bench = Rig(modules=[Use(Keepalive, KeepaliveConfig(interval=7))], now=start)
        bench.stack.restore([natted(number) for number in range(40)], start)
        for _ in range(200):
            due = bench.stack.next_deadline()
            assert due is not None
            bench.now = max(bench.now, due)
            bench.take(bench.stack.time_passed(bench.now))
            after = bench.stack.next_deadline()
            assert after is None or after > due


def test_ipv6_and_odd_flows() -> None:
    """A listener of the other family sends nothing; a flow that is none of ours neither."""
    bench = rig(who="all")
    keepalive = bench.stack.modules.get(Keepalive)
    assert keepalive is not None
    six = Binding(AOR, "sip:bob@[2001:db8::9]", 1e9, "c", 1, flow=UDP)
    gone = Binding(AOR, "sip:bob@192.0.2.2", 1e9, "c", 1, flow=Flow("tcp", TCP, BOB, 77))
    tel = Binding(AOR, "tel:+123", 1e9, "c", 1)
    other = Binding(AOR, "sip:bob@192.0.2.2", 1e9, "c", 1, flow=("another", "node"))
    for binding in (six, gone, tel, other):
        bench.stack.location.apply(LocationUpdate(AOR, (), (binding,)), bench.now)
        assert bench.wait(31) == []
        bench.stack.location.remove(AOR, bench.now)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 3},
        {"interval": -1},
        {"failures": 0},
        {"method": "ping"},
        {"who": "me"},
        {"sender": "me>"},
    ],
)
def test_config(wrong: Any) -> None:
    """Settings that cannot work are refused at the start."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KeepaliveConfig(**wrong)
