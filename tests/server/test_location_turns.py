"""Questions to the shared location from the loop: one batch a turn, scripts, replicas, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

from sansip.actions import Ask
from sansip.location import Binding, SharedRead, SharedRecord, SharedWrite
from sansip_server.config.redis import RedisSettings
from sansip_server.location_turns import LocationTurns
from sansip_server.stores.redis_client import Replicas
from sansip_server.stores.redis_clock import RedisClock
from sansip_server.stores.redis_codec import encode
from sansip_server.stores.resp import Command, NoScriptError
from sansip_server.stores.tracked import Tracked

BOB, ANN = "sip:bob@biloxi.test", "sip:ann@biloxi.test"


class Bench:
    """A link and a hub of the test's own."""

    def __init__(self, *, reads: bool, synced: bool = True, tracks: bool = False, **settings: Any) -> None:
        self.ends: list[Callable[[], None]] = []
        self.sent: list[tuple[Sequence[Command], Callable[[Any], None]]] = []
        self.answers: dict[int, Any] = {}
        self.closed: Exception | None = None
        self.judged: list[Any] = []
        self.current = True
        clock = RedisClock()
        if synced:
            clock.ask(time.time)
        hub = SimpleNamespace(
            at_end=self.ends.append,
            answer_all=self.answers.update,
            clock=time.monotonic,
            inbox=SimpleNamespace(post=lambda function, *args: function(*args)),
        )
        self.link = link = SimpleNamespace(
            run=lambda commands, done: self.sent.append((commands, done)),
            tracks=True,
            certain=True,
            is_current=lambda: self.current,
        )
        self.tracked = Tracked("sansip", 10)
        given = RedisSettings(**settings)
        tracked = (self.tracked, link) if tracks else ()
        self.turns = LocationTurns(hub, link, self.judge, lambda: self.closed, clock, given, reads, *tracked)

    def judge(self, kind: str, count: int, answers: Any) -> Sequence[Any]:
        self.judged.append(answers)
        return [answers] * count if isinstance(answers, Exception) else answers

    def ask(self, *asks: Ask) -> None:
        for one in asks:
            self.turns.ask(one)
        ends, self.ends[:] = self.ends[:], []
        for function in ends:
            function()


def write(number: int, aor: str = BOB) -> Ask:
    return Ask(number, SharedWrite(aor, "", f"{number:016d}", (Binding(aor, "sip:b@h", 1e9, "c", 1),)))


def test_a_turn_is_a_batch() -> None:
    """Callers of one number come in bursts: one command for all of them."""
    bench = Bench(reads=True)
    bench.ask(Ask(1, SharedRead(BOB)), Ask(2, SharedRead(ANN)), Ask(3, SharedRead(BOB)))
    ((commands, done),) = bench.sent
    assert [command[0] for command in commands] == ["GET", "GET"]
    done([encode("v" * 16, (), 0.0), None])
    assert bench.answers == {
        1: SharedRecord("v" * 16, ()),
        2: SharedRecord("", ()),
        3: SharedRecord("v" * 16, ()),
    }


def test_a_location_that_is_not_to_be_tried() -> None:
    """It costs a phone no time, and Redis nothing."""
    bench = Bench(reads=True)
    bench.closed = ConnectionError("a moment ago")
    bench.ask(Ask(1, SharedRead(BOB)))
    assert (bench.sent, bench.answers) == ([], {1: bench.closed})


def test_a_failure_is_everybodys() -> None:
    """The judge hears once, and all who asked get the exception."""
    bench = Bench(reads=True)
    bench.ask(Ask(1, SharedRead(BOB)), Ask(2, SharedRead(ANN)))
    error = TimeoutError("silent")
    bench.sent[0][1](error)
    assert (bench.judged, bench.answers) == ([error], {1: error, 2: error})


