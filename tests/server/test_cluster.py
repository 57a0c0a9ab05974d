"""The shared location at work: the log of its failures, and no request that waits for it."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from sansip.clock import Timers
from sansip.location import Heartbeat, NodeConfig, Nodes, NodeState, SharedRead, SharedRecord, SharedWrite
from sansip_server.cluster import SharedStorage, Unavailable
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.stores.redis_client import Replicas
from sansip_server.stores.redis_codec import NewerRecord

A = NodeState("a", "1", "192.0.2.10:5060")
READ = SharedRead("sip:bob@biloxi.test")
WRITE = SharedWrite("sip:bob@biloxi.test", "", "v" * 16, ())
EMPTY = SharedRecord("", ())


class FakeLocation:
    """Answers as the test says; ``error`` is raised instead."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.refused: Exception | None = None
        # The refused commands, while everything else works.
        self.beats_refused: Exception | None = None
        # Seconds by which its clock is ahead of ours.
        self.ahead = 0.0
        self.policy = ""
        self.trips = 0
        self.beats: list[Heartbeat] = []

    def _trip(self) -> None:
        self.trips += 1
        if self.error is not None:
            raise self.error

    def read(self, reads: Any, offset: float) -> list[Any]:
        self._trip()
        return [self.refused or EMPTY for _ in reads]

    def write(self, writes: Any, now: float, offset: float) -> list[Any]:
        self._trip()
        return [self.refused for _ in writes]

    def beat(self, heartbeat: Heartbeat) -> list[NodeState]:
        self._trip()
        if self.beats_refused is not None:
            raise self.beats_refused
        self.beats.append(heartbeat)
        return [A]

    def time(self) -> float:
        return time.time() + self.ahead

    def evicts(self) -> str:
        return self.policy

    def close(self) -> None:
        self.trips = -1


class Bench:
    """A ``SharedStorage`` on a fake, and its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.fake = FakeLocation()
        place = parse_redis("redis://user:secret@127.0.0.1:1/0")
        self.storage = SharedStorage(place, RedisSettings(), clock=lambda: self.now)
        self.storage._reader = self.storage._writer = self.storage._pulse = self.fake  # type: ignore[assignment]  # the test's own in its place

    def ask(self, question: Any) -> Any:
        answer = self.storage.handlers[type(question)]
        return answer(question) if isinstance(question, Heartbeat) else answer([question])[0]


def test_nobody_waits_for_what_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """One question finds out, the others fail at once until the next try is due; it is said once."""
    bench = Bench()
    bench.fake.error = ConnectionError("refused")
    assert bench.ask(READ) is bench.fake.error
    for _ in range(100):
        assert isinstance(bench.ask(WRITE), Unavailable)
    assert bench.fake.trips == 1
    trips = []
    for _ in range(60):
        bench.now += 0.1
        bench.ask(READ)
        trips.append(bench.fake.trips)
    # At 0; then 0.1, 0.2, 0.4, 0.8, 1.6 and 2 seconds apart.
    assert trips[-1] == 7
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    bench.now += 10
    bench.fake.error = None
    assert bench.ask(WRITE) is None
    assert bench.ask(READ) == EMPTY
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_beat_always_tries(caplog: pytest.LogCaptureFixture) -> None:
    """It is what finds out that the location is back, for everybody."""
    caplog.set_level(logging.WARNING)
    bench = Bench()
    bench.fake.error = TimeoutError("slow")
    bench.ask(READ)
    with pytest.raises(TimeoutError):
        bench.ask(Heartbeat(A, 6.0))
    bench.fake.error = None
    assert bench.ask(Heartbeat(A, 6.0)) == [A]
    assert bench.ask(READ) == EMPTY
    assert len(caplog.records) == 2


@pytest.mark.parametrize("raised", [False, True])
def test_a_refusal_is_no_outage(raised: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Full, read-only, without its replicas: writes fail, each is tried, reads and beats do not flap."""
    bench = Bench()
    if raised:
        bench.fake.error = Replicas("0 of 1 replicas took it")
    else:
        bench.fake.refused = RuntimeError("OOM command not allowed")
    for _ in range(5):
        assert isinstance(bench.ask(WRITE), Exception)
    assert bench.fake.trips == 5
    bench.fake.error = bench.fake.refused = None
    for _ in range(5):
        bench.ask(READ)
        bench.ask(Heartbeat(A, 6.0))
    assert len(caplog.records) == 1
    assert bench.ask(WRITE) is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_leaving(caplog: pytest.LogCaptureFixture) -> None:
    """A node that ends in order says so, and is gone for the others at once, also during an outage."""
    bench = Bench()
    bench.ask(Heartbeat(A, 6.0))
    bench.storage.leave()
    assert bench.fake.beats[-1] == Heartbeat(A, 0.0)
    bench = Bench()
    bench.ask(Heartbeat(A, 6.0))
    bench.fake.error = ConnectionError("refused")
    bench.storage.leave()


class ResponseError(Exception):
    """As redis-py names what Redis answers with."""


