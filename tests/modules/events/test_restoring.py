"""Subscriptions and their rows: a restart, another node, a store that is down."""

from __future__ import annotations

import pytest

from sansip.rows import MemoryRows, Scan
from tests.modules.events.weather import RESOURCE, bench, body, engine, watcher, weather


def test_a_restart() -> None:
    """An acknowledged subscription lives on in the next process: CSeq and version rise, the state is told."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    rig = bench(rig.rows, now=150.0)
    weather(rig).words[RESOURCE] = "rain"
    before = one.last.cseq.number
    one.rig = rig
    (notify,) = one.wait(5)
    assert notify.cseq.number > before
    assert (notify.from_tag, body(notify).split()[1]) == (one.tag, "rain")
    # The 50 s of the process before count.
    assert 540 <= int(one.state.partition("expires=")[2]) <= 550
    assert one.subscribe(600) == 200
    assert one.subscribe(0) == 200
    assert rig.rows.count(engine(rig).tables[0]) == 0


def test_a_refresh_elsewhere() -> None:
    """Another node with the same rows takes the refresh of a subscription that it has never seen."""
    rig = bench()
    other = bench(rig.rows)
    one = watcher(rig)
    one.subscribe(600)
    one.rig = other
    assert one.subscribe(600) == 200
    assert one.state.startswith("active")


def test_nothing_is_acknowledged_that_is_not_stored() -> None:
    """RFC 3261 21.5.4: while the store is down there is a 503, and no subscription."""
    rig = bench()
    rig.broken = True
    one = watcher(rig)
    assert one.subscribe(600) == 503
    assert len(engine(rig)) == 0
    assert one.notifies == []
    rig.broken = False
    assert one.subscribe(600) == 200


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is served as soon as the rows can be read."""
    rig = bench()
    one = watcher(rig)
    one.subscribe(600)
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    rig = one.rig = bench(rig.rows, now=150.0)
    monkeypatch.undo()
    assert len(engine(rig)) == 0
    one.wait(10)
    assert len(engine(rig)) == 1


def test_a_start_writes_no_rows() -> None:
    """A start with many subscriptions takes seconds: each row is written with its own NOTIFY, not before."""
    rig = bench()
    watchers = [watcher(rig, name=f"w{number}") for number in range(3)]
    for one in watchers:
        one.subscribe(600)
    table = engine(rig).tables[0]
    before = rig.rows.scan(Scan(table, (), None, 10))
    rig = bench(rig.rows, now=150.0, restore_rate=1)
    after = rig.rows.scan(Scan(table, (), None, 10))
    place = table.names.index("cseq")
    written = [new[place] != old[place] for old, new in zip(before, after, strict=True)]
    assert written.count(True) <= 1, "the one whose NOTIFY left at once"
    for one in watchers:
        one.rig = rig
    rig.wait(5)
    last = rig.rows.scan(Scan(table, (), None, 10))
    # RFC 3261 12.2.1.1: the numbers of a restart are behind those that were reserved before.
    assert all(new[place] > old[place] for old, new in zip(before, last, strict=True))