def test_a_script_that_redis_forgot() -> None:
    """Those calls alone are made again, with the text; each answer goes to its own question."""
    bench = Bench(reads=False)
    bench.ask(write(1), write(2, ANN))
    commands, done = bench.sent.pop()
    assert [command[0] for command in commands] == ["EVALSHA"] * 2
    done([NoScriptError("no"), 1])
    again, done = bench.sent.pop()
    assert [command[0] for command in again] == ["EVAL"]
    done([encode("v" * 16, (), 0.0)])
    assert bench.answers == {1: SharedRecord("v" * 16, ()), 2: None}
    bench.ask(write(3))
    bench.sent.pop()[1]([NoScriptError("no")])
    error = ConnectionResetError("gone")
    bench.sent.pop()[1](error)
    assert bench.answers[3] is error


def test_replicas() -> None:
    """A 200 leaves when enough replicas have the binding; one batch at a time waits for them."""
    bench = Bench(reads=False, wait_replicas=2, wait_time=0.5)
    bench.ask(write(1))
    commands, done = bench.sent.pop()
    assert commands[-1] == (b"WAIT", 2, 500)
    bench.ask(write(2))
    bench.ask(write(3))
    # A wait of a batch holds the connection: what comes meanwhile is the next batch.
    assert bench.sent == []
    done([1, 1])
    assert isinstance(bench.answers[1], Replicas)
    commands, done = bench.sent.pop()
    assert len(commands) == 3
    done([1, 1, 2])
    assert (bench.answers[2], bench.answers[3]) == (None, None)


def test_the_clock_is_asked_first() -> None:
    """All nodes count expiry by Redis's clock; without a fresh reading of it nothing is written."""
    bench = Bench(reads=False, synced=False)
    bench.ask(write(1))
    ((commands, done),) = bench.sent
    assert len(commands) == 1
    now = time.time() + 50
    bench.sent.clear()
    done([[int(now), 0]])
    ((commands, done),) = bench.sent
    assert commands[0][0] == "EVALSHA"
    done([1])
    assert bench.answers == {1: None}
    bench = Bench(reads=True, synced=False)
    bench.ask(Ask(1, SharedRead(BOB)))
    error = NoScriptError("no")
    bench.sent.pop()[1](OSError("gone"))
    assert isinstance(bench.answers[1], OSError)
    bench.ask(Ask(2, SharedRead(BOB)))
    bench.sent.pop()[1]([error])
    bench.sent.pop()[1]([error])
    assert bench.answers[2] is error


def test_answers_of_another_kind() -> None:
    """A Redis that answers with what no record is fails the questions, and later ones are still asked."""
    bench = Bench(reads=True)
    bench.ask(Ask(1, SharedRead(BOB)))
    bench.sent.pop()[1]([7])
    assert isinstance(bench.answers[1], Exception)
    bench = Bench(reads=False, wait_replicas=1)
    for number, answers in enumerate(([1, b"one"], [7, 1])):
        bench.ask(write(number))
        bench.sent.pop()[1](answers)
        assert isinstance(bench.answers[number], Exception)


VERSION = "v" * 16
RECORD = encode(VERSION, (Binding(BOB, "sip:b@h", 1e9, "c", 1),), 0.0)


def test_what_is_present_needs_no_trip() -> None:
    """A call to a phone whose record the mirror has as Redis has it: answered in the turn that asked."""
    bench = Bench(reads=True, tracks=True)
    bench.tracked.note(BOB, VERSION)
    bench.ask(Ask(1, SharedRead(BOB, VERSION)))
    assert (bench.answers, bench.sent) == ({1: None}, [])
    # The mirror has another one; it has none; Redis may have changed it.
    for number, known in enumerate(("w" * 16, ""), start=2):
        bench.ask(Ask(number, SharedRead(BOB, known)))
    bench.current = False
    bench.ask(Ask(4, SharedRead(BOB, VERSION)))
    assert (len(bench.sent), sorted(bench.answers)) == (3, [1])


