"""RFC 3261 16.5 and 16.6: the target set and its order."""

from __future__ import annotations

import pytest

from sansip.errors import LocalProtocolError
from sansip.proxy.target import Target, TargetQueue, groups
from sansip.transport import Flow
from sansip.wire import parse_uri


def target(user: str, q: int = 1000, **options: object) -> Target:
    return Target(parse_uri(f"sip:{user}@192.0.2.2"), q, **options)


def order(*targets: Target) -> list[list[str]]:
    return [[str(one.uri)[4:].partition("@")[0] for one in group] for group in groups(list(targets))]


def test_by_q() -> None:
    """16.6: from highest to lowest; equal values in parallel, in the order given."""
    assert order(target("a", 500), target("b", 1000), target("c", 500), target("d", 0)) == [
        ["b"],
        ["a", "c"],
        ["d"],
    ]


def test_once() -> None:
    """16.5: a URI that is present already is not added again, with another q neither."""
    assert order(target("a"), target("b"), target("a"), target("b", 1)) == [["a", "b"]]


def test_one_uri_by_two_flows() -> None:
    """RFC 5626 3.1: two flows of one phone share a contact, and one of them may be dead."""
    first, second = Flow("tcp", 1, ("192.0.2.2", 1), 5), Flow("tcp", 1, ("192.0.2.2", 2), 6)
    assert order(target("a", flow=first), target("a", flow=second)) == [["a", "a"]]


def test_one_uri_by_two_paths() -> None:
    """RFC 3327: the way is part of the target."""
    assert order(target("a", path=("<sip:p1;lr>",)), target("a", path=("<sip:p2;lr>",))) == [["a", "a"]]


def test_the_request_uri() -> None:
    """16.5: a single target keeps the Request-URI where it has none of its own."""
    assert groups([Target()]) == [[Target()]]


def test_a_queue_takes_so_many_in_all() -> None:
    """limits.branches: a route that relays until something works comes to an end."""
    queue = TargetQueue(3)
    queue.put([target("a"), target("b", 500)])
    queue.put([target("c"), target("d")])
    assert [[one.uri.user for one in queue.take(9)] for _ in range(3)] == [["c"], ["a"], ["b"]]
    assert queue.room == 0
    with pytest.raises(LocalProtocolError):
        queue.put([target("e")])


def test_what_is_too_much_at_once_waits() -> None:
    """RFC 5393 5.3.3.2: the group goes on where Max-Breadth allows no more in parallel."""
    queue = TargetQueue(9)
    queue.put([target("a"), target("b"), target("c")])
    assert [len(queue.take(2)), len(queue.take(2)), queue.pending] == [2, 1, []]


def test_one_flow_of_a_phone_at_a_time() -> None:
    """RFC 5626 7: the other flows are spare, and a flow that takes the place of one need not go alone."""
    queue = TargetQueue(9)
    queue.put([target("a", instance="i", alone=True), target("b", instance="i", alone=True)])
    assert [one.uri.user for one in queue.take(9)] == ["a"]
    spare = queue.take_spare("i") if queue.has_spare("i") else None
    assert spare is not None
    assert not spare.alone
    assert not queue.has_spare("i")
    assert not queue.has_spare("")


def test_one_branch_for_each_place() -> None:
    """The first of the targets that strangers named has the place; a lone target asks for none."""
    queue = TargetQueue(9)
    queue.put([target("a"), target("b")])
    assert [queue.claim(one, ("udp", "192.0.2.2", 5060)) for one in ("a", "b", "a")] == [True, False, True]
    queue.put([target("c")])
    assert queue.claim("b", ("udp", "192.0.2.2", 5060))