def test_refused_signs_of_life(caplog: pytest.LogCaptureFixture) -> None:
    """A full Redis refuses them (HSET), and the rest goes on: no phone is cut off."""
    bench = Bench()
    bench.fake.beats_refused = ResponseError("OOM command not allowed when used memory > 'maxmemory'")
    for _ in range(3):
        with pytest.raises(ResponseError):
            bench.ask(Heartbeat(A, 6.0))
        assert bench.ask(READ) == EMPTY
        assert bench.ask(WRITE) is None
    assert bench.storage.failing_since is None
    assert "signs of life" in bench.storage.health()["error"]
    bench.fake.beats_refused = None
    bench.ask(Heartbeat(A, 6.0))
    assert bench.storage.health()["ok"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_looking(caplog: pytest.LogCaptureFixture) -> None:
    """At the start: the nodes that are there, and an end without Redis."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    assert bench.storage.look() == [A]
    assert "with a" in caplog.text
    bench.fake.error = ConnectionError("refused")
    assert bench.storage.look() == []


def test_a_redis_that_evicts(caplog: pytest.LogCaptureFixture) -> None:
    """It would throw acknowledged registrations away: warned of at the start, and in health."""
    bench = Bench()
    bench.fake.policy = "allkeys-lru"
    bench.storage.look()
    assert "noeviction" in caplog.text
    assert "allkeys-lru" in bench.storage.health()["warnings"][0]


@pytest.mark.parametrize(("ahead", "words"), [(90.0, "90.0 s behind"), (-1.5, "1.5 s ahead of")])
def test_clocks_that_differ(ahead: float, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Issue 23: more than 1 s is warned of once, and stands in health until it is right again."""
    bench = Bench()
    bench.fake.ahead = ahead
    bench.storage.look()
    for _ in range(3):
        bench.ask(Heartbeat(A, 6.0))
    assert [words in record.message for record in caplog.records] == [True]
    health = bench.storage.health()
    assert health["clock_skew"] == pytest.approx(-ahead, abs=0.1)
    assert words in health["warnings"][0]
    assert health["ok"]
    bench.fake.ahead = 0.0
    bench.ask(Heartbeat(A, 6.0))
    assert bench.storage.health()["warnings"] == []
    # It was Redis's that was set.
    assert "at once" in caplog.text


def test_a_record_of_a_newer_version(caplog: pytest.LogCaptureFixture) -> None:
    """Issue 23: named in the log once a minute, in health, and no refusal by the store."""
    bench = Bench()
    bench.fake.refused = NewerRecord("the record of sip:bob@biloxi.test is of a newer version of sansip")
    for _ in range(5):
        assert isinstance(bench.ask(READ), NewerRecord)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "sip:bob@biloxi.test" in caplog.text
    assert bench.storage.health()["ok"]
    assert "upgrade" in bench.storage.health()["warnings"][0]


def test_nodes_in_health() -> None:
    """Twins, strangers, and nodes that lost the location: the report shows them to an operator."""
    timers = Timers()
    answers: list[Any] = []

    def ask(question: Any, answered: Any, now: float) -> None:
        answers.append(answered)

    def probe(state: NodeState, answered: Any, now: float) -> None:
        answered(True, now)

    nodes = Nodes("a", "1", NodeConfig("h1:5060"), timers, ask, lambda *told: None, lambda text: "p", probe)
    twin = NodeState("a", "2", "h2:5060", proof="p")
    stranger = NodeState("c", "3", "h3:5060", proof="other")
    lost = NodeState("d", "4", "h4:5060", proof="p")
    nodes.join([twin, stranger, lost], 0.0)
    timers.fire_due(0.0)
    answers.pop()([twin, stranger], 0.0)
    warnings = " / ".join(Bench().storage.health(nodes)["warnings"])
    assert "d at h4:5060 lives and has lost" in warnings
    assert "another node is named a, too, at h2:5060" in warnings
    assert "c at h3:5060 has another key" in warnings


def test_health() -> None:
    """The report of ``sansip ctl health``: whether it works, since when not, why, and the nodes."""
    bench = Bench()
    bench.ask(Heartbeat(A, 6.0))
    name = "redis://127.0.0.1:1/0"
    works = {"ok": True, "name": name, "failing_since": None, "error": None, "nodes": ["a"], "warnings": []}

    def health() -> dict[str, Any]:
        return {key: value for key, value in bench.storage.health().items() if key != "clock_skew"}

    assert health() == works
    bench.fake.error = ConnectionError("refused")
    bench.ask(READ)
    failing = bench.storage.health()
    assert (failing["ok"], failing["error"]) == (False, "refused")
    assert failing["failing_since"] == bench.storage.failing_since
    bench.now += 10
    bench.fake.error = None
    bench.fake.refused = RuntimeError("OOM")
    bench.ask(WRITE)
    assert bench.storage.health()["error"] == "refuses writes: OOM"
    bench.fake.refused = None
    bench.ask(WRITE)
    assert health() == works