def test_a_change_that_is_told_meanwhile() -> None:
    """The link reads what has come before anything is believed."""
    bench = Bench(reads=True, tracks=True)
    bench.tracked.note(BOB, VERSION)
    bench.tracked.note(ANN, VERSION)

    def told() -> bool:
        bench.tracked.forget(BOB)
        return True

    bench.link.is_current = told
    bench.ask(Ask(1, SharedRead(BOB, VERSION)), Ask(2, SharedRead(ANN, VERSION)))
    assert bench.answers == {2: None}
    ((commands, _),) = bench.sent
    assert commands == [("GET", b"sansip:{sip:bob@biloxi.test}")]


def test_only_a_known_number_is_remembered() -> None:
    """Any caller may ask for any number: Redis keeps no memory of those that nobody here has."""
    bench = Bench(reads=True, tracks=True)
    bench.ask(Ask(1, SharedRead(ANN)), Ask(2, SharedRead(BOB, "w" * 16)))
    ((commands, done),) = bench.sent
    assert [command[0] for command in commands] == ["GET", "CLIENT", "GET"]
    assert commands[1] == ("CLIENT", "CACHING", "NO")
    done([RECORD, b"OK", RECORD])
    assert bench.tracked.versions == {BOB: VERSION}
    assert bench.answers[1].bindings[0].aor == ANN
    # It has the same, and Redis will tell.
    bench.tracked.clear()
    bench.ask(Ask(3, SharedRead(BOB, VERSION)))
    bench.sent.pop()[1]([RECORD])
    assert (bench.tracked.versions, bench.answers[3]) == ({BOB: VERSION}, None)
    # A change was told between the answer and its use.
    bench.tracked.clear()
    bench.link.certain = False
    bench.ask(Ask(4, SharedRead(BOB, VERSION)))
    bench.sent.pop()[1]([RECORD])
    assert bench.tracked.versions == {}


def test_a_write_is_present_once_it_was_made() -> None:
    """Not one that was refused, failed, or removed all; nor one that Redis answered before a change."""
    bench = Bench(reads=False, tracks=True)
    wanted = f"{1:016d}"
    for answer, certain, noted in (
        (1, True, wanted),
        (1, False, None),
        (RECORD, True, None),
        (OSError(), True, None),
    ):
        bench.tracked.note(BOB, "before")
        bench.link.certain = certain
        bench.ask(write(1))
        bench.sent.pop()[1](answer if isinstance(answer, Exception) else [answer])
        assert bench.tracked.versions.get(BOB) == noted
    bench.tracked.note(BOB, "before")
    bench.link.certain = True
    bench.ask(Ask(2, SharedWrite(BOB, "before", wanted, ())))
    bench.sent.pop()[1]([1])
    assert bench.tracked.versions == {}
    # Redis forgot the script: the answers are of two times.
    bench.ask(write(1), write(2, ANN))
    bench.sent.pop()[1]([NoScriptError("no"), 1])
    bench.sent.pop()[1]([1])
    assert bench.tracked.versions == {}
    assert (bench.answers[1], bench.answers[2]) == (None, None)


def test_questions_that_an_answer_asks() -> None:
    """They are answered in a loop, not one within the other: a chain of them is no recursion."""
    bench = Bench(reads=True, tracks=True)
    bench.tracked.note(BOB, VERSION)
    depth = most = 0

    def answer_all(answers: Iterable[tuple[int, Any]]) -> None:
        nonlocal depth, most
        depth += 1
        most = max(most, depth)
        given = list(answers)
        for number, _ in given:
            if number < 500:
                bench.turns.ask(Ask(number + 1, SharedRead(BOB, VERSION)))
        bench.answers.update(given)
        depth -= 1

    bench.turns._hub.answer_all = answer_all  # type: ignore[method-assign]  # the test's own
    bench.ask(Ask(1, SharedRead(BOB, VERSION)))
    assert (len(bench.answers), most, bench.ends) == (500, 1, [])
