"""The store's answers to the stack: batches, refusals of one, faults told once, what replaces it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip.rows import Change, Expected, Read, Table, Values, Write
from sansip_server.faults import OperatorError
from sansip_server.rows.service import RowService
from sansip_server.rows.sqlite import SqliteRows
from sansip_server.storage import Storage
from sansip_server.stores import DataRefused, Replaced
from sansip_server.stores.clocks import Reading
from sansip_server.stores.sqlite import SqliteStore

ALICE = Lookup("alice", "biloxi.test")
KEYS = {"MD5": "a" * 32}


class Store:
    """A store that does what the test says."""

    name = "sansip.db"

    def __init__(self) -> None:
        self.saved: list[list[str]] = []
        self.fault: Exception | None = None
        self.refused = ""
        self.number = 1

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault

    def lookup(self, lookups: Sequence[Lookup]) -> list[Mapping[str, str] | None]:
        self._check()
        return [KEYS if one == ALICE else None for one in lookups]

    def generation(self) -> int:
        self._check()
        return self.number

    def readings(self) -> list[Reading]:
        self._check()
        return []

    def note_reading(self, boot: str, zero: float) -> Reading:
        self._check()
        return Reading(1, boot, zero)

    def save(self, updates: Sequence[LocationUpdate], offset: float, clock: int | None = None) -> None:
        self._check()
        names = [update.aor for update in updates]
        if self.refused in names:
            raise DataRefused("too long")
        self.saved.append(names)

    def bindings(self, unix: float, offset: float, boot: str = "") -> list[Binding]:
        self._check()
        return []

    def close(self) -> None:
        pass


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def update(name: str) -> LocationUpdate:
    return LocationUpdate(name, (), (Binding(name, "sip:x@192.0.2.1", 1e9, "c", 1),))


def stack_with(*names: str) -> Stack:
    stack = Stack(StackConfig([ListenerConfig(0, "udp", "127.0.0.1", 5060)], ["biloxi.test"]), b"s" * 32)
    for name in names:
        stack.location.apply(update(name), 0.0)
    return stack


def test_batches_keep_their_distance() -> None:
    """A lone registration is written at once; under load a batch begins an interval after the last."""
    clock = Clock()
    storage = Storage(Store(), interval=0.01, clock=clock, sleep=clock.sleep)
    storage._save([update("a")])
    assert clock.slept == []
    clock.now += 0.004
    storage._save([update("b"), update("c")])
    assert clock.slept == [0.006]
    clock.now += 5.0
    storage._save([update("d")])
    assert clock.slept == [0.006]


def test_one_refused_is_refused_alone() -> None:
    """A refused REGISTER must not cost the others of its batch their registration."""
    store = Store()
    store.refused = "bad"
    storage = Storage(store)
    first, second, third = storage._save([update("a"), update("bad"), update("c")])
    assert (first, third) == (None, None)
    assert isinstance(second, DataRefused)
    assert store.saved == [["a"], ["c"]]
    assert storage.health()["ok"]
    assert isinstance(storage._save([update("bad")])[0], DataRefused)


def test_fault_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins, one when it ends, and the health says it in between."""
    store = Store()
    storage = Storage(store)
    caplog.set_level(logging.INFO, "sansip.store")
    store.fault = OSError("disk full\nand more")
    for _ in range(3):
        assert storage._save([update("a")]) == [store.fault]
        assert storage._lookup([ALICE]) == [store.fault]
    assert [record.getMessage() for record in caplog.records] == [
        "store sansip.db fails: disk full; registrations get 503 until it works again"
    ]
    health = storage.health()
    assert (health["ok"], health["error"]) == (False, "disk full")
    assert health["failing_since"] > 1e9
    store.fault = None
    # Users are found, and nothing was written yet: it may be read-only.
    storage._lookup([ALICE])
    assert not storage.health()["ok"]
    storage._save([update("a")])
    assert storage.health() == {"ok": True, "name": "sansip.db", "failing_since": None, "error": None}
    assert caplog.records[-1].getMessage() == "store sansip.db works again"
    assert len(caplog.records) == 2


def test_who_was_known_may_go_on() -> None:
    """While the store fails, a user's keys of before are answered; strangers get the fault."""
    store = Store()
    storage = Storage(store)
    assert storage._lookup([ALICE]) == [KEYS]
    assert storage.recall(ALICE) == KEYS
    store.fault = OSError("gone")
    bob = Lookup("bob", "biloxi.test")
    assert storage._lookup([ALICE, bob]) == [KEYS, store.fault]


def test_changed_users_are_noticed_by_registrations() -> None:
    """If no user has to be looked up any more, the batches of registrations look."""
    clock = Clock()
    store = Store()
    storage = Storage(store, clock=clock)
    storage.known._clock = clock
    storage._lookup([ALICE])
    store.number = 2
    clock.now += 0.6
    storage._save([update("a")])
    assert storage.recall(ALICE) is None
    storage._lookup([ALICE])
    storage.forget_users()
    assert storage.recall(ALICE) is None


def test_replaced_database_is_filled_again(caplog: pytest.LogCaptureFixture) -> None:
    """All of memory goes into what the operator put in place, before anything is acknowledged."""
    names = [f"sip:{number}@biloxi.test" for number in range(2_500)]
    store = Store()
    storage = Storage(store)
    storage.restore(stack_with(*names))
    first = store.save
    fault: list[Exception] = [Replaced("sansip.db"), OSError("not yet")]

    def save(updates: Sequence[LocationUpdate], offset: float, clock: int | None = None) -> None:
        if fault:
            raise fault.pop(0)
        first(updates, offset)

    store.save = save  # type: ignore[method-assign]  # the test's own in its place
    assert isinstance(storage._save([update("new")])[0], OSError)
    assert storage._save([update("new")]) == [None]
    assert [name for batch in store.saved for name in batch] == [*names, "new"]
    assert max(map(len, store.saved)) == 1_000
    assert "2500 users written again" in caplog.text
    storage._save([update("newer")])
    assert store.saved[-1] == ["newer"]


