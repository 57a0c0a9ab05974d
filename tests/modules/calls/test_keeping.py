"""Answered calls in rows: a restart knows them, and all that hangs on them goes on. On a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.calls import CallFinished, Calls, CallsSettings, Tariff
from sansip.routing import IncomingRequest
from sansip.routing.default import route as default_route
from sansip.rows import MemoryRows, Scan
from sansip.testing import ModuleBench, check_module
from tests.answered import Answered
from tests.modules.calls.calling import CONTACT, within
from tests.rig import ALICE, BOB, BOB_URI, Rig, only, reply, request, what


class Home(Answered):
    """A rig with the module, whose calls are kept."""

    def __init__(self, store: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> None:
        uses = [Use(Calls, CallsSettings(keep=True, **settings))]
        super().__init__(limited, store=store, modules=uses, now=now, wall_offset=1_000_000.0)
        self.wait(0.0)
        self.register(BOB_URI)

    @property
    def calls(self) -> Calls:
        return self.stack.modules.get(Calls)

    def restarted(self, seconds: float = 10.0, **settings: Any) -> Home:
        """Return the next process, so many seconds later."""
        return Home(self.store, self.now + seconds, **settings)


async def limited(asked: IncomingRequest, calls: Calls) -> None:
    if asked.method == "INVITE" and not asked.in_dialog:
        if not await calls.limit(asked, "alice", 1):
            asked.reply(486)
            return
        call = calls.of(asked)
        assert call is not None
        call.gateway, call.tariff = "carrier", Tariff(6_000_000, currency="EUR")
        call.variables["tariff"] = "night"
    await default_route(asked)


def talking(rig: Rig, answer: Any = ()) -> None:
    arrived = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    rig.udp(reply(arrived, 200, headers=answer), BOB)
    rig.udp(within(rig, "ACK", cseq=1))


def rows(rig: Home) -> int:
    return len(rig.store.answer(Scan(Calls.tables[0])))


def test_contract() -> None:
    """What every module promises, with rows."""
    check_module(Calls, CallsSettings(keep=True))


def test_a_restart_knows_the_call() -> None:
    """Who, since when, by which gateway, for which keys; and the BYE of a phone ends it."""
    first = Home()
    talking(first)
    (before,) = first.calls
    second = first.restarted()
    (call,) = second.calls
    for name in (
        "id",
        "call_id",
        "caller",
        "callee",
        "asked",
        "source",
        "target",
        "gateway",
        "tariff",
        "keys",
    ):
        assert getattr(call, name) == getattr(before, name), name
    assert (call.state, call.answered, call.variables) == ("answered", before.answered, {"tariff": "night"})
    assert second.calls.count("alice") == 1
    second.log = first.log
    bye = only(second.udp(within(second, "BYE")), "BYE")
    second.udp(reply(bye, 200), BOB)
    assert (call.ended_by, call.why, call.duration) == ("caller", "hung up", 10.0)
    assert len(second.calls) == second.calls.count("alice") == rows(second) == 0


def test_limits_go_on() -> None:
    """The user who talks may not call again after the restart, and may when the call is over."""
    first = Home()
    talking(first)
    second = first.restarted()
    other = {"branch": "z9hG4bKo", "from_tag": "o", "call_id": "o", "headers": [CONTACT]}
    assert what(second.udp(request(**other))) == ["486"]
    second.log = first.log
    second.udp(reply(only(second.udp(within(second, "BYE")), "BYE"), 200), BOB)
    again = {"branch": "z9hG4bKp", "from_tag": "p", "call_id": "p", "headers": [CONTACT]}
    assert "INVITE" in what(second.udp(request(**again)))


def test_timers_go_on() -> None:
    """``max_duration`` counts from the answer; both sides get a BYE with a CSeq that they take."""
    first = Home(max_duration=60)
    talking(first)
    second = first.restarted(30, max_duration=60)
    second.wait(31)
    byes = [out for out in second.log if out.what == "BYE"]
    assert {out.to for out in byes} == {ALICE, BOB}
    # RFC 3261 12.2.2: higher than any that was used before the restart.
    assert all(out.message.cseq.number > 100 for out in byes)
    assert rows(second) == 0


def test_a_session_that_ended_meanwhile() -> None:
    """RFC 4028: the session was not refreshed while the server was away."""
    first = Home()
    talking(first, [("Session-Expires", "100;refresher=uac"), ("Require", "timer")])
    second = first.restarted(200)
    second.wait(1)
    assert len(second.calls) == rows(second) == 0
    assert [event.call.why for event in second.events if isinstance(event, CallFinished)] == [
        "session expired"
    ]


def test_hang_up_by_command() -> None:
    """An operator hangs up, after the restart."""
    first = Home()
    talking(first)
    second = first.restarted()
    outs = second.take(
        second.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, second.now, lambda *_: None)
    )
    assert {out.to for out in outs if out.what == "BYE"} == {ALICE, BOB}
    assert rows(second) == 0


def test_the_answer_waits_for_its_row() -> None:
    """While the store is away the 2xx waits for it, at most ``limits.hook_time``; the row follows."""
    rig = Home()
    arrived = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    rig.broken = True
    assert "200" not in what(rig.udp(reply(arrived, 200), BOB))
    assert "not kept" in rig.calls.health()
    assert "200" in what(rig.wait(6))
    rig.broken = False
    rig.wait(2)
    assert (rows(rig), rig.calls.health()) == (1, "")


def test_a_store_that_is_away_at_the_start() -> None:
    """The calls are read as soon as it is there; health says so until then."""
    first = Home()
    talking(first)
    second = Rig(limited, modules=[Use(Calls, CallsSettings(keep=True))], wall_offset=1_000_000.0)
    second.take(second.stack.time_passed(second.now))
    calls = second.stack.modules.get(Calls)
    assert "not read yet" in calls.health()
    second.answer(OSError("away"))
    assert "away" in calls.health()
    second.wait(1.0)
    second.answer(first.store.answer(second.asks[0].question))
    assert (len(calls), calls.health()) == (1, "")


def test_calls_that_failed_are_not_kept() -> None:
    """Only answered calls last."""
    rig = Home()
    arrived = only(rig.udp(request(headers=[CONTACT])), "INVITE")
    rig.udp(reply(arrived, 486), BOB)
    assert rows(rig) == 0


# --- limits of all nodes


async def two_at_most(asked: IncomingRequest, calls: Calls) -> None:
    if await calls.limit(asked, "bob", 2):
        asked.relay("sip:bob@192.0.2.2")
    else:
        asked.reply(486)


def taken(bench: ModuleBench[Calls]) -> bool:
    """Have a stranger call; return whether the INVITE left."""
    before = len(bench.sent)
    bench.request("INVITE", "sip:bob@example.com")
    return any(getattr(one, "method", "") == "INVITE" for one in bench.sent[before:])


@pytest.fixture
def pair() -> tuple[ModuleBench[Calls], ModuleBench[Calls]]:
    """Two nodes that share values, with the route that limits."""
    one = ModuleBench(Calls, CallsSettings(lease=6.0), route=two_at_most)
    return one, one.beside()


def test_twelve_at_once_on_two_nodes(pair: Any) -> None:
    """Exactly two pass, whichever node they come to; one that ends makes room on both."""
    one, two = pair
    passed = [taken(bench) for _ in range(6) for bench in (one, two)]
    assert passed.count(True) == 2
    assert one.command("calls.total", key="bob") == two.command("calls.total", key="bob") == 2
    for bench in (one, two):
        # No phone answers: Timer B ends them.
        bench.wait(33)
    assert one.command("calls.total", key="bob") == 0
    assert [taken(bench) for bench in (two, two, one)] == [True, True, False]


def test_a_node_that_dies(pair: Any) -> None:
    """Its calls count no more once its lease is over; those of a node that lives do."""
    one, two = pair
    assert taken(one)
    assert taken(one)
    assert not taken(two)
    two.wait(7)
    assert taken(two)


def test_a_node_that_lives(pair: Any) -> None:
    """It renews its lease while its calls ring."""
    one, two = pair
    assert taken(one)
    assert taken(one)
    for _ in range(5):
        one.wait(5)
        two.wait(5)
        assert not taken(two)


def test_without_redis(pair: Any) -> None:
    """Each counts for itself, and health says so."""
    one, two = pair
    one.broken = two.broken = True
    assert [taken(one) for _ in range(3)] == [True, True, False]
    assert [taken(two) for _ in range(3)] == [True, True, False]
    assert "not counted" in one.module.health()
