"""RFC 3261 16.5 and 16.6: the target set and its order."""

from __future__ import annotations

from sansip.proxy.target import Target, groups
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
