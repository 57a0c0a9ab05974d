"""Records wait until they are on the disk, each once, and not without a bound."""

from __future__ import annotations

from sansip.modules.accounting.outbox import Outbox
from sansip.modules.accounting.record import Record


def record(name: str) -> Record:
    return Record(name, "call", "", "", "", "", "", "", 0.0, None, None, None, 0.0, 200, "", "", "{}")


def test_written() -> None:
    """Those that wait for a record hear when it is on the disk, and it is written no more."""
    outbox = Outbox(10)
    heard: list[float] = []
    outbox.put(record("a")).then(lambda _, now: heard.append(now), 0.0)
    outbox.put(record("b"))
    batch = outbox.batch()
    assert [one.name for one in batch] == ["a", "b"]
    outbox.put(record("c"))
    outbox.written(batch, 5.0)
    assert heard == [5.0]
    assert [one.name for one in outbox.batch()] == ["c"]


def test_one_name_one_record() -> None:
    """The second BYE of a call, or the same one again, makes no second record."""
    outbox = Outbox(10)
    assert outbox.put(record("a")) is outbox.put(record("a"))
    assert len(outbox) == 1


def test_bounded() -> None:
    """A disk that is full for a day fills no memory; lost records are counted."""
    outbox = Outbox(3)
    for number in range(5):
        outbox.put(record(str(number)))
    assert ([one.name for one in outbox.batch()], outbox.lost) == (["2", "3", "4"], 2)


def test_a_batch_is_bounded() -> None:
    """One write has an end."""
    outbox = Outbox(10_000)
    for number in range(5_000):
        outbox.put(record(str(number)))
    assert len(outbox.batch()) == 1_000
