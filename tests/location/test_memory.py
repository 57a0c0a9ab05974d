"""The location service in memory (RFC 3261 10.1, 10.3; limits.py)."""

from __future__ import annotations

import math

import pytest

from sansip.limits import Limits
from sansip.location import LocationUpdate, MemoryLocation, Outcome, Source

ALICE = "sip:alice@example.com"
BOB = "sip:bob@example.com"
# Two connections.
ONE, TWO = ("tcp", 1), ("tcp", 2)


class TestLookup:
    """RFC 3261 16.5 and 16.6: bindings become targets, best first."""

    def test_an_unknown_address_has_no_bindings(self):
        """The proxy answers 404 or 480 from this; it is no error here."""
        assert MemoryLocation().lookup(ALICE, 0) == []

    def test_highest_q_comes_first(self, make_binding, put):
        """RFC 3261 16.6: targets are tried from the highest qvalue to the lowest."""
        location = MemoryLocation()
        low, high, middle = (make_binding(f"sip:{n}@host", q=n) for n in (100, 1000, 350))

        put(location, low, high, middle)

        assert location.lookup(ALICE, 0) == [high, middle, low]

    def test_no_q_counts_as_one(self, make_binding, put):
        """RFC 3841 7.2: a contact registered without q has 1.0."""
        location = MemoryLocation()
        given, none = make_binding("sip:a@host", q=999), make_binding("sip:b@host")

        put(location, given, none)

        assert location.lookup(ALICE, 0) == [none, given]

    def test_of_equal_q_the_most_recent_comes_first(self, make_binding, put):
        """The phone that spoke last is the likeliest to be there."""
        location = MemoryLocation()
        old = make_binding("sip:a@host", q=500, refreshed_at=1.0)
        new = make_binding("sip:b@host", q=500, refreshed_at=2.0)

        put(location, old, new)

        assert location.lookup(ALICE, 2) == [new, old]

    def test_what_it_returns_is_the_callers(self, make_binding, put):
        """A fork takes targets off its list; the record must not notice."""
        location = MemoryLocation()
        put(location, make_binding())

        location.lookup(ALICE, 0).clear()

        assert location.lookup(ALICE, 0) == [make_binding()]


class TestExpiry:
    """RFC 3261 10.2.2: registrations are soft state and expire unless refreshed."""

    def test_an_expired_binding_is_not_found_even_before_the_sweep(self, make_binding, put):
        """Kamailio sweeps once a minute and lists expired rows till then; a lookup may not."""
        location = MemoryLocation()
        short, long = make_binding("sip:a@host", 60.0), make_binding("sip:b@host", 3600.0)
        put(location, short, long)

        assert location.lookup(ALICE, 59.999) == [short, long]
        assert location.lookup(ALICE, 60.0) == [long]
        assert len(location) == 2

    def test_the_sweep_is_due_within_a_second(self, make_binding, put):
        """One deadline serves all that expire in one second, never before they do."""
        location = MemoryLocation()
        put(location, make_binding(expires_at=60.25))

        due = location.next_expiry()

        assert due == 61.0
        assert location.expire(60.5) == []
        assert location.expire(due) == [make_binding(expires_at=60.25)]
        assert (len(location), location.aors, location.next_expiry()) == (0, 0, None)

    def test_the_sweep_leaves_what_lives_and_comes_back_for_it(self, make_binding, put):
        """A record is looked at when its first binding expires, and then for the next."""
        location = MemoryLocation()
        short, long = make_binding("sip:a@host", 60.0), make_binding("sip:b@host", 3600.0)
        put(location, short, long)

        assert location.expire(61.0) == [short]
        assert location.lookup(ALICE, 61.0) == [long]
        assert location.next_expiry() == 3601.0

    def test_a_refresh_puts_it_off(self, make_binding, put):
        """The old expiry means nothing any more."""
        location = MemoryLocation()
        put(location, make_binding(expires_at=60.0))
        put(location, make_binding(expires_at=120.0), now=30.0)

        assert location.expire(61.0) == []
        assert location.next_expiry() == 121.0

    def test_one_step_is_bounded(self, make_binding, put):
        """A million phones that expire together must not stop the calls in progress."""
        location = MemoryLocation()
        for n in range(25):
            aor = f"sip:{n}@example.com"
            put(location, make_binding(expires_at=60.0, aor=aor), aor=aor)

        sizes = []
        while (due := location.next_expiry()) is not None:
            assert due <= 100
            sizes.append(len(location.expire(100, limit=10)))

        assert sizes == [10, 10, 5]

    def test_a_permanent_binding_never_expires(self, make_binding, put):
        """An administrator's binding needs no refresh and no deadline."""
        location = MemoryLocation()
        put(location, make_binding(expires_at=math.inf))

        assert location.next_expiry() is None
        assert location.expire(1e12) == []
        assert len(location.lookup(ALICE, 1e12)) == 1

    def test_a_permanent_binding_does_not_hide_one_that_expires(self, make_binding, put):
        """The earliest of the record decides when it is looked at."""
        location = MemoryLocation()
        put(location, make_binding("sip:a@host", math.inf), make_binding("sip:b@host", 60.0))

        assert location.next_expiry() == 61.0


