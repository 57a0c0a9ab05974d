"""sansip.modules.failover.sharing: what one worker knows of a server, all know."""

from __future__ import annotations

from typing import Any

from sansip.modules.failover.health import Health, Thresholds
from sansip.modules.failover.sharing import SharedHealth

LIMITS = Thresholds(down_after=2, up_after=2, eject_after=3, rest=30.0, longest_rest=60.0)


class Wire:
    """Two workers; what one says the other takes."""

    def __init__(self) -> None:
        self.healths = [Health(), Health()]
        self.said: list[Any] = []
        self.ends = [SharedHealth(self.core(number)) for number in (0, 1)]

    def core(self, number: int) -> Any:
        wire = self

        class Core:
            seat = number

            def announce(self, key: str, word: Any) -> None:
                wire.said.append(word)
                other = wire.ends[1 - number]
                assert other.heard(key) == "a"
                other.take("a", wire.healths[1 - number], word)

        return Core()

    def share(self, number: int) -> None:
        self.ends[number].share("a", self.healths[number])


def test_a_failure_at_one_takes_it_out_at_all() -> None:
    """RFC 3261 8.1.3.1: each worker would lose a call of its own before it knew."""
    wire = Wire()
    first, second = wire.healths
    first.successes = 1
    second.request_failed("408 to INVITE", "alice", 0.0, True, LIMITS, 10.0)
    second.probe_failed("408 to OPTIONS", True, LIMITS, 10.0)
    wire.share(1)
    assert first.obstacle(10.0) == "down: 408 to INVITE, 408 to OPTIONS"
    # The worker that probes it counts its answers from then on.
    assert not first.probe_answered(0.1, LIMITS, 11.0)
    wire.share(0)
    assert second.down
    assert first.probe_answered(0.1, LIMITS, 12.0)
    wire.share(0)
    assert second.obstacle(10.0) == ""
    assert second.latency == first.latency


def test_latency_alone_is_told_once_a_second() -> None:
    """The latency changes with each call, and each message about it costs all workers."""
    wire = Wire()
    one = wire.healths[0]
    for tenth in range(1, 31):
        one.answered(0.01 * tenth)
        one.request_answered(200, "alice", LIMITS, 0.1 * tenth)
        wire.share(0)
    assert 3 <= len(wire.said) <= 4
    # What takes it out is told at once.
    one.request_refused("503", 20, "alice", LIMITS, 3.1)
    one.request_refused("503", 20, "bob", LIMITS, 3.1)
    wire.share(0)
    assert wire.healths[1].rests_until == 23.1


def test_one_process_says_nothing() -> None:
    """A server that runs alone sends no news of health: no other process would receive it."""
    wire = Wire()
    core = wire.core(0)
    core.seat = None
    SharedHealth(core).share("a", wire.healths[0])
    assert wire.said == []


def test_only_news_is_said() -> None:
    """A server that answers each call costs no message for it."""
    wire = Wire()
    wire.share(0)
    said = len(wire.said)
    for _ in range(5):
        wire.healths[0].request_answered(200, "alice", LIMITS, 1.0)
        wire.share(0)
        wire.share(1)
    assert len(wire.said) == said
    # RFC 3261 20.33: a rest is until a time of the machine's clock, which all read.
    for caller in ("alice", "bob"):
        wire.healths[1].request_refused("503", 20, caller, LIMITS, 5.0)
    wire.share(1)
    assert wire.healths[0].rests_until == 25.0
    assert SharedHealth(wire.core(0)).heard("quality 1 a") is None
