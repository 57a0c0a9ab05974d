"""Listeners keep their numbers from one reload to the next; flows and bindings hold them."""

from __future__ import annotations

from sansip.config import ListenerConfig
from sansip_server.numbering import Numbering

HOST = "127.0.0.1"


def wanted(*ports: int, transport: str = "udp") -> list[ListenerConfig]:
    return [ListenerConfig(number, transport, HOST, port) for number, port in enumerate(ports)]


def test_what_stays_keeps_its_number() -> None:
    """In any order of the file; a new listener has a number that was never used."""
    first = wanted(5060, 5070)
    numbering = Numbering(first, first)
    second = numbering.number(wanted(5080, 5070))
    assert [(one.id, one.port) for one in second] == [(2, 5080), (1, 5070)]
    numbering.take(wanted(5080, 5070), second)
    assert [one.id for one in numbering.number(wanted(5060, 5070))] == [3, 1]


def test_port_0_is_the_port_that_it_became() -> None:
    """Two of them are told apart by their order; a third is one more."""
    bound = wanted(40_001, 40_002)
    numbering = Numbering(wanted(0, 0), bound)
    again = numbering.number(wanted(0, 0, 0))
    assert [(one.id, one.port) for one in again] == [(0, 40_001), (1, 40_002), (2, 0)]


def test_one_that_is_being_given_up_comes_back() -> None:
    """Its socket is open still, so it is the same listener."""
    first = wanted(5060, 5070)
    numbering = Numbering(first, first)
    numbering.take(first[:1], first[:1])
    assert [one.id for one in numbering.number(wanted(5060, 5070), [first[1]])] == [0, 1]
    assert [one.id for one in numbering.number(wanted(5060, 5070))] == [0, 2]


def test_shares_follow_their_owner() -> None:
    """A shared port has one socket, whose listener may have another number now."""
    before = wanted(5060)
    numbering = Numbering(before, before)
    tcp = ListenerConfig(0, "tcp", HOST, 5060)
    tls = ListenerConfig(1, "tls", HOST, 5060, shares=0)
    assert [(one.id, one.shares) for one in numbering.number([tcp, tls])] == [(1, None), (2, 1)]
