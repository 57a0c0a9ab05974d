"""RFC 3261 16.3: what a proxy checks before it forwards, and RFC 5393's breadth."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.proxy import ProxyConfig, Target
from sansip.proxy.validation import breadth_of
from sansip.wire import Request, parse_message, parse_uri
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    DAVE_URI,
    Out,
    Rig,
    only,
    relay_to,
    reply,
    request,
    what,
)


@pytest.fixture
def rig() -> Rig:
    return Rig(relay_to(BOB_URI))


# --- step 1: reasonable syntax


def test_what_forwarding_does_not_look_at_is_left_alone(rig: Rig) -> None:
    """A malformed Date is neither refused nor removed; unknown methods and fields go through."""
    headers = [("Date", "the day after"), ("X-New", "a;b=,,c"), ("Contact", "<<<>"), ("Expires", "never")]
    data = request("NEWMETHOD", headers=headers)
    out = only(rig.udp(data), "NEWMETHOD")
    for name, value in headers:
        assert out.message.get(name) == value


# --- step 2: scheme


@pytest.mark.parametrize("uri", ["mailto:bob@biloxi.test", "http://biloxi.test/", "urn:service:sos"])
def test_scheme(rig: Rig, uri: str) -> None:
    """A scheme that we do not understand: 416."""
    assert what(rig.udp(request(uri=uri))) == ["416"]


# --- step 3: Max-Forwards


def test_no_hop_is_left(rig: Rig) -> None:
    """Max-Forwards 0: 483, and nothing is forwarded."""
    assert what(rig.udp(request(hops=0))) == ["483"]


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "BYE", "NEWMETHOD"])
def test_for_every_method(rig: Rig, method: str) -> None:
    """An OPTIONS may be answered instead, and need not be."""
    assert what(rig.udp(request(method, hops=0))) == ["483"]


def test_a_route_that_does_not_validate_cannot_forward_either() -> None:
    """The element MUST NOT forward the request."""

    def careless(incoming: Any) -> None:
        incoming.relay(BOB_URI)

    assert what(Rig(careless).udp(request(hops=0))) == ["483"]


def test_one_hop_less(rig: Rig) -> None:
    """16.6 step 3: decremented by one."""
    assert only(rig.udp(request(hops=1)), "INVITE").message.max_forwards == 0


def test_seventy_where_there_was_none(rig: Rig) -> None:
    """16.3 step 3: without the field the check is passed; 16.6 step 3: one is added, with 70."""
    assert only(rig.udp(request(hops=None)), "INVITE").message.get_all("max-forwards") == ["70"]


def test_an_ack_without_hops_is_dropped() -> None:
    """An ACK never gets an answer."""

    def careless(incoming: Any) -> None:
        incoming.relay(BOB_URI)

    assert Rig(careless).udp(request("ACK", hops=0)) == []


# --- step 5: Proxy-Require


def test_proxy_require(rig: Rig) -> None:
    """An option that we do not understand: 420, with Unsupported listing just those."""
    rig = Rig(relay_to(BOB_URI), proxy=ProxyConfig(extensions=frozenset({"known"})))
    headers = [("Proxy-Require", "foo, KNOWN"), ("Proxy-Require", "bar")]
    (refusal,) = rig.udp(request(headers=headers))
    assert refusal.what == "420"
    assert refusal.message.values("unsupported") == ["foo", "bar"]
    assert what(rig.udp(request(branch="z9hG4bKa2", headers=[("Proxy-Require", "known")]))) == [
        "100",
        "INVITE",
    ]


def test_require_is_for_the_far_end(rig: Rig) -> None:
    """20.32: Require is none of a proxy's business."""
    out = only(rig.udp(request(headers=[("Require", "foo")])), "INVITE")
    assert out.message.get("require") == "foo"


def test_a_malformed_proxy_require(rig: Rig) -> None:
    """16.3 step 1: a field that these checks read must be well formed."""
    assert what(rig.udp(request(headers=[("Proxy-Require", "foo,,bar")]))) == ["400"]


# --- RFC 5393 5.3.3: Max-Breadth


def parallel(*headers: tuple[str, str], limits: dict[str, int] | None = None) -> list[Out]:
    rig = Rig(relay_to(BOB_URI, CAROL_URI, DAVE_URI), limits=limits)
    return [out for out in rig.udp(request(headers=headers)) if out.what != "100"]


def shares(outs: list[Out]) -> list[int]:
    return [int(out.message.get("max-breadth")) for out in outs]


def test_the_default_is_shared() -> None:
    """Without the field the breadth is 60; the copies never sum up to more than the request had."""
    assert shares(parallel()) == [20, 20, 20]