class TestApply:
    """RFC 3261 10.3: a REGISTER is processed completely or not at all."""

    def test_the_whole_update_stands(self, make_binding, put):
        """Additions, changes and removals become visible together."""
        location = MemoryLocation()
        a, b, c = (make_binding(f"sip:{n}@host", refreshed_at=9.0 - i) for i, n in enumerate("abc"))
        put(location, a, b)

        assert location.apply(LocationUpdate(ALICE, (a, b), (b, c)), 0) is Outcome.DONE
        assert location.lookup(ALICE, 0) == [b, c]
        assert len(location) == 2

    def test_an_empty_record_is_forgotten(self, make_binding, put):
        """An unregistered user costs no memory."""
        location = MemoryLocation()
        put(location, make_binding())

        put(location)

        assert (location.aors, len(location), location.next_expiry()) == (0, 0, None)

    def test_a_binding_the_planner_did_not_see_is_a_conflict(self, make_binding):
        """Two plans made from one lookup: the second is refused, not merged wrongly."""
        location = MemoryLocation()
        mine, yours = make_binding("sip:a@host"), make_binding("sip:b@host")

        assert location.apply(LocationUpdate(ALICE, (), (mine,)), 0) is Outcome.DONE
        assert location.apply(LocationUpdate(ALICE, (), (yours,)), 0) is Outcome.CONFLICT
        assert location.lookup(ALICE, 0) == [mine]

    def test_a_binding_removed_meanwhile_is_not_brought_back(self, make_binding, put):
        """An administrator removed it between lookup and commit: it stays removed."""
        location = MemoryLocation()
        old, new = make_binding("sip:a@host"), make_binding("sip:b@host")
        put(location, old)
        update = LocationUpdate(ALICE, (old,), (old, new))
        location.remove(ALICE, 0)

        assert location.apply(update, 0) is Outcome.CONFLICT
        assert location.lookup(ALICE, 0) == []

    @pytest.mark.parametrize("swept", [True, False])
    def test_a_binding_expired_meanwhile_is_no_conflict(self, make_binding, put, swept):
        """Time passing changes nothing that the update is about."""
        location = MemoryLocation()
        old, new = make_binding("sip:a@host", 10.0), make_binding("sip:b@host")
        put(location, old)
        if swept:
            location.expire(11.0)

        assert location.apply(LocationUpdate(ALICE, (old,), (new,)), 12.0) is Outcome.DONE
        assert location.lookup(ALICE, 12.0) == [new]

    def test_equal_bindings_from_a_copy_are_the_same_bindings(self, make_binding, put):
        """An update may have travelled; its ``before`` is then equal, not identical."""
        location = MemoryLocation()
        put(location, make_binding())

        assert location.apply(LocationUpdate(ALICE, (make_binding(),), ()), 0) is Outcome.DONE
        assert location.aors == 0


class TestLimits:
    """limits.py: nothing a peer sends grows memory without bound."""

    def test_addresses_of_record(self, make_binding, put):
        """``aors``: a new one is refused, those known go on, one gone makes room."""
        location = MemoryLocation(Limits(aors=1))

        assert put(location, make_binding()) is Outcome.DONE
        assert put(location, make_binding(aor=BOB), aor=BOB) is Outcome.FULL
        assert location.lookup(BOB, 0) == []
        assert put(location, make_binding(cseq=2)) is Outcome.DONE
        assert put(location) is Outcome.DONE
        assert put(location, make_binding(aor=BOB), aor=BOB) is Outcome.DONE

    def test_bindings_of_one_address(self, make_binding, put):
        """``bindings_per_aor``: nothing of the update is done."""
        location = MemoryLocation(Limits(bindings_per_aor=2))
        a, b, c = (make_binding(f"sip:{n}@host") for n in "abc")

        assert put(location, a, b) is Outcome.DONE
        assert put(location, a, b, c) is Outcome.FULL
        assert location.lookup(ALICE, 0) == [a, b]


