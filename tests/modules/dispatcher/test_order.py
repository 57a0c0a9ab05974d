"""Each algorithm gives each destination its share, and moves no more than it must."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

from sansip.entropy import Entropy
from sansip.modules.dispatcher import Destination
from sansip.modules.dispatcher.member import Member
from sansip.modules.dispatcher.order import (
    RoundRobin,
    by_calls,
    by_hash,
    by_latency,
    by_priority,
    by_srv,
    drawn,
    share_of,
)

CALLS = 100_000


def members(*weights: int, priorities: tuple[int, ...] = ()) -> list[Member]:
    made = []
    for number, weight in enumerate(weights):
        priority = priorities[number] if priorities else 0
        one = Destination(f"sip:192.0.2.{number + 1}", weight=weight, priority=priority)
        made.append(Member(one.parsed, destination=one))
    return made


def in_share(count: int, weight: int, total: int, of: int) -> bool:
    """Whether ``count`` is within 4 standard deviations of the promised share."""
    share = weight / total
    return abs(count - of * share) <= 4 * sqrt(of * share * (1 - share))


@pytest.mark.parametrize("weights", [(1, 1, 1), (75, 25), (5, 1, 1), tuple(range(1, 11))])
def test_round_robin_is_exact(weights: tuple[int, ...]) -> None:
    """To one call, at every moment and not only at the end."""
    group, turns = members(*weights), RoundRobin()
    counts: Counter[int] = Counter()
    total = sum(weights)
    for call in range(1, CALLS + 1):
        counts[group.index(turns.order(group)[0])] += 1
        if call % 997 == 0 or call == CALLS:
            assert all(abs(counts[i] - call * weight / total) <= 1 for i, weight in enumerate(weights))


def test_round_robin_without_one() -> None:
    """A member that leaves gives its share to all others, and one that comes back has nothing to catch up."""
    group, turns = members(1, 1, 1, 1), RoundRobin()
    for _ in range(6):
        turns.order(group)
    counts = Counter(group.index(turns.order(group[:3])[0]) for _ in range(300))
    assert counts == {0: 100, 1: 100, 2: 100}
    counts = Counter(group.index(turns.order(group)[0]) for _ in range(400))
    assert counts == {0: 100, 1: 100, 2: 100, 3: 100}


@pytest.mark.parametrize("weights", [(1,) * 10, (75, 25), (1, 2, 3, 4)])
def test_hash_is_fair(weights: tuple[int, ...]) -> None:
    """By weight, over keys that look alike."""
    group = members(*weights)
    counts = Counter(group.index(by_hash(group, f"call-{n}@host")[0]) for n in range(CALLS))
    assert all(in_share(counts[i], weight, sum(weights), CALLS) for i, weight in enumerate(weights))


def test_hash_moves_only_what_it_must() -> None:
    """One of ten goes: each of its keys moves, evenly to the nine others, and no other key does."""
    group = members(*(1,) * 10)
    keys = [f"call-{n}@host" for n in range(20_000)]
    before = {key: by_hash(group, key)[0] for key in keys}
    left = group[:4] + group[5:]
    after = {key: by_hash(left, key)[0] for key in keys}
    moved = [key for key in keys if before[key] is not after[key]]
    assert moved == [key for key in keys if before[key] is group[4]]
    heirs = Counter(left.index(after[key]) for key in moved)
    assert all(in_share(heirs[i], 1, 9, len(moved)) for i in range(9))
    # And it is where failover goes.
    assert all(by_hash(group, key)[1] is after[key] for key in moved)


def test_hash_is_the_same_everywhere() -> None:
    """Another node, another start, another Python: it hangs on nothing but the two texts."""
    assert share_of("a", "sip:b") == share_of("a", "sip:b") != share_of("b", "sip:a")


@pytest.mark.parametrize("weights", [(1,) * 10, (75, 25), (1, 2, 3, 4)])
def test_random_is_fair(weights: tuple[int, ...]) -> None:
    """The first by weight; the second by weight among the others."""
    group, number = members(*weights), Entropy(bytes(32)).number
    firsts = Counter(group.index(drawn(group, number)[0]) for _ in range(CALLS))
    assert all(in_share(firsts[i], weight, sum(weights), CALLS) for i, weight in enumerate(weights))


def test_priority_and_srv() -> None:
    """RFC 2782: a lower priority before all higher ones; equal ones in order, or drawn by weight."""
    group = members(1, 1, 3, 1, priorities=(20, 10, 10, 5))
    assert [group.index(one) for one in by_priority(group)] == [3, 1, 2, 0]
    number = Entropy(bytes(32)).number
    seconds: Counter[int] = Counter()
    for _ in range(4_000):
        ordered = by_srv(group, number)
        assert (ordered[0], ordered[3]) == (group[3], group[0])
        seconds[group.index(ordered[1])] += 1
    assert in_share(seconds[1], 1, 4, 4_000)


def test_fewest_calls() -> None:
    """For each unit of weight: four calls at weight 2 are as many as two at weight 1."""
    group = members(1, 2, 1)
    counts = {id(group[0]): 2, id(group[1]): 3, id(group[2]): 2}
    assert by_calls(group, lambda one: counts[id(one)])[0] is group[1]
    counts[id(group[1])] = 5
    group[0].turn, group[2].turn = 2, 1
    assert by_calls(group, lambda one: counts[id(one)])[0] is group[2]


def test_fastest() -> None:
    """One that never answered is tried, to find out."""
    group = members(1, 1, 1)
    group[0].health.answered(0.02)
    group[1].health.answered(0.01)
    assert [group.index(one) for one in by_latency(group)] == [2, 1, 0]