@pytest.mark.parametrize(("breadth", "expected"), [(60, [20, 20, 20]), (7, [3, 2, 2]), (3, [1, 1, 1])])
def test_shares(breadth: int, expected: list[int]) -> None:
    """All of it is given away: a proxy should not use less than came in."""
    assert shares(parallel(("Max-Breadth", str(breadth)))) == expected


def test_more_than_our_maximum() -> None:
    """A proxy MUST have a maximum and MUST overwrite what exceeds it."""
    assert shares(parallel(("Max-Breadth", "4000000000"))) == [20, 20, 20]


def test_the_maximum_is_a_limit() -> None:
    """limits.max_breadth."""
    assert shares(parallel(limits={"max_breadth": 6})) == [2, 2, 2]


def test_too_little_for_all_at_once() -> None:
    """5.5: as many in parallel as the breadth allows, the rest after them with the returned breadth."""
    rig = Rig(relay_to(BOB_URI, CAROL_URI, DAVE_URI))
    outs = rig.udp(request(headers=[("Max-Breadth", "2")]))
    bob, carol = (out for out in outs if out.what == "INVITE")
    assert [bob.to, carol.to] == [BOB, CAROL]
    assert shares([bob, carol]) == [1, 1]
    assert what(rig.udp(reply(bob, 486), BOB)) == ["ACK"]
    dave = only(rig.udp(reply(carol, 486), CAROL), "INVITE")
    assert shares([dave]) == [2]


def test_breadth_of_one_is_serial() -> None:
    """5.1: a Max-Breadth of 1 restricts to pure serial forking."""
    rig = Rig(relay_to(BOB_URI, CAROL_URI))
    outs = rig.udp(request(headers=[("Max-Breadth", "1")]))
    assert what(outs) == ["100", "INVITE"]
    assert what(rig.udp(reply(only(outs, "INVITE"), 404), BOB)) == ["ACK", "INVITE"]


def test_serial_branches_get_all_of_it() -> None:
    """5.5 and 5.3.3.1: reclaimed when a branch ends."""
    rig = Rig(relay_to(Target(parse_uri(BOB_URI), 900), Target(parse_uri(CAROL_URI), 100)))
    bob = only(rig.udp(request(headers=[("Max-Breadth", "9")])), "INVITE")
    carol = only(rig.udp(reply(bob, 404), BOB), "INVITE")
    assert shares([bob, carol]) == [9, 9]


def test_no_breadth_at_all() -> None:
    """5.3.3: insufficient for even one branch: 440."""
    rig = Rig(relay_to(BOB_URI))
    assert what(rig.udp(request(headers=[("Max-Breadth", "0")]))) == ["100", "440"]


@pytest.mark.parametrize("value", ["two", "", "-1", "1;x", "5, 5", "99999999999"])
def test_malformed_breadth(value: str) -> None:
    """5.3.1: a single integer without parameters."""
    message = parse_message(request(headers=[("Max-Breadth", value)]))
    assert isinstance(message, Request)
    with pytest.raises(RemoteProtocolError):
        breadth_of(message, 60)
    assert what(Rig(relay_to(BOB_URI)).udp(request(headers=[("Max-Breadth", value)]))) == ["400"]


def test_two_breadths() -> None:
    """All proxied requests contain a single value, so which of two would be passed on?"""
    headers = [("Max-Breadth", "5"), ("Max-Breadth", "6")]
    assert what(Rig(relay_to(BOB_URI)).udp(request(headers=headers))) == ["400"]


def test_not_per_hop() -> None:
    """5.3.3: Max-Breadth is not decremented for each hop."""
    rig = Rig(relay_to(BOB_URI))
    assert shares([only(rig.udp(request(headers=[("Max-Breadth", "5")])), "INVITE")]) == [5]


def test_a_stateless_forward_has_one_too() -> None:
    """5.3.3: all proxied requests MUST contain a single Max-Breadth value."""

    def stateless(incoming: Any) -> None:
        incoming.relay(BOB_URI, stateless=True)

    assert shares(Rig(stateless).udp(request("MESSAGE"), ALICE)) == [60]


@pytest.mark.parametrize(
    ("given", "goes"), [(None, "60"), ("7", "7"), ("100", "60"), ("x", "60"), ("1, 2", "60")]
)
def test_an_ack_has_a_breadth_as_well(given: str | None, goes: str) -> None:
    """RFC 5393 5.3.3: all proxied requests have one value. No answer could refuse an ACK with a wrong one."""
    headers = [] if given is None else [("Max-Breadth", given)]
    rig = Rig(lambda incoming: incoming.relay())
    out = only(rig.udp(request("ACK", BOB_URI, to_tag="b", headers=headers)), "ACK")
    assert out.message.get_all("max-breadth") == [goes]
