"""The location service against a naive model, step by step, on a virtual clock.

The model keeps a plain dict of lists and looks at everything every time. What
the service has of its own, the buckets, the index of flows, the counts, must
never make a difference that can be seen.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sansip.limits import Limits
from sansip.location import Binding, LocationUpdate, MemoryLocation, Outcome

AORS = [f"sip:{name}@example.com" for name in "abc"]
FLOWS = [None, 0, "c1", "c2", "c3"]
LIMITS = Limits(aors=2, bindings_per_aor=3)

contacts = st.lists(
    st.tuples(
        st.sampled_from(["sip:a@host", "sip:b@host", "sip:c@host", "sip:d@host"]),
        st.sampled_from([0.5, 1.0, 7.25, 60.0]),
        st.sampled_from(FLOWS),
        st.sampled_from([None, 0, 500, 1000]),
    ),
    max_size=4,
    unique_by=lambda c: c[0],
)


class LocationMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.location = MemoryLocation(LIMITS)
        self.model: dict[str, list[Binding]] = {}
        self.now = 0.0
        self.cseq = 0
        self.gone: list[Binding] = []

    def live(self, aor):
        return [b for b in self.model.get(aor, ()) if b.expires_at > self.now]

    @rule(aor=st.sampled_from(AORS), wanted=contacts, keep=st.booleans(), stale=st.booleans())
    def update(self, aor, wanted, keep, stale):
        self.cseq += 1
        before = self.live(aor)
        new = [
            Binding(aor, uri, self.now + life, "id", self.cseq, q=q, refreshed_at=self.now, flow=flow)
            for uri, life, flow, q in wanted
        ]
        named = {b.contact for b in new}
        kept = [b for b in before if b.contact not in named] if keep else []
        after = sorted(kept + new, key=lambda b: b.rank)
        seen = before[1:] if stale else before

        outcome = self.location.apply(LocationUpdate(aor, tuple(seen), tuple(after)), self.now)

        if seen != before:
            assert outcome is Outcome.CONFLICT
        elif outcome is Outcome.FULL:
            held = {name for name, bindings in self.model.items() if bindings}
            assert len(after) > 3 or (aor not in held and len(held) >= 2)
        else:
            assert outcome is Outcome.DONE
            self.model[aor] = after

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 8.0, 61.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit):
        expired = self.location.expire(self.now, limit)
        for binding in expired:
            assert binding.expires_at <= self.now
            self.model[binding.aor].remove(binding)

    @rule()
    def sweep_all(self):
        while (due := self.location.next_expiry()) is not None and due <= self.now:
            self.sweep(2)
        for bindings in self.model.values():
            # A bucket is due within a second of the expiry.
            assert all(b.expires_at > self.now - 1 for b in bindings)

    @rule(flow=st.sampled_from(FLOWS[2:]))
    def lose(self, flow):
        held = [a for a, bindings in self.model.items() if any(b.flow == flow for b in bindings)]
        assert sorted(self.location.aors_of(flow)) == sorted(held)
        for aor in held:
            live = self.live(aor)
            left = [b for b in live if b.flow != flow]
            update = LocationUpdate(aor, tuple(live), tuple(left))
            assert self.location.apply(update, self.now) is Outcome.DONE
            self.model[aor] = left

    @rule(aor=st.sampled_from(AORS))
    def administrator_removes(self, aor):
        assert self.location.remove(aor, self.now) == self.live(aor)
        self.model[aor] = []

    @invariant()
    def lookups_agree(self):
        for aor in AORS:
            assert self.location.lookup(aor, self.now) == self.live(aor)

    @invariant()
    def counts_agree(self):
        held = {aor: tuple(bindings) for aor, bindings in self.model.items() if bindings}
        assert dict(self.location.snapshot()) == held
        assert self.location.aors == len(held)
        assert len(self.location) == sum(map(len, held.values()))

    @invariant()
    def the_deadline_is_the_earliest_expiry(self):
        times = [b.expires_at for bindings in self.model.values() for b in bindings]
        due = self.location.next_expiry()
        assert due == (int(min(times)) + 1 if times else None)


TestLocation = LocationMachine.TestCase
TestLocation.settings = settings(stateful_step_count=40)