class TestFlows:
    """Bindings end with the connection they were registered over (RFC 5626 6)."""

    def test_a_connection_that_is_lost_is_found_again(self, make_binding, put):
        """By its users, and by no others."""
        location = MemoryLocation()
        put(location, make_binding("sip:a@host", flow=ONE), make_binding("sip:b@host", flow=TWO))

        assert location.aors_of(ONE) == location.aors_of(TWO) == (ALICE,)
        put(location, make_binding("sip:b@host", flow=TWO, cseq=2))
        assert (location.aors_of(ONE), location.aors_of(TWO)) == ((), (ALICE,))

    def test_one_connection_may_carry_many_addresses(self, make_binding, put):
        """A gateway registers all its lines over one connection."""
        location = MemoryLocation()
        for aor in (ALICE, BOB, "sip:carol@example.com"):
            put(location, make_binding(aor=aor, flow=ONE), aor=aor)
        put(location, aor=BOB)

        assert location.aors_of(ONE) == (ALICE, "sip:carol@example.com")

    def test_a_refresh_over_a_new_connection_moves_the_binding(self, make_binding, put):
        """The old connection's end must not take the new registration with it."""
        location = MemoryLocation()
        put(location, make_binding(flow=ONE))
        put(location, make_binding(flow=TWO, cseq=2))

        assert (location.aors_of(ONE), location.aors_of(TWO)) == ((), (ALICE,))

    def test_expiry_forgets_the_flow(self, make_binding, put):
        """Connections live for days; their former users are not kept."""
        location = MemoryLocation()
        put(location, make_binding(expires_at=10.0, flow=ONE))
        location.expire(11.0)

        assert location.aors_of(ONE) == ()

    def test_flows_that_cannot_be_lost_are_not_indexed(self, make_binding, put):
        """A UDP listener, which is a plain number, is a flow too, but it never closes."""
        location = MemoryLocation()
        put(location, make_binding(flow=1))

        assert location.aors_of(1) == ()

    def test_the_caller_may_say_which_can_be_lost(self, make_binding, put):
        """The caller alone knows which flows can be lost."""
        location = MemoryLocation(is_connection=lambda flow: flow == 1)
        put(location, make_binding("sip:a@host", flow=ONE), make_binding("sip:b@host", flow=1))

        assert (location.aors_of(ONE), location.aors_of(1)) == ((), (ALICE,))


class TestAdministration:
    """The operations of a management interface, without a REGISTER."""

    def test_remove_reports_what_lived(self, make_binding, put):
        """Expired bindings go silently: their end is told elsewhere."""
        location = MemoryLocation()
        dead, alive = make_binding("sip:a@host", 10.0), make_binding("sip:b@host")
        put(location, dead, alive)

        assert location.remove(ALICE, 20.0) == [alive]
        assert location.remove(ALICE, 20.0) == []
        assert len(location) == 0

    def test_a_snapshot_stays_as_it_was(self, make_binding, put):
        """Kamailio's dump fails when it grows; here it is a list to page through at leisure."""
        location = MemoryLocation()
        put(location, make_binding())
        put(location, make_binding(aor=BOB), aor=BOB)

        snapshot = location.snapshot()
        location.remove(ALICE, 0)

        assert [aor for aor, _ in snapshot] == [ALICE, BOB]
        assert snapshot[0][1] == (make_binding(),)


class TestHiddenWatchers:
    """Who cares for phones behind NATs alone hears of no other; both ways of a REGISTER tell the same."""

    NAT = Source("udp", "198.51.100.2", 4_000)

    @pytest.mark.parametrize("quick", [False, True])
    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [(None, None, False), (None, NAT, True), (NAT, None, True), (NAT, NAT, True)],
    )
    def test_a_source_before_or_after(self, make_binding, put, quick, before, after, told):
        """A phone that comes out from behind its NAT is told of, too: it is asked no more."""
        location = MemoryLocation()
        contact = "sip:alice@192.0.2.1"
        put(location, make_binding(contact, received=before, cseq=1, flow=0))
        heard, all_heard = [], []
        location.hidden_watchers.append(lambda *change: heard.append(change))
        location.watchers.append(lambda *change: all_heard.append(change))
        if quick:
            renewal = location.renewal(ALICE, contact, "a84b4c76e66710", 2, 3600.0, 1.0, 0, after, None)
            assert renewal is not None
            location.renew(renewal)
        else:
            put(location, make_binding(contact, received=after, cseq=2, flow=0))
        assert len(all_heard) == 1
        assert heard == (all_heard if told else [])

    def test_one_of_several(self, make_binding, put):
        location = MemoryLocation()
        heard = []
        location.hidden_watchers.append(lambda *change: heard.append(change))
        plain, hidden = make_binding("sip:a@host"), make_binding("sip:b@host", received=self.NAT)
        put(location, plain)
        assert heard == []
        put(location, plain, hidden)
        ((_, before, after),) = heard
        assert (before, len(after)) == ((plain,), 2)
