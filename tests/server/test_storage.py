"""The store's answers to the stack: batches, refusals of one, faults told once, what replaces it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate
from sansip_server.faults import OperatorError
from sansip_server.storage import Storage
from sansip_server.stores import DataRefused, Replaced
from sansip_server.stores.clocks import Reading

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
