"""The contract of every store, on any database: inherited by a test class for each."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from sansip.auth import Lookup
from sansip.location import Binding, LocationUpdate, Source
from sansip.wire import SipUri, parse_uri
from sansip_server.stores import DataRefused, Store, User
from tests.server.machine import HOUR, Machine

AOR = "sip:bob@biloxi.test"
FULL = Binding(
    AOR,
    "sip:bob@192.0.2.4;transport=tcp",
    100.0,
    "call-1",
    7,
    q=350,
    registered_at=10.0,
    refreshed_at=40.0,
    path=("<sip:edge.biloxi.test;lr>", "<sip:\udcfe@inner.biloxi.test;lr>"),
    instance="urn:uuid:f81d4fae",
    reg_id=1,
    params=';methods="INVITE\\""',
    received=Source("tls", "203.0.113.9", 1024),
    user_agent="Phone \udcff \0 \\0000 ☎",
)
HOSTILE = [
    "alice' OR '1'='1",
    "\x00",
    "a\x00b",
    "\udcff",
    "x" * 10_000,
    "%",
    "_",
    "\\",
    "'; DROP TABLE users; --",
]

Open = Callable[[], Store]


class StoreContract:
    """Subclasses have a fixture ``open_one`` that opens the same database each time it is called."""

    @pytest.fixture
    def opened(self, open_one: Open) -> Iterator[Open]:
        with ExitStack() as stores:

            def opening() -> Store:
                store = open_one()
                stores.callback(store.close)
                return store

            yield opening

    def test_binding_survives(self, opened: Open) -> None:
        """Every field comes back, in the clock of the new process; a flow does not, for it is gone."""
        permanent = Binding(AOR, "sip:bob@192.0.2.5", math.inf, "call-2", 1)
        opened().save([LocationUpdate(AOR, (), (FULL, permanent))], 1_000.0)
        # No close: the process was killed.
        found = sorted(opened().bindings(1_050.0, 900.0), key=lambda binding: binding.call_id)
        assert found[0] == replace(FULL, expires_at=200.0, registered_at=110.0, refreshed_at=140.0)
        assert found[1].expires_at == math.inf

    def test_update_replaces_and_removes(self, opened: Open) -> None:
        """An update is the whole of its address-of-record; the last of a batch counts."""
        store = opened()
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
        other = replace(FULL, contact="sip:bob@192.0.2.9")
        store.save(
            [LocationUpdate(AOR, (FULL,), (other, FULL)), LocationUpdate(AOR, (other, FULL), (other,))], 0.0
        )
        assert [one.contact for one in store.bindings(0.0, 0.0)] == ["sip:bob@192.0.2.9"]
        store.save([LocationUpdate(AOR, (other,), ())], 0.0)
        assert list(store.bindings(0.0, 0.0)) == []

    def test_one_contact_over_two_flows(self, opened: Open) -> None:
        """RFC 5626 4.2: two bindings may differ in nothing but reg-id."""
        store = opened()
        two = (FULL, replace(FULL, reg_id=2))
        store.save([LocationUpdate(AOR, (), two)], 0.0)
        assert {one.reg_id for one in store.bindings(0.0, 0.0)} == {1, 2}

    def test_expired(self, opened: Open) -> None:
        """A binding that expired while no server ran is not restored, and can be deleted."""
        store = opened()
        live = replace(FULL, aor="sip:eve@biloxi.test", expires_at=101.0)
        store.save([LocationUpdate(AOR, (), (FULL,)), LocationUpdate(live.aor, (), (live,))], 0.0)
        assert list(store.bindings(100.0, 0.0)) == [live]
        assert store.forget(100.0) == 1
        assert list(store.bindings(0.0, 0.0)) == [live]

    def test_batch_is_atomic(self, opened: Open) -> None:
        """A batch that fails leaves everything as it was, and says that the data is to blame."""
        store = opened()
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
        broken = replace(FULL, aor="sip:a@b", cseq=None)
        with pytest.raises(DataRefused):
            store.save([LocationUpdate(AOR, (FULL,), ()), LocationUpdate("sip:a@b", (), (broken,))], 0.0)
        assert [one.contact for one in store.bindings(0.0, 0.0)] == [FULL.contact]
        store.save([LocationUpdate(AOR, (FULL,), ())], 0.0)
        assert list(store.bindings(0.0, 0.0)) == []

    def test_overlong_is_kept_or_refused(self, opened: Open) -> None:
        """A name beyond what an index holds is its owner's trouble alone."""
        store = opened()
        chance = random.Random(1)
        aor = "sip:" + "".join(chr(chance.randrange(33, 127)) for _ in range(30_000))
        try:
            store.save([LocationUpdate(aor, (), (replace(FULL, aor=aor),))], 0.0)
        except DataRefused:
            assert list(store.bindings(0.0, 0.0)) == []
        else:
            assert [one.aor for one in store.bindings(0.0, 0.0)] == [aor]
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)

    def test_users(self, opened: Open) -> None:
        """Users are found by realm and name alone; hostile names are data."""
        store = opened()
        assert store.put_user(User("alice", "biloxi.test", {"MD5": "a" * 32, "SHA-256": "b" * 64}))
        assert not store.put_user(User("alice", "biloxi.test", {"MD5": "c" * 32}))
        wanted = [Lookup("alice", "biloxi.test"), *(Lookup(name, "biloxi.test") for name in HOSTILE)]
        assert store.lookup(wanted) == [{"MD5": "c" * 32}, *[None] * len(HOSTILE)]
        assert store.lookup([Lookup("alice", "other.test")] * 2) == [None, None]
        assert [user.username for user in store.users()] == ["alice"]
        assert [user.username for user in store.users("other.test")] == []
        assert store.remove_user("alice", "biloxi.test")
        assert not store.remove_user("alice", "biloxi.test")

    @pytest.mark.parametrize("name", HOSTILE[:4] + HOSTILE[5:])
    def test_hostile_name_is_a_user(self, opened: Open, name: str) -> None:
        """A user with any name is found again under that name, and under no other."""
        store = opened()
        store.put_user(User(name, "biloxi.test", {"MD5": "a" * 32}))
        found = store.lookup([Lookup(other, "biloxi.test") for other in HOSTILE])
        assert [HOSTILE[n] for n, keys in enumerate(found) if keys] == [name]
        assert [user.username for user in store.users()] == [name]
        assert store.remove_user(name, "biloxi.test")

    def test_change_of_users_is_seen(self, opened: Open) -> None:
        """A change by another process has another generation here."""
        store, command = opened(), opened()
        seen = [store.generation()]
        command.put_user(User("alice", "biloxi.test", {"MD5": "a" * 32}))
        seen.append(store.generation())
        store.save([LocationUpdate(AOR, (), (FULL,))], 0.0)
        assert store.generation() == seen[-1]
        command.remove_user("alice", "biloxi.test")
        seen.append(store.generation())
        assert len(set(seen)) == 3

    def test_commands_at_once(self, opened: Open) -> None:
        """Several scripts at once: after each status 0 the user is there, and the server sees the change."""
        before = opened().generation()
        stores = [opened() for _ in range(4)]
        faults: list[BaseException] = []

        def add(number: int) -> None:
            try:
                for one in range(10):
                    stores[number].put_user(User(f"u{number}-{one}", "biloxi.test", {"MD5": "a" * 32}))
            except BaseException as error:
                faults.append(error)

        threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert faults == []
        assert len(list(opened().users())) == 40
        assert opened().generation() == before + 40

    # --- a clock that is set (issue 9, 5)

    @pytest.mark.parametrize("error", [-2 * HOUR, 2 * HOUR])
    @pytest.mark.parametrize("again", ["start", "reboot"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_clock_is_set_right(self, opened: Open, error: float, again: str, when: str) -> None:
        """A server starts with a wrong clock, NTP sets it, a phone registers, the server begins anew."""
        machine = Machine(opened, error)
        if when == "before":
            machine.register("bob")
        machine.wait(60)
        machine.set(0.0)
        machine.look()
        if when == "after":
            machine.register("bob")
        machine.wait(60)
        getattr(machine, again)()
        assert machine.left("bob") == [HOUR - (120 if when == "before" else 60)]

    @pytest.mark.parametrize("error", [-2 * HOUR, 2 * HOUR])
    def test_clock_is_set_while_nobody_runs(self, opened: Open, error: float) -> None:
        """Between the end of a server and its next start, on one boot: no step touches a row."""
        machine = Machine(opened, error)
        machine.register("bob")
        machine.set(0.0)
        machine.wait(60)
        machine.start()
        assert machine.left("bob") == [HOUR - 60]

    def test_killed_before_the_step_was_seen(self, opened: Open) -> None:
        """kill -9 within the second after a step."""
        machine = Machine(opened, -2 * HOUR)
        machine.register("bob")
        machine.set(0.0)
        machine.start()
        machine.register("carol")
        machine.start()
        assert (machine.left("bob"), machine.left("carol")) == ([HOUR], [HOUR])

    def test_set_forth_and_back(self, opened: Open) -> None:
        """A typing error of the operator, and its correction: registrations of all three times are right."""
        machine = Machine(opened)
        machine.register("alice")
        machine.set(30 * 24 * HOUR)
        machine.look()
        machine.register("bob")
        machine.set(0.0)
        machine.look()
        machine.register("carol")
        for again in (machine.start, machine.reboot):
            again()
            assert [machine.left(user) for user in ("alice", "bob", "carol")] == [[HOUR]] * 3

    def test_boot_with_a_clock_that_is_behind(self, opened: Open) -> None:
        """A machine without a battery clock: what was written "in the future" lives as long as granted."""
        machine = Machine(opened)
        machine.register("bob")
        machine.set(-5 * 365 * 24 * HOUR)
        machine.reboot()
        assert machine.left("bob") == [HOUR]
        machine.set(0.0)
        machine.look()
        machine.wait(60)
        machine.reboot()
        assert machine.left("bob") == [HOUR - 60]

    def test_boot_with_a_clock_that_is_ahead(self, opened: Open) -> None:
        """A clock in local time: everybody seems to have expired, until NTP sets it; then they are back."""
        machine = Machine(opened)
        machine.register("bob")
        machine.register("carol", 60)
        machine.set(2 * HOUR)
        machine.reboot()
        assert machine.left("bob") == []
        machine.register("dave")
        machine.wait(100)
        machine.set(0.0)
        machine.look()
        assert [machine.left(user) for user in ("bob", "carol", "dave")] == [[HOUR - 100], [], [HOUR - 100]]
        machine.start()
        assert machine.left("bob") == [HOUR - 100]

    def test_nothing_is_deleted_on_a_clock_that_just_jumped(self, opened: Open) -> None:
        """The sweep waits for an hour without a step, and takes nothing that expired within a day."""
        machine = Machine(opened)
        machine.register("bob")
        machine.reboot()
        machine.wait(2 * HOUR)
        # Two days ahead: bob's row, of another boot, seems to be older than a day.
        machine.set(48 * HOUR)
        machine.look()
        machine.register("carol")
        assert machine.storage is not None
        store = machine.storage._store
        assert store.count() == 2
        machine.set(0.0)
        machine.look()
        for _ in range(3):
            machine.wait(2 * HOUR)
            machine.register("dave")
        assert store.count() == 3
        machine.wait(48 * HOUR)
        machine.register("erin")
        assert store.count() == 1

    def test_gruus_are_dated_alike_in_all_lives(self, opened: Open) -> None:
        """RFC 5627 5.1: a temporary GRUU from before a step is good after it, and after restarts."""
        machine = Machine(opened, -2 * HOUR)
        gruus = machine.stack.registrar.gruus
        assert gruus is not None
        zero = machine.unix() - machine.clock()
        machine.register("bob")
        aor = "sip:bob@biloxi.test"
        made = [gruus.temporary(aor, "urn:x", machine.clock(), zero)]
        machine.set(0.0)
        machine.look()
        machine.wait(60)
        for again in (machine.start, machine.reboot, machine.start):
            again()
            gruus = machine.stack.registrar.gruus
            assert gruus is not None
            offset = machine.unix() - machine.clock()
            (binding,) = machine.stack.location.lookup(aor, machine.clock())
            bound = [replace(binding, instance="urn:x")]
            for text in made:
                assert text is not None
                uri = parse_uri(text)
                assert isinstance(uri, SipUri)
                gruu = gruus.read(uri)
                assert gruu is not None
                assert gruus.bindings(gruu, aor, bound, offset) == bound
            made.append(gruus.temporary(aor, "urn:x", machine.clock(), offset))

    def test_two_servers_number_their_readings(self, opened: Open) -> None:
        """Servers that share a database have clocks of their own, and each row names the right one."""
        first, second = Machine(opened), Machine(opened, -HOUR)
        second._boots = 7
        second.start()
        first.register("alice")
        second.register("bob")
        second.set(0.0)
        second.look()
        second.register("carol")
        first.start()
        assert [first.left(user) for user in ("alice", "bob", "carol")] == [[HOUR]] * 3
