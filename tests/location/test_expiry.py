"""Buckets of whole seconds: when to look for expired bindings."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from sansip.location.expiry import ExpiryBuckets


def drain(buckets, now):
    keys = []
    while (key := buckets.pop_due(now)) is not None:
        keys.append(key)
    return keys


def test_nothing_held_is_never_due():
    """An idle server has no deadline to wake for."""
    buckets = ExpiryBuckets()

    assert buckets.next_due() is None
    assert buckets.pop_due(1e9) is None


def test_keys_come_due_in_the_order_of_their_seconds():
    """The earliest bucket is emptied first, whatever order they were filled in."""
    buckets = ExpiryBuckets()
    buckets.move("late", None, 30)
    buckets.move("early", None, 10)
    buckets.move("middle", None, 20)

    assert buckets.next_due() == 10.0
    assert drain(buckets, 9.999) == []
    assert drain(buckets, 20.0) == ["early", "middle"]
    assert buckets.next_due() == 30.0


def test_a_moved_key_is_in_its_new_bucket_only():
    """A refresh must not leave an entry behind: a phone refreshes for years."""
    buckets = ExpiryBuckets()
    buckets.move("a", None, 10)
    buckets.move("a", 10, 20)

    assert drain(buckets, 15) == []
    assert drain(buckets, 25) == ["a"]
    assert drain(buckets, 1e9) == []


def test_a_key_taken_out_is_never_due():
    """A record that is removed, or made permanent, leaves the buckets."""
    buckets = ExpiryBuckets()
    buckets.move("a", None, 10)
    buckets.move("a", 10, None)

    assert buckets.next_due() is None


def test_buckets_that_come_and_go_leave_nothing_behind():
    """A phone that toggles between two intervals as fast as it can grows nothing."""
    buckets = ExpiryBuckets()
    for n in range(20):
        buckets.move(f"b{n}", None, 20_000 - n)
    buckets.move("a", None, 30_000)
    for n in range(30_000, 40_000):
        buckets.move("a", n, n + 1)

    assert len(buckets) <= 64 + 2 * 21
    assert drain(buckets, 20_000) == [f"b{n}" for n in reversed(range(20))]
    assert drain(buckets, 40_000) == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20)), max_size=60))
def test_every_key_comes_due_once_in_its_last_bucket(moves):
    """After any moves the latest place of each key counts."""
    buckets = ExpiryBuckets()
    place: dict[str, int | None] = {}
    for key, second in moves:
        buckets.move(key, place.get(key), second)
        place[key] = second

    for now in range(21):
        assert sorted(drain(buckets, now)) == sorted(k for k, second in place.items() if second == now)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20)),
            st.tuples(st.just("pop"), st.integers(0, 20)),
        ),
        max_size=60,
    )
)
def test_the_earliest_is_always_true(steps):
    """After each step it is the least second that holds a key, and the last change was told."""
    buckets = ExpiryBuckets()
    told = [inf]
    buckets.tell = told.append
    place: dict[str, int | None] = {}
    for key, second in steps:
        if key == "pop":
            popped = buckets.pop_due(second)
            if popped is not None:
                place[popped] = None
        else:
            buckets.move(key, place.get(key), second)
            place[key] = second
        earliest = min((one for one in place.values() if one is not None), default=inf)
        assert buckets.earliest == told[-1] == earliest
        assert buckets.next_due() == (None if earliest == inf else earliest)
