"""Questions to the shared location from the loop: one batch a turn, scripts, replicas, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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

BOB, ANN = "sip:bob@biloxi.test", "sip:ann@biloxi.test"


class Bench:
    """A link and a hub of the test's own."""

    def __init__(self, *, reads: bool, synced: bool = True, **settings: Any) -> None:
        self.ends: list[Callable[[], None]] = []
        self.sent: list[tuple[Sequence[Command], Callable[[Any], None]]] = []
        self.answers: dict[int, Any] = {}
        self.closed: Exception | None = None
        self.judged: list[Any] = []
        clock = RedisClock()
        if synced:
            clock.ask(time.time)
        hub = SimpleNamespace(
            at_end=self.ends.append,
            answer_all=self.answers.update,
            clock=time.monotonic,
            inbox=SimpleNamespace(post=lambda function, *args: function(*args)),
        )
        link = SimpleNamespace(run=lambda commands, done: self.sent.append((commands, done)))
        given = RedisSettings(**settings)
        self.turns = LocationTurns(hub, link, self.judge, lambda: self.closed, clock, given, reads)

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
