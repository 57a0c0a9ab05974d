"""The watch on the machine's clock: steps are seen, told once, and noted in the store; slewing is not one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sansip_server.stores import SqliteStore
from sansip_server.timekeeping import Timekeeper


class Clocks:
    """The stack's clock and the machine's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.zero = 1_000_000.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def unix(self) -> float:
        if self.pauses:
            self.now += self.pauses.pop(0)
        return self.now + self.zero


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "s.db")
    yield opened
    opened.close()


@pytest.fixture
def keeper(store: SqliteStore, clocks: Clocks) -> Timekeeper:
    return Timekeeper(store, clock=clocks.clock, unix=clocks.unix, boot="a")


def zeros(keeper: Timekeeper) -> list[float]:
    return [one.zero for one in keeper._store.readings()]


def test_step_is_noted_and_told(keeper: Timekeeper, clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """Before anybody registers again: a reboot may be next."""
    keeper.reading()
    clocks.now += 5_000
    assert keeper.steady == 5_000
    clocks.zero += 7_200
    assert keeper.look() == 7_200
    assert keeper.look() == 0.0
    assert keeper.steady == 0.0
    assert zeros(keeper) == [1_000_000.0, 1_007_200.0]
    clocks.zero -= 3_600
    assert keeper.look() == -3_600
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the machine's clock was set forward by 7200 s",
        "the machine's clock was set back by 3600 s",
    ]


def test_slewing_is_no_step(keeper: Timekeeper, clocks: Clocks) -> None:
    """NTP corrects a clock little by little: rows stay within a second of it, without a reading each."""
    keeper.reading()
    for _ in range(9):
        clocks.zero += 0.3
        keeper.look()
    assert len(zeros(keeper)) == 3
    assert abs(keeper.reading().zero - clocks.zero) <= 1.0


def test_a_pause_between_two_readings(keeper: Timekeeper, clocks: Clocks) -> None:
    """Another process had the processor for ten seconds: that is no step of the clock."""
    keeper.reading()
    clocks.pauses = [10.0, 10.0]
    assert keeper.look() == 0.0
    assert len(zeros(keeper)) == 1


def test_nothing_was_written(keeper: Timekeeper, clocks: Clocks) -> None:
    """A server whose registrations are elsewhere (location) leaves no readings."""
    clocks.zero += 7_200
    assert keeper.look() == 7_200
    assert zeros(keeper) == []


def test_a_restart_goes_on_with_the_reading(store: SqliteStore, clocks: Clocks) -> None:
    """One row for one boot, however often the server starts."""
    made = [Timekeeper(store, clock=clocks.clock, unix=clocks.unix, boot="a") for _ in range(3)]
    assert {keeper.reading().id for keeper in made} == {1}
    assert made[0].first() == clocks.zero


def test_a_store_that_fails(keeper: Timekeeper, clocks: Clocks, caplog: pytest.LogCaptureFixture) -> None:
    """The next batch needs the reading and fails for it; the watch goes on."""
    caplog.set_level(logging.INFO, "sansip.store")
    keeper.reading()

    def fail(boot: str, zero: float) -> None:
        raise OSError("disk full")

    keeper._store.note_reading = fail  # type: ignore[method-assign, assignment]  # the test's own in its place
    clocks.zero += 7_200
    assert keeper.look() == 7_200
    assert "the new reading of the clock waits: disk full" in caplog.text
    with pytest.raises(OSError, match="disk full"):
        keeper.reading()


def test_watch(keeper: Timekeeper, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread looks, tells the step, survives an exception of its callee, and ends."""
    monkeypatch.setattr("sansip_server.timekeeping._LOOK", 0.001)
    keeper.reading()
    told: list[float] = []
    heard = threading.Event()

    def stepped(step: float) -> None:
        told.append(step)
        heard.set()
        raise ValueError("what is told fails")

    keeper.watch(stepped)
    for step in (60.0, -60.0):
        heard.clear()
        clocks.zero += step
        assert heard.wait(10)
    keeper.close()
    assert told == [60.0, -60.0]
    # A step between the last look and the end is in the store, too.
    assert zeros(keeper)[-1] == clocks.zero