def test_unreadable_at_the_start() -> None:
    """A server that would forget everybody does not start."""
    store = Store()
    store.fault = OSError("malformed")
    with pytest.raises(OperatorError, match="malformed; registrations cannot be read"):
        Storage(store).restore(stack_with())


@dataclass
class Note:
    name: str
    text: str


NOTES = Table("notes", Note, key=("name",))


def note(name: str, text: str = "x") -> Write:
    return Write((Change(NOTES, ((name, text),)),))


class Both:
    """Registrations and rows of modules in one file; ``commits`` is how often it was written."""

    def __init__(self, path: Path) -> None:
        clock = Clock()
        self.store = SqliteStore(path, timeout=0.01)
        self.storage = Storage(self.store, interval=0.01, clock=clock, sleep=clock.sleep)
        self.rows = SqliteRows(self.store)
        self.service = RowService(self.rows, 0.01, clock, clock.sleep, storage=self.storage)
        self.service.prepare([NOTES])
        self.write = self.service.handlers[Write]
        self._other = sqlite3.connect(path, isolation_level=None)
        # The reading of the clock is noted before the first registration, in a transaction of its own.
        self.storage._save([update("first")])

    @property
    def commits(self) -> int:
        return int(self._other.execute("PRAGMA data_version").fetchone()[0])

    def notes(self, *names: str) -> list[Values | None]:
        return self.rows.read(Read(NOTES, tuple((name,) for name in names)))

    def users(self) -> list[str]:
        return [one.aor for one in self.store.bindings(0.0, 0.0)]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    made = Both(tmp_path / "sansip.db")
    yield made
    made._other.close()
    made.store.close()


def test_registrations_and_rows_are_one_transaction(both: Both) -> None:
    """A kept message that is fetched costs a REGISTER and a mark: one flush to the disk, and one turn."""
    assert both.write == both.storage.handlers[LocationUpdate]
    before = both.commits
    assert both.write([note("a"), update("u"), note("b"), update("v")]) == [None] * 4
    assert both.commits == before + 1
    assert both.notes("a", "b") == [("a", "x"), ("b", "x")]
    assert both.users() == ["first", "u", "v"]
    assert both.service.figures() == {"batches": 1, "writes": 2}
    assert both.storage.figures()["updates"] == 3


def test_what_one_lacks_is_not_the_others_fault(both: Both) -> None:
    """A row that no database holds costs no phone its registration, and the other way round."""
    bad: Any = Write((Change(NOTES, (("c", object()),)),))
    refused, *fine = both.write([bad, note("d"), update("u")])
    assert isinstance(refused, DataRefused)
    assert fine == [None, None]
    large = replace(update("w").after[0], cseq=1 << 70)
    fine, refused = both.write([note("e"), LocationUpdate("w", (), (large,))])
    assert fine is None
    assert isinstance(refused, DataRefused)
    assert both.notes("c", "d", "e") == [None, ("d", "x"), ("e", "x")]
    assert both.users() == ["first", "u"]


def test_a_row_that_expects_another_is_judged_alone(both: Both) -> None:
    """A registration beside it is written, whatever becomes of it."""
    expects = Write((Change(NOTES, (("a", "y"),)),), (Expected(NOTES, ("a",), ("a", "z")),))
    assert both.write([note("a"), expects, update("u")]) == [None, False, None]
    assert both.notes("a") == [("a", "x")]
    assert both.users() == ["first", "u"]


def test_a_replaced_file_gets_all_registrations_beside_rows(both: Both, tmp_path: Path) -> None:
    """Also where the first batch that finds another file in its place has both in it."""
    both.storage.restore(stack_with("old"))
    SqliteStore(tmp_path / "new.db").close()
    (tmp_path / "new.db").rename(tmp_path / "sansip.db")
    row, registration = both.write([note("a"), update("u")])
    assert registration is None
    # The new file has no such table: the module's row is not taken for written.
    assert isinstance(row, Exception)
    assert sorted(both.users()) == ["first", "old", "u"]


def test_a_fault_fails_both(both: Both) -> None:
    """Nothing is acknowledged that is not there; what failed is written when the store works again."""
    both._other.execute("BEGIN IMMEDIATE")
    assert [type(one) for one in both.write([note("a"), update("u")])] == [sqlite3.OperationalError] * 2
    assert not both.storage.health()["ok"]
    assert not both.service.health()["ok"]
    both._other.execute("ROLLBACK")
    assert both.notes("a") == [None]
    assert both.users() == ["first"]
    assert both.write([note("a"), update("u")]) == [None, None]
    assert both.storage.health()["ok"]
    assert both.service.health()["ok"]


def test_a_locked_file_is_waited_for_once(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones get their 503 after ``store_timeout``, not after three of them, and so do those that wait."""
    waits: list[int] = []
    write = both.store.write

    def counted(work: Callable[[sqlite3.Connection], None]) -> None:
        waits.append(1)
        write(work)

    monkeypatch.setattr(both.store, "write", counted)
    both._other.execute("BEGIN IMMEDIATE")
    assert [type(one) for one in both.write([note("a"), update("u")])] == [sqlite3.OperationalError] * 2
    assert len(waits) == 1
    both._other.execute("ROLLBACK")
    assert both.write([note("a"), update("u")]) == [None, None]
    assert both.service.health()["ok"]
